"""Worker tasks: an id at once, a log that grows, and an end that often says no minutes later.

A task's body is a generator; what it refuses becomes the exit status, what it logs stays readable. A stopped
task gets `Interrupted` and cleans up; a killed one gets nothing, its locks go and everything else stays, also
a `lock: clone` in a config (recording 08-delete, 96-107).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from tests.doubles.pve.refusals import Interrupted, Refused, wrong
from tests.doubles.pve.timeline import Steps

_UPID = re.compile(r"UPID:([^:]+):([0-9A-F]{8}):([0-9A-F]{8,9}):([0-9A-F]{8}):([^:]+):([^:]*):([^:]+):")
UNEXPECTED = "unexpected status"
"""The exit status of a worker that died without a word; pve-common src/PVE/Tools.pm upid_read_status, 9.2.1."""


@dataclass(slots=True, kw_only=True)
class Task:
    """One worker task."""

    node: str
    pid: int
    pstart: int
    started: float
    kind: str
    subject: str
    user: str
    log: list[str] = field(default_factory=list)
    warnings: int = 0
    ended: float | None = None
    exit_status: str = ""
    body: Steps[None] | None = None

    @property
    def upid(self) -> str:
        """Return the task's id."""
        start = f"{self.pid:08X}:{self.pstart:08X}:{int(self.started):08X}"
        return f"UPID:{self.node}:{start}:{self.kind}:{self.subject}:{self.user}:"

    @property
    def running(self) -> bool:
        """Tell whether it has not ended."""
        return self.ended is None

    def warn(self, text: str) -> None:
        """Log a warning, which makes the exit status WARNINGS."""
        self.log.append(f"WARN: {text}")
        self.warnings += 1

    def run(self, now: float) -> float | None:
        """Take the next step; return the seconds until the one after it, or None at the end."""
        if self.body is None:
            return None
        try:
            return next(self.body)
        except StopIteration:
            self._end(now, f"WARNINGS: {self.warnings}" if self.warnings else "OK")
        except Refused as refusal:
            self._end(now, _whole_text(refusal))
        return None

    def stop(self, now: float) -> float | None:
        """Tell it to stop; return the seconds that its cleaning up still takes, or None at the end."""
        if self.body is None:
            return None
        try:
            return self.body.throw(Interrupted())
        except StopIteration:
            self._end(now, "OK")
        except Interrupted:
            self._end(now, "interrupted by signal")
        except Refused as refusal:
            self._end(now, _whole_text(refusal))
        return None

    def kill(self, now: float) -> None:
        """End it as SIGKILL or a crashed node does: nothing is cleaned up and nothing is said."""
        self.body = None
        self.ended, self.exit_status = now, UNEXPECTED

    def _end(self, now: float, status: str) -> None:
        self.body = None
        self.ended, self.exit_status = now, status
        if status == "OK" or status.startswith("WARNINGS"):
            self.log.append(f"TASK {status}")
        else:
            self.log.append(f"TASK ERROR: {status}")


def _whole_text(refusal: Refused) -> str:
    """Return a refusal as a task log shows it: a bad parameter is named on a line of its own."""
    lines = [f"{name}: {text}" for name, text in refusal.errors.items()]
    return "\n".join([refusal.text, *lines])


def parse(upid: str) -> re.Match[str]:
    """Return the parts of a task id, or refuse it."""
    found = _UPID.fullmatch(upid)
    if found is None:
        raise wrong("upid", "unable to parse worker upid")
    return found
