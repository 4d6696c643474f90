"""Time inside the double: what happens when, on a clock that somebody else moves.

A worker task, a wait for a lock and a status round are generators that yield the seconds until their next
step. `Timeline.settle` runs every step that is due by now, in order, each at its own moment, so a clock that
jumps ten minutes ahead leaves the same world as one that ticks:

    timeline.spawn(clone(...))   # runs up to its first `yield 4.0`
    clock.advance(600); timeline.settle()   # the rest has happened, at second 4, 8, ...
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Generator
from functools import partial
from typing import Protocol, TypeVar

Result = TypeVar("Result")
Steps = Generator[float, None, Result]
"""Work that takes time: it yields the seconds until its next step."""


class Clock(Protocol):
    """Seconds that have passed; `tests.support.simulation.SimClock` is one, `time.monotonic` another."""

    def __call__(self) -> float: ...


class Timeline:
    """What is going to happen, and when."""

    def __init__(self, clock: Clock, epoch: float) -> None:
        self._clock = clock
        self._epoch = epoch - clock()
        self._moment: float | None = None
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._entries = itertools.count()

    def now(self) -> float:
        """Return the moment of the step that runs, else of the clock, as seconds since 1970."""
        return self._clock() + self._epoch if self._moment is None else self._moment

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Have something happen after that many seconds."""
        heapq.heappush(self._agenda, (self.now() + seconds, next(self._entries), action))

    def spawn(self, steps: Steps[None]) -> None:
        """Begin work that goes on by itself."""
        try:
            wait = next(steps)
        except StopIteration:
            return
        self.later(wait, partial(self.spawn, steps))

    def settle(self) -> None:
        """Let everything happen that is due by now."""
        if self._moment is not None:
            return
        while self._agenda and self._agenda[0][0] <= self._clock() + self._epoch:
            self._moment, _, action = heapq.heappop(self._agenda)
            try:
                action()
            finally:
                self._moment = None

    def next_due(self) -> float:
        """Return when the next step is due; infinity when nothing is planned."""
        return self._agenda[0][0] if self._agenda else float("inf")


def at_once(steps: Steps[Result]) -> Result:
    """Run work to its end without waiting, for setting a world up."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
