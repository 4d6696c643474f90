"""Tasks of the fake's guests: one at a time, 20 seconds each at the least, the last 4 KiB of their words kept.

A task makes its way whenever it is looked at. A VM that goes down takes the task that runs with it: it ended, and
nobody says how.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from vmclone_operator.domain.backend import GuestCommand, GuestResult, GuestRun, GuestRunState, GuestTask
from vmclone_operator.domain.errors import RetryLater
from vmclone_operator.domain.guest_tasks import IDENTITY

LEAST_SECONDS = 20.0
TAIL_BYTES = 4096
_LOST = GuestRun(state=GuestRunState.ENDED)

Execute = Callable[[GuestCommand], GuestResult]


@dataclass(slots=True, kw_only=True)
class Task:
    """One run in one VM."""

    name: str
    stdin: str
    started_at: float
    boot: float
    """When the VM that it runs in was switched on."""
    launched: bool = False
    ended: bool = False
    exit_code: int | None = None
    """None: it runs, or went down with its VM."""
    stdout: str = ""
    stderr: str = ""


@dataclass(slots=True, kw_only=True)
class Tasks:
    """The runs of one VM by name."""

    runs: dict[str, Task] = field(default_factory=dict)

    def start(self, task: GuestTask, *, now: float, boot: float) -> None:
        """Start a run, unless it was started before; raises RetryLater while another one runs."""
        if task.run in self.runs:
            return
        if task.replaces in self.runs:
            self.runs[task.replaces].ended = True
        if any(not one.ended and one.boot == boot for one in self.runs.values()):
            raise RetryLater("another task runs in this guest")
        self.runs[task.run] = Task(name=task.name, stdin=task.stdin, started_at=now, boot=boot)

    def result(self, run: str, *, now: float, boot: float, up: bool, booted: bool, execute: Execute) -> GuestRun:
        """Let a run go on as far as it can by now, and tell how it stands."""
        for name, one in self.runs.items():
            if not one.ended and one.boot != boot:
                self.runs[name].ended = True
        task = self.runs.get(run)
        if task is None:
            return GuestRun(state=GuestRunState.ABSENT)
        if up and not task.ended:
            _go_on(task, now=now, booted=booted, execute=execute)
        if not task.ended:
            return GuestRun(state=GuestRunState.RUNNING)
        if task.exit_code is None:
            return _LOST
        result = GuestResult(exit_code=task.exit_code, stdout=_tail(task.stdout), stderr=_tail(task.stderr))
        return GuestRun(state=GuestRunState.ENDED, result=result)


def _go_on(task: Task, *, now: float, booted: bool, execute: Execute) -> None:
    if task.name != IDENTITY:
        answer = None if task.launched else execute(GuestCommand(name=task.name, script="", stdin=task.stdin))
        if answer is not None:
            task.launched, task.stdout, task.stderr = True, answer.stdout, answer.stderr
            task.exit_code = answer.exit_code
        task.ended = now - task.started_at >= LEAST_SECONDS
        return
    if not task.launched:
        execute(GuestCommand(name="release-network-wait", script=""))
    if not booted:
        return
    if not task.launched:
        started = execute(GuestCommand(name="identity", script="", stdin=task.stdin))
        task.launched, task.exit_code, task.stderr = True, started.exit_code, started.stderr
    probe = execute(GuestCommand(name="probe", script="")).stdout
    if task.exit_code:
        task.ended = True
    elif "identity_state=running" not in probe and now - task.started_at >= LEAST_SECONDS:
        task.ended, task.stdout = True, probe


def _tail(text: str) -> str:
    return text.encode()[-TAIL_BYTES:].decode(errors="replace")
