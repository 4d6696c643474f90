"""What goes wrong, and exactly where: every external call of the fake backend is a numbered point.

A run without faults lists its points (`FaultSchedule.trace`); a crash test then repeats the run once for
each point and fault. The same schedule over the same run always strikes at the same point.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TypeVar

from vmclone_operator.domain.errors import BackendUnreachable, CloneError, CloneFailed, LeadershipLost, RetryLater

RUNNING: ContextVar[int] = ContextVar("running", default=0)
"""Which of several operator processes calls now; 0: the main one."""

Answer = TypeVar("Answer")
Advance = Callable[[float], None]
"""Moves the world's clock on by seconds; nobody really waits."""


class Killed(BaseException):
    """SIGKILL of the operator: nothing may catch it, and nothing of that process does anything any more."""


class FaultKind(StrEnum):
    """What can happen to one external call."""

    FAIL = "fail"
    """Refused with `Fault.error`, nothing was done."""
    LOSE_REPLY = "lose-reply"
    """Done, but the connection breaks before the answer arrives."""
    HANG = "hang"
    """Nothing is done, and that is noticed only after `delay_seconds`."""
    THROTTLE = "throttle"
    """Refused as one call too many (429), with a time to wait."""
    KILL_BEFORE = "kill-before"
    KILL_AFTER = "kill-after"
    MEANWHILE = "meanwhile"
    """The call works, but `Fault.meanwhile` happens just before it: somebody else changes the world."""


KILLS = frozenset({FaultKind.KILL_BEFORE, FaultKind.KILL_AFTER})
ERRORS = frozenset({FaultKind.FAIL, FaultKind.LOSE_REPLY, FaultKind.HANG, FaultKind.THROTTLE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One external call: the how many-th, inside which verb, and what it does to what."""

    index: int
    verb: str
    call: str
    target: str
    writes: bool

    def __str__(self) -> str:
        """Return it as a test's id."""
        return f"{self.index}:{self.verb}/{self.call}({self.target})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong at one point."""

    kind: FaultKind
    error: CloneError | LeadershipLost | None = None
    """With FAIL; default: the backend is unreachable."""
    delay_seconds: float = 0
    """How much time passes before the fault shows."""
    retry_after_seconds: float = 30
    """With THROTTLE."""
    meanwhile: Callable[[], None] | None = None

    def strike_before(self, point: Point, advance: Advance) -> None:
        """Do what this fault does before the call reaches the backend."""
        if self.kind in {FaultKind.FAIL, FaultKind.HANG, FaultKind.THROTTLE}:
            advance(self.delay_seconds)
            raise self._refusal(point)
        if self.kind is FaultKind.KILL_BEFORE:
            raise Killed(f"before {point}")
        if self.meanwhile is not None:
            self.meanwhile()

    def strike_after(self, point: Point, advance: Advance) -> None:
        """Do what this fault does after the backend has done its part."""
        if self.kind is FaultKind.LOSE_REPLY:
            advance(self.delay_seconds)
            raise BackendUnreachable(f"the connection broke during {point}")
        if self.kind is FaultKind.KILL_AFTER:
            raise Killed(f"after {point}")

    def _refusal(self, point: Point) -> CloneError | LeadershipLost:
        if self.kind is FaultKind.THROTTLE:
            wait = timedelta(seconds=self.retry_after_seconds)
            return RetryLater(f"too many requests at {point}", retry_after=wait)
        if self.kind is FaultKind.HANG:
            return BackendUnreachable(f"no answer within {self.delay_seconds:.0f} s at {point}")
        return self.error or BackendUnreachable(f"the backend is away at {point}")


Choose = Callable[[Point], Fault | None]
"""Decides for each point, in order, whether something goes wrong there."""


def no_faults(point: Point) -> None:
    """Let every call through."""


def at_index(index: int, fault: Fault) -> Choose:
    """Strike at the point with this number, once."""
    return lambda point: fault if point.index == index else None


def at_call(call: str, fault: Fault, *, verb: str = "", times: int = 1, skip: int = 0) -> Choose:
    """Strike at the first `times` calls of this name (in this verb), after letting `skip` of them through."""
    seen = 0

    def choose(point: Point) -> Fault | None:
        nonlocal seen
        if point.call != call or verb not in {"", point.verb}:
            return None
        seen += 1
        return fault if skip < seen <= skip + times else None

    return choose


def seeded(seed: int, *, rate: float = 0.1, until: int = 1000, kinds: Collection[FaultKind] = KILLS | ERRORS) -> Choose:
    """Strike at random with this probability a call, up to the point number `until`; the seed repeats it."""
    chance = random.Random(seed)  # noqa: S311  - repeatable on purpose, nothing secret
    ordered = sorted(kinds)

    def choose(point: Point) -> Fault | None:
        if point.index >= until or chance.random() >= rate:
            return None
        kind = chance.choice(ordered)
        refused = kind is FaultKind.FAIL and chance.random() < 0.2  # noqa: PLR2004
        return Fault(
            kind=kind,
            error=CloneFailed(f"injected refusal at {point}") if refused else None,
            delay_seconds=chance.choice((0, 1, 30)) if kind in {FaultKind.HANG, FaultKind.LOSE_REPLY} else 0,
            retry_after_seconds=chance.choice((1, 10, 60)),
        )

    return choose


class FaultSchedule:
    """Counts the external calls of all operator processes, and lets faults strike."""

    def __init__(self, choose: Choose = no_faults, *, record: bool = False) -> None:
        self.choose = choose
        self.trace: list[Point] = []
        """Every point of the run, when recording."""
        self.calls = 0
        self.struck: list[tuple[Point, Fault]] = []
        self._record = record
        self._main = self._started = 1
        self._living = {1}

    @property
    def process(self) -> int:
        """The operator process that calls now; sessions of one that has ended are dead."""
        return RUNNING.get() or self._main

    @property
    def killed(self) -> bool:
        """Whether the process that calls now was killed."""
        return not self.lives(self.process)

    def kill(self) -> None:
        """End the process that calls now."""
        self._living.discard(self.process)

    def lives(self, process: int) -> bool:
        """Return whether a process can still do anything."""
        return process in self._living

    def restart(self) -> None:
        """Start a new operator process: what the old one held can do nothing any more."""
        self._living.discard(self._main)
        self._main = self.begin_process()

    def begin_process(self) -> int:
        """Start another operator process beside the main one."""
        self._started += 1
        self._living.add(self._started)
        return self._started

    def end_process(self, process: int) -> None:
        """End an operator process."""
        self._living.discard(process)

    def run(
        self, verb: str, call: str, target: str, effect: Callable[[], Answer], *, advance: Advance, writes: bool
    ) -> Answer:
        """Carry out one external call, faults included."""
        point = Point(index=self.calls, verb=verb, call=call, target=target, writes=writes)
        self.calls += 1
        if self._record:
            self.trace.append(point)
        fault = self.choose(point)
        if fault is None:
            return effect()
        self.struck.append((point, fault))
        try:
            fault.strike_before(point, advance)
            answer = effect()
            fault.strike_after(point, advance)
        except Killed:
            self.kill()
            raise
        return answer

    def check_alive(self, process: int) -> None:
        """Stop a process that was killed from doing anything more."""
        if not self.lives(process):
            raise Killed("this operator process was killed")
