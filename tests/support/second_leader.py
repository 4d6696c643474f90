"""A second operator that believes it leads too: it acts between the first one's calls, and may sleep in mid-pass.

What SIGSTOP does to a leader: it wakes up with an old cache, in the middle of what it was about to do.
"""

from __future__ import annotations

import asyncio
import contextvars
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmclone_operator.engine.reconcile import reconcile
from vmclone_operator.engine.work.queue import NoSlot, PassFailed
from vmclone_operator.handlers import take_event
from vmclone_operator.kube.cluster import Document, Key, Kind
from vmclone_operator.providers.fake import RUNNING, FakeBackend, Killed

if TYPE_CHECKING:
    from tests.support.simulation import Simulation

_TURNS = 50
"""Turns of the event loop within which a pass reaches its next call, or its end."""


@dataclass(frozen=True)
class Stay:
    """When a second leader comes, sleeps, wakes and goes, in seconds of the simulation."""

    begins: float
    sleeps: float
    wakes: float
    ends: float


def random_stays(seed: int) -> tuple[Stay, ...]:
    """Return two stays, one while clones are made and one later; the seed repeats them."""
    chance = random.Random(f"stays {seed}")  # noqa: S311  - repeatable on purpose
    stays = []
    for earliest, latest in ((0, 60), (60, 250)):
        begins = chance.uniform(earliest, latest)
        sleeps = begins + chance.uniform(0, 40)
        wakes = sleeps + chance.choice((0, 5, 60, 200))
        stays.append(Stay(begins, sleeps, wakes, wakes + chance.uniform(5, 60)))
    return tuple(stays)


class SecondLeader:
    """One operator process beside the main one, stepped by the simulation one provider verb at a time."""

    def __init__(self, sim: Simulation, stay: Stay) -> None:
        """Start with a fresh list of everything."""
        self._sim, self._stay = sim, stay
        self._process = sim.schedule.begin_process()
        self._events: list[tuple[Kind, str, Document]] = []
        self._gate: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self.queue, self._engine = sim.build(FakeBackend(sim.world, pause=self._pause), self._wake)
        self.verbs = 0
        """Provider verbs that it called so far."""

    @property
    def ended(self) -> bool:
        """Whether it was killed, or its time is over."""
        return self._sim.clock() >= self._stay.ends or not self._sim.schedule.lives(self._process)

    @property
    def busy(self) -> bool:
        """Whether it has something to do now."""
        asleep = self._stay.sleeps <= self._sim.clock() < self._stay.wakes
        return not asleep and (self._task is not None or self._next_due() <= self._sim.clock())

    def next_moment(self) -> float:
        """Return when it acts next, or when its stay changes."""
        moments = (self._next_due(), self._stay.sleeps, self._stay.wakes, self._stay.ends)
        now = self._sim.clock()
        return min((moment for moment in moments if moment > now), default=now)

    def tell(self, kind: Kind, event: str, document: Document) -> None:
        """Keep an event until the pass that runs is over, or it wakes up."""
        self._events.append((kind, event, document))

    async def advance(self) -> None:
        """Do what comes before the next call to the provider."""
        if self._gate is not None:
            self._gate.set_result(None)
            self._gate = None
        elif self._task is None:
            self._begin_pass()
        for _ in range(_TURNS):
            await asyncio.sleep(0)
            if self._waits():
                break
        task = self._task
        if task is not None and task.done():
            self._task = None
            task.result()

    def _waits(self) -> bool:
        return self._gate is not None or self._task is None or self._task.done()

    def end(self) -> None:
        """Let it do nothing any more."""
        self._sim.schedule.end_process(self._process)
        if self._task is not None:
            self._task.cancel()

    def _begin_pass(self) -> None:
        events, self._events = self._events, []
        for kind, event, document in events:
            take_event(self._engine, kind, event, document)
        if self._next_due() <= self._sim.clock():
            key, _ = self.queue.pop()
            self._task = asyncio.create_task(self._pass(key), context=self._context())

    def _context(self) -> contextvars.Context:
        context = contextvars.copy_context()
        context.run(RUNNING.set, self._process)
        return context

    async def _pass(self, key: Key) -> None:
        try:
            after = await reconcile(self._engine, key)
        except NoSlot as crowded:
            after = crowded.after
        except PassFailed as failure:
            after = max(failure.after, min(failure.limit, self.queue.backoff(key)))
        except Killed:
            return
        else:
            self.queue.failures.pop(key, None)
        if after is not None:
            self.queue.add_after(key, max(after, 0.01))

    async def _pause(self) -> None:
        self.verbs += 1
        self._gate = asyncio.get_running_loop().create_future()
        await self._gate

    def _wake(self, incarnation: str) -> None:
        key = self._engine.cache.by_incarnation(incarnation)
        if key is not None:
            self.queue.add(key)

    def _next_due(self) -> float:
        return min((due for due, _ in self.queue.due.values()), default=float("inf"))
