"""Prints each step with its seconds, and waits with a deadline instead of sleeping long."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from vmclone_lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

T = TypeVar("T")
LOG_LINES_IN_ERRORS = 15


def say(text: str) -> None:
    """Tell the user on stderr; stdout belongs to results."""
    sys.stderr.write(f"lab: {text}\n")
    sys.stderr.flush()


@contextmanager
def step(title: str) -> Iterator[None]:
    """Time the block and print `title` with its seconds when it succeeds."""
    start = time.monotonic()
    yield
    say(f"{title:<58} {time.monotonic() - start:6.1f} s")


def tail(log: Path, lines: int = LOG_LINES_IN_ERRORS) -> str:
    """Return the last lines of a log file, indented, for an error message."""
    if not log.exists():
        return f"  (no log at {log})"
    last = log.read_text(errors="replace").splitlines()[-lines:]
    return "\n".join(f"  {line[:400]}" for line in last)


def wait_for(
    what: str,
    probe: Callable[[], T | None],
    deadline_seconds: float,
    *,
    log: Path | None = None,
    alive: Callable[[], bool] = lambda: True,
    pause_seconds: float = 0.1,
) -> T:
    """Poll until `probe` returns something other than None or False; explain a time-out.

    `alive` ends the wait at once when what is waited for can no longer come.
    """
    start = time.monotonic()
    while True:
        result = probe()
        if result is not None and result is not False:
            return result
        waited = time.monotonic() - start
        dead = not alive()
        if dead or waited > deadline_seconds:
            reason = "its process ended" if dead else f"gave up after {waited:.0f} s"
            text = f"{what}: {reason}"
            raise LabError(f"{text}; last lines of {log}:\n{tail(log)}" if log else text)
        time.sleep(pause_seconds)
