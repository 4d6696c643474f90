"""The operator as a process in the lab: started once, found again by its recorded pid, ended only if it is ours."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from vmclone_demo.cluster import ROOT
from vmclone_lab.layout import Layout

NAMESPACE = "vmclone-system"
_STOP_SECONDS = 20.0


def folder() -> Path:
    """Return where the lab keeps its state; the operator's log and pid go there, and with it."""
    return Layout.from_environment(os.environ).state


def log_path() -> Path:
    """Return the operator's log."""
    return folder() / "logs" / "operator.log"


def ensure_running() -> None:
    """Start the operator unless it runs; it survives this command."""
    namespace = f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {NAMESPACE}}}\n"
    command = [str(ROOT / "hack" / "lab"), "exec", "--", "kubectl", "apply", "-f", "-"]
    subprocess.run(command, input=namespace, text=True, check=True, stdout=subprocess.DEVNULL)
    pid = running_pid()
    if pid is not None:
        print(f"operator already running (pid {pid})")
        return
    operator = [sys.executable, "-m", "vmclone_operator.main", "--namespace", NAMESPACE]
    with log_path().open("ab") as log:
        process = subprocess.Popen(
            [str(ROOT / "hack" / "lab"), "exec", "--", *operator],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    _pid_path().write_text(f"{process.pid} {_start_time(process.pid)}\n")
    print(f"operator started (pid {process.pid}), log: {log_path()}")


def running_pid() -> int | None:
    """Return the pid of the operator this command started earlier, if that very process still runs."""
    try:
        pid, started = _pid_path().read_text().split()
    except (FileNotFoundError, ValueError):
        return None
    return int(pid) if _start_time(int(pid)) == started else None


def stop() -> None:
    """Ask the operator to stop, and wait until it has."""
    pid = running_pid()
    if pid is not None:
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        while running_pid() == pid and time.monotonic() < deadline:
            time.sleep(0.1)
        if running_pid() == pid:
            os.kill(pid, signal.SIGKILL)
        print("operator stopped")
    _pid_path().unlink(missing_ok=True)


def _pid_path() -> Path:
    return folder() / "operator.pid"


def _start_time(pid: int) -> str:
    """Return a process's start time, which tells it from a later one of the same pid; empty when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if fields[0] == "Z" else fields[19]
