"""What a copy costs: CPU seconds of everything that takes part, counted by the kernel, and a link of known speed.

A control group counts both hosts' daemons and the relay alike, also what nobody waits for.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.integration.homecopy.hosts import run


def tell_figure(text: str) -> None:
    """Print a figure for `pytest -rP`."""
    sys.stdout.write(text + "\n")


@dataclass(frozen=True)
class Cost:
    cpu_seconds: float
    wall_seconds: float


class CpuAccount:
    """A control group that this process and all that it starts are in."""

    def __init__(self) -> None:
        lines = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
        root = next((Path(line[1]) for line in lines if line[2] == "cgroup2"), None)
        self._group = root / f"vmclone-cost-{os.getpid()}" if root else None
        here = Path("/proc/self/cgroup").read_text().splitlines()
        name = next((line[3:].lstrip("/") for line in here if line.startswith("0::")), "")
        self._before = root / name if root else None

    @property
    def possible(self) -> bool:
        return self._group is not None

    def open(self) -> None:
        assert self._group
        self._group.mkdir()
        (self._group / "cgroup.procs").write_text(str(os.getpid()))

    def close(self) -> None:
        assert self._group
        assert self._before
        deadline = time.monotonic() + 10
        while inside := (self._group / "cgroup.procs").read_text().split():
            assert time.monotonic() < deadline, inside
            for pid in inside:
                with suppress(ProcessLookupError):
                    (self._before / "cgroup.procs").write_text(pid)
        self._group.rmdir()

    def of(self, action: Callable[[], None]) -> Cost:
        """Return what an action cost; it ends the daemons it used, so that their last work counts."""
        cpu, started = self._used(), time.monotonic()
        action()
        return Cost(self._used() - cpu, time.monotonic() - started)

    def _used(self) -> float:
        assert self._group
        lines = (self._group / "cpu.stat").read_text().splitlines()
        return float(next(line.split()[1] for line in lines if line.startswith("usage_usec"))) / 1e6


@contextmanager
def network_of_its_own(mbit: int) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield an address behind a link shaped to a speed, and the prefix of a command that runs there."""
    name = f"vmclonet{os.getpid()}"[:15]
    inside, outside = f"vi{os.getpid()}", f"vo{os.getpid()}"
    run("ip", "netns", "add", name)
    try:
        run("ip", "link", "add", outside, "type", "veth", "peer", "name", inside, "netns", name)
        within = ("ip", "netns", "exec", name)
        for prefix, device, address in ((), outside, "198.18.77.1/30"), (within, inside, "198.18.77.2/30"):
            run(*prefix, "ip", "address", "add", address, "dev", device)
            run(*prefix, "ip", "link", "set", device, "up")
            rate = ("rate", f"{mbit}mbit", "burst", "256kb", "latency", "50ms")
            run(*prefix, "tc", "qdisc", "add", "dev", device, "root", "tbf", *rate)
        yield "198.18.77.2", within
    finally:
        run("ip", "netns", "delete", name)
