"""The work queue: many wake-ups, one pass.

Keys are deduplicated, one key is never worked on twice at once, what fails waits longer each time (1..300 s,
jittered), and live events go before the initial list and resync.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import random
from collections.abc import Awaitable, Callable
from enum import IntEnum
from typing import Protocol

from vmclone_operator.domain.steps import InLine
from vmclone_operator.engine.work.meter import Meter, NoMeter, Outcome
from vmclone_operator.kube.cluster import Key

log = logging.getLogger(__name__)

PASS_SECONDS = 60.0
"""How long one pass may take."""
_LOOKS_A_SECOND = 10
_LONGEST_IN_LINE_SECONDS = 480.0
_LONG_SECONDS = 60.0
Pass = Callable[[Key], Awaitable[float | None]]
"""Works on a key; returns after how many seconds it wants to look again, None for not by itself.

An InLine says that the key will be woken (see `unasked`).
"""


def unasked(seconds: float, in_line: int) -> float:
    """Return how long a key really waits that asked for so many seconds, `in_line` waiting as it does.

    Short waits are kept. Long ones grow by up to a quarter, so that many who began at once do not come at once. Who
    waits in line is woken by whoever goes before it, and looks unasked only in case that was lost: all who wait
    together look ten times a second at most, each once in ten minutes at least.
    """
    if isinstance(seconds, InLine):
        seconds = min(max(seconds, in_line / _LOOKS_A_SECOND), _LONGEST_IN_LINE_SECONDS)
    if seconds < _LONG_SECONDS:
        return seconds
    return seconds * random.uniform(1.0, 1.25)  # noqa: S311  - jitter


class Priority(IntEnum):
    """Lower goes first."""

    HIGH = 0
    LOW = 1


class Wakeable(Protocol):
    """The part of the work queue that passes use."""

    def add(self, key: Key, priority: Priority = Priority.HIGH) -> None:
        """Have the key worked on soon."""

    def add_after(self, key: Key, seconds: float, priority: Priority = Priority.HIGH) -> None:
        """Have the key worked on after a while."""

    def forget(self, key: Key) -> None:
        """Drop what is remembered of a key that no longer exists."""


class PassFailed(Exception):  # noqa: N818  - named for what happened
    """A pass could not finish for a cause it has reported; the key backs off.

    `after` is the least wait in seconds, `limit` the longest that backing off may grow to.
    """

    def __init__(self, message: str, *, after: float = 0, limit: float = 300) -> None:
        super().__init__(message)
        self.after = after
        self.limit = limit


class NoSlot(Exception):  # noqa: N818  - named for what happened
    """A pass could not begin, which is neither success nor failure; the key stays as urgent as it is.

    `after` is when to look again in seconds, should nobody wake it.
    """

    def __init__(self, after: float) -> None:
        super().__init__()
        self.after = after


class WorkQueue:
    """Deduplicating, single-flight, delaying queue of keys."""

    def __init__(
        self,
        *,
        base_seconds: float = 1,
        cap_seconds: float = 300,
        pass_timeout_seconds: float = PASS_SECONDS,
        meter: Meter | None = None,
    ) -> None:
        self._heap: list[tuple[int, int, Key]] = []
        self._waiting: dict[Key, Priority] = {}
        self._busy: set[Key] = set()
        self._failures: dict[Key, int] = {}
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._without_slot: dict[Key, Priority] = {}
        self._in_line: set[Key] = set()
        self._count = 0
        self._wake = asyncio.Semaphore(0)
        self._base, self._cap, self._timeout = base_seconds, cap_seconds, pass_timeout_seconds
        self._meter = meter or NoMeter()

    def add(self, key: Key, priority: Priority = Priority.HIGH) -> None:
        """Have the key worked on as soon as a worker is free."""
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        priority = min(priority, self._without_slot.get(key, priority))
        known = self._waiting.get(key)
        if known is not None and known <= priority:
            return
        if known is None:
            self._meter.added(key)
        self._waiting[key] = priority
        if key not in self._busy:
            self._push(key, priority)

    def add_after(self, key: Key, seconds: float, priority: Priority = Priority.HIGH) -> None:
        """Have the key worked on after a while; an earlier wake-up replaces this one."""
        if key in self._waiting:
            return
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        if timer is not None:
            if timer.when() <= loop.time() + seconds:
                return
            timer.cancel()
        self._timers[key] = loop.call_later(seconds, self._fire, key, priority)

    def forget(self, key: Key) -> None:
        """Drop what is remembered of a key that no longer exists."""
        self._failures.pop(key, None)
        self._without_slot.pop(key, None)
        self._in_line.discard(key)

    @property
    def depth(self) -> int:
        """Keys that wait for a worker now."""
        return len(self._waiting)

    @property
    def busy(self) -> int:
        """Keys that are worked on now."""
        return len(self._busy)

    @property
    def in_line(self) -> int:
        """Keys that wait to be woken when it is their turn."""
        return len(self._in_line)

    async def work(self, reconcile: Pass) -> None:
        """Work on keys for ever; run several of these side by side."""
        while True:
            await self._wake.acquire()
            _, _, key = heapq.heappop(self._heap)
            priority = None if key in self._busy else self._waiting.pop(key, None)
            if priority is None:
                continue  # a second heap entry of a key whose priority was raised
            self._busy.add(key)
            self._meter.started(key)
            self._without_slot.pop(key, None)
            self._in_line.discard(key)
            after, outcome = await self._run(reconcile, key, priority)
            self._meter.ended(key, outcome)
            self._busy.discard(key)
            if key in self._waiting:
                self._push(key, self._waiting[key])
            elif after is not None:
                if outcome is Outcome.REQUEUE_AFTER:  # the wait of a failure is jittered already
                    after = self._unasked(key, after)
                self.add_after(key, after, self._without_slot.get(key, Priority.HIGH))

    def _unasked(self, key: Key, after: float) -> float:
        if isinstance(after, InLine):
            self._in_line.add(key)
        return unasked(after, self.in_line)

    async def _run(self, reconcile: Pass, key: Key, priority: Priority) -> tuple[float | None, Outcome]:
        try:
            async with asyncio.timeout(self._timeout):  # wait_for may swallow a cancellation on Python 3.11
                after = await reconcile(key)
        except asyncio.CancelledError:
            # Something the pass awaited was cancelled (a connection that was closed), unless this worker itself is.
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            log.warning("pass cancelled", extra={"object": str(key)})
            return self._backoff(key), Outcome.ERROR
        except NoSlot as crowded:
            self._without_slot[key] = priority
            return crowded.after, Outcome.REQUEUE_AFTER
        except PassFailed as failure:
            return max(failure.after, min(failure.limit, self._backoff(key))), Outcome.ERROR
        except Exception as error:  # a bug in one pass must not stop the others; it is loud and backs off
            log.exception("pass failed", extra={"object": str(key)})
            return self._backoff(key), Outcome.TIMEOUT if isinstance(error, TimeoutError) else Outcome.BUG
        self._failures.pop(key, None)
        return after, Outcome.SUCCESS if after is None else Outcome.REQUEUE_AFTER

    def _fire(self, key: Key, priority: Priority) -> None:
        self._timers.pop(key, None)
        self.add(key, priority)

    def _push(self, key: Key, priority: Priority) -> None:
        self._count += 1
        heapq.heappush(self._heap, (priority, self._count, key))
        self._wake.release()

    def _backoff(self, key: Key) -> float:
        self._meter.retried(key)
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        seconds: float = min(self._cap, self._base * 2.0 ** min(failures - 1, 10))
        return seconds * random.uniform(0.9, 1.1)  # noqa: S311  - jitter
