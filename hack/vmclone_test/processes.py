"""Runs a program with a deadline, so that one hanging part cannot take the whole run with it."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

INTERRUPT_GRACE_SECONDS = 60
"""How long an interrupted pytest may take to run its fixtures' teardown."""
TIMED_OUT = 124
"""Exit status of a run that had to be ended, as the `timeout` command has it."""


def run(argv: Sequence[str], *, deadline_seconds: float, env: Mapping[str, str] | None = None) -> int:
    """Run in a process group of its own and return the exit status; TIMED_OUT when it was ended.

    An interrupt comes first, so that pytest prints where it hangs and undoes its fixtures. A script that
    started us in its background has interrupts ignored, which what we start would inherit.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, env=env, process_group=0)
    try:
        return process.wait(deadline_seconds)
    except subprocess.TimeoutExpired:
        _end(process)
        return TIMED_OUT
    except BaseException:
        _end(process)
        raise


def _end(process: subprocess.Popen[bytes]) -> None:
    """Interrupt the process group that we made, then kill what is left of it."""
    os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(INTERRUPT_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
