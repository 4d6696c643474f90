"""Starts daemons and ends only those: a process is ours by pid and start time, or by namespace.

The pid alone is not proof (pids are used again). Daemons fork helpers that no record knows
(dnsmasq, containerd shims, QEMU); those are ours because they live in the lab's own network
namespace, pods because they sit in the lab's own cgroup.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from vmclone_lab.record import ProcessRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PROC = Path("/proc")
TERM_SECONDS = 8.0
KILL_SECONDS = 10.0
STATE_FIELD = 0
START_FIELD = 19


def stat_fields(text: str) -> list[str]:
    """Return the fields of /proc/PID/stat after the command name (which may hold anything)."""
    return text.rpartition(")")[2].split()


def start_ticks(pid: int, proc: Path = PROC) -> int | None:
    """Return when the process started; None when it is gone or only waits to be reaped."""
    try:
        fields = stat_fields((proc / str(pid) / "stat").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[STATE_FIELD] in "ZX" else int(fields[START_FIELD])


def is_alive(process: ProcessRecord, proc: Path = PROC) -> bool:
    """Tell whether this very process, not a later one with its pid, still runs."""
    return start_ticks(process.pid, proc) == process.start_ticks


def boot_id() -> str:
    """Return an id that changes at each boot: no process of a record outlives it."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def spawn(argv: Sequence[str], log: Path, *, env: dict[str, str] | None = None) -> ProcessRecord:
    """Start a daemon in its own session, its output appended to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        child = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd="/",
            env=env,
        )
    ticks = start_ticks(child.pid)
    child.returncode = 0  # it outlives this command on purpose: no warning that nobody waited
    return ProcessRecord(child.pid, -1 if ticks is None else ticks, tuple(argv))


def pids_in_netns(netns_file: Path, proc: Path = PROC) -> list[int]:
    """Return all processes in the network namespace that `netns_file` pins."""
    try:
        pinned = netns_file.stat()
        if pinned.st_dev == netns_file.parent.stat().st_dev:
            return []  # a left-over plain file: no namespace is mounted on it
    except FileNotFoundError:
        return []
    spared = {os.getpid(), os.getppid()}
    found = []
    for entry in proc.iterdir():
        if entry.name.isdigit() and int(entry.name) not in spared:
            try:
                used = (entry / "ns" / "net").stat()
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
            if (used.st_dev, used.st_ino) == (pinned.st_dev, pinned.st_ino):
                found.append(int(entry.name))
    return found


def cgroup_directories(name: str, root: Path = Path("/sys/fs/cgroup")) -> list[Path]:
    """Return the lab's cgroup in every hierarchy (v1), or the one of v2."""
    return [path for path in (root / name, *root.glob(f"*/{name}")) if path.is_dir()]


def pids_in_cgroups(directories: Iterable[Path]) -> list[int]:
    """Return all processes in these cgroups and below."""
    found: set[int] = set()
    for directory in directories:
        for listing in directory.rglob("cgroup.procs"):
            try:
                found.update(int(line) for line in listing.read_text().split())
            except (FileNotFoundError, OSError):
                continue  # the cgroup was removed meanwhile, or is a threaded one
    return sorted(found)


def signal_all(pids: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to processes that may be gone already."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def end(processes: Sequence[ProcessRecord], term_seconds: float = TERM_SECONDS) -> None:
    """End these processes: ask first, then kill those still there."""
    for number, seconds in ((signal.SIGTERM, term_seconds), (signal.SIGKILL, KILL_SECONDS)):
        living = [process for process in processes if is_alive(process)]
        signal_all((process.pid for process in living), number)
        give_up = time.monotonic() + seconds
        while any(is_alive(process) for process in living) and time.monotonic() < give_up:
            reap()
            time.sleep(0.05)


def identify(pids: Iterable[int]) -> list[ProcessRecord]:
    """Add the start time to pids found a moment ago."""
    return [ProcessRecord(pid, ticks) for pid in pids if (ticks := start_ticks(pid)) is not None]


def reap() -> None:
    """Collect ended children of this process, so that they do not look alive."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return
