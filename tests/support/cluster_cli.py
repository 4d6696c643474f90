"""kubectl as people type it, and waits that end: for all tests that look at a real cluster from outside."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from typing import TypeVar

Answer = TypeVar("Answer")
_SECONDS = 120


def kubectl(*arguments: str, given: str = "", check: bool = True) -> str:
    """Run kubectl and return what it says; fail with its own words unless told otherwise."""
    done = subprocess.run(
        ["kubectl", *arguments], input=given, capture_output=True, text=True, timeout=_SECONDS, check=False
    )
    assert not check or done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
    return done.stdout


def wait_until(
    what: str,
    question: Callable[[], Answer],
    seconds: float,
    *,
    pause: float = 0.5,
    explain: Callable[[], str] = lambda: "",
) -> Answer:
    """Ask until the answer is truthy, and return it; past the deadline fail with what it waited for, and why."""
    deadline = time.monotonic() + seconds
    while not (answer := question()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:.0f} s: {what}\n{explain()}".rstrip())
        time.sleep(pause)
    return answer
