"""A whole operator in one thread, on a clock that only moves when nothing is due: engine, API server, fake backend.

Kills are real for the engine: it is thrown away with its cache and sessions, and a new one starts from
what the API server and the provider hold.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from tests.support.documents import copied
from tests.support.explained import refuse_unexplained
from tests.support.memory_cluster import MemoryCluster
from tests.support.second_leader import SecondLeader, Stay
from tests.support.sim_kubelet import SimKubelet
from tests.support.sim_queue import SimQueue

from vmclone_operator.domain.backend import Backend
from vmclone_operator.domain.errors import CloneError
from vmclone_operator.engine.backends.sessions import Sessions
from vmclone_operator.engine.context import Engine
from vmclone_operator.engine.objects.cache import Cache
from vmclone_operator.engine.reconcile import reconcile
from vmclone_operator.engine.resync import compare_due, relist, resync
from vmclone_operator.engine.work.queue import NoSlot, PassFailed
from vmclone_operator.handlers import take_event
from vmclone_operator.homecopy.job_manifest import PodSettings
from vmclone_operator.kube.cluster import Document, Key, Kind, Unavailable
from vmclone_operator.kube.events import EventRecorder
from vmclone_operator.providers.fake import FakeBackend, FaultSchedule, Killed, World

START = datetime(2026, 1, 1, tzinfo=UTC)
WATCHED = (Kind.BACKEND, Kind.SOURCE, Kind.VMCLONE, Kind.REPLICA)
RESYNC_SECONDS = 60.0
RELIST_SECONDS = 600.0
_LONG_SECONDS, _SPREAD = 60.0, 1.125
"""The queue makes long waits up to a quarter longer: here all the same, so that a run can be repeated."""
"""As `--relist-seconds` is when nobody says otherwise."""
SECOND_SECONDS = 0.05
"""What a call of a second leader takes: two that disagree about a status would argue for ever in no time."""


@dataclass
class SimClock:
    """Seconds since the start of the simulation."""

    seconds: float = 0.0

    def __call__(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.seconds += seconds

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)


class Simulation:
    """An operator installation under test."""

    def __init__(
        self, schedule: FaultSchedule | None = None, *, late_events: bool = True, backend: Backend | None = None
    ) -> None:
        self.clock = SimClock()
        self.schedule = schedule or FaultSchedule()
        self.world = World(clock=self.clock, faults=self.schedule)
        self.world.boot_seconds, self.world.settle_seconds = 30, 2
        self.world.copy_seconds, self.world.dhcp_seconds = 3, 2
        self.backend = backend or FakeBackend(self.world)
        self.cluster = MemoryCluster(now=lambda: self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ"))
        self.cluster.around, self.cluster.before_read = self._around, self._before_read
        self.api_away = False
        """Whether the API server answers nobody."""
        self.loses_read: Callable[[], bool] = lambda: False
        """Says of each read whether it is answered."""
        self.instance = "instance-1"
        self.ahead = timedelta()
        """How far the operator's clock is ahead of the API server's."""
        self.kills = 0
        self._late_events = late_events
        self._events: list[tuple[Kind, str, Document]] = []
        self.passes = 0
        self._tokens = itertools.count(1)
        self._next_resync, self._next_relist = RESYNC_SECONDS, RELIST_SECONDS
        self._deaf = False
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._entries = itertools.count()
        self._stays: list[Stay] = []
        self._second: SecondLeader | None = None
        self.second_verbs = 0
        """Provider verbs that second leaders called."""
        self.cluster.watchers += [self._tell, refuse_unexplained]
        self.kubelet = SimKubelet(self.cluster, self.clock)
        self.cluster.watchers.append(self.kubelet.watch)
        self._start()

    def _start(self) -> None:
        """Start an operator process: empty cache, no session, everything it knows comes from outside."""
        self.queue, self.engine = self.build(self.backend, self._wake)
        self._deaf, self._next_relist = False, self.clock() + RELIST_SECONDS

    def build(self, backend: Backend, wake: Callable[[str], None]) -> tuple[SimQueue, Engine]:
        """Return the parts of an operator process that has listed everything and done nothing yet."""
        queue, cache = SimQueue(self.clock), Cache()
        sessions = Sessions(
            cluster=self.cluster,
            namespace="vmclone-system",
            load=lambda _: backend,
            wake=wake,
            fence=lambda: None,
            clock=self.clock,
        )
        engine = Engine(
            cluster=self.cluster,
            cache=cache,
            queue=queue,
            sessions=sessions,
            events=EventRecorder(self.cluster, reporter="sim", clock=self.clock, now=self.clock.now),
            instance=self.instance,
            clock=self.clock,
            now=lambda: self.clock.now() + self.ahead,
            server_now=self.clock.now,
            new_token=lambda: f"{next(self._tokens):08x}",
            pods=PodSettings(namespace="vmclone-system", image="home-copy"),
        )
        for key, document in list(self.cluster.documents.items()):
            if key.kind in WATCHED:
                take_event(engine, key.kind, None, copied(document))
        return queue, engine

    def expect_second_leader(self, stay: Stay) -> None:
        """Have another operator lead beside this one for a while."""
        self._stays.append(stay)

    def at(self, seconds: float, action: Callable[[], None]) -> None:
        """Have something happen at a moment of the simulation, between two passes."""
        heapq.heappush(self._agenda, (seconds, next(self._entries), action))

    def silence(self) -> None:
        """Let the watches be silent from now on: no event comes any more, and nothing says so."""
        self._deaf = True
        self._events.clear()

    def hear_again(self, *, listed: bool) -> None:
        """Let events come again. After a 410 the objects are listed first, and what was deleted is in no list."""
        self._deaf = False
        if listed:
            for key, document in list(self.cluster.documents.items()):
                if key.kind in WATCHED:
                    take_event(self.engine, key.kind, None, copied(document))

    def relist(self) -> None:
        """Have the operator take its live lists."""
        asyncio.run(relist(self.engine))

    def restart(self) -> None:
        """Kill the operator and start another."""
        self.kills += 1
        self.world.restart_operator()
        self._events.clear()
        self._start()

    def _wake(self, incarnation: str) -> None:
        key = self.engine.cache.by_incarnation(incarnation)
        if key is not None:
            self.queue.add(key)

    def _tell(self, kind: Kind, event: str, document: Document) -> None:
        """Deliver an event at once (before the writer has its answer), or only after the pass that caused it."""
        if kind not in WATCHED:
            return
        if self._second is not None:
            self._second.tell(kind, event, copied(document))
        if self._deaf:
            return
        if self._late_events:
            self._events.append((kind, event, copied(document)))
        else:
            take_event(self.engine, kind, event, copied(document))

    def _deliver(self) -> None:
        events, self._events = self._events, []
        for kind, event, document in events:
            take_event(self.engine, kind, event, document)

    def _before_read(self) -> None:
        if self.api_away or self.loses_read():
            raise Unavailable("the API server does not answer")

    def _around(self, name: str, act: Callable[[], Document]) -> Document:
        if self.api_away:
            raise Unavailable("the API server does not answer")
        try:
            return self.schedule.run("kube", name, "", act, advance=self.world.advance, writes=True)
        except CloneError as error:
            raise Unavailable(str(error)) from error

    def run(self, seconds: float = 3600, *, until: Callable[[], bool] = lambda: False) -> None:
        """Run until the given condition holds or that much simulated time has passed."""
        asyncio.run(self._run(self.clock() + seconds, until))

    async def _run(self, end: float, until: Callable[[], bool]) -> None:
        try:
            await self._work(end, until)
        finally:
            self._end_second()

    async def _work(self, end: float, until: Callable[[], bool]) -> None:
        while not until() and self.clock() < end:
            self._happen()
            self.kubelet.advance()
            self._deliver()
            await self._lead_beside()
            upcoming, soon = self.queue.next_due(), min(self._next_other(), end)
            second = self._second
            if second is not None and upcoming > self.clock():
                moment = second.next_moment()
                if second.busy:
                    continue
                if moment < min(upcoming, soon):
                    self.clock.seconds = moment
                    continue
            if soon < upcoming:
                self.clock.seconds = max(self.clock(), soon)
                if self.clock() < end:
                    await self._survive(self._do_other)
                continue
            key, due = self.queue.pop()
            self.clock.seconds = max(self.clock(), due)
            await self._survive(partial(self._pass, key))

    def _next_other(self) -> float:
        """Return when something is due that is no pass."""
        happening = self._agenda[0][0] if self._agenda else float("inf")
        return min(self._next_resync, self._next_relist, happening)

    async def _do_other(self) -> None:
        """Do what the operator does beside its passes; what the agenda says is done by the loop."""
        if self._next_resync <= self.clock():
            self._next_resync = self.clock() + RESYNC_SECONDS
            await resync(self.engine)
            await compare_due(self.engine)
        if self._next_relist <= self.clock():
            self._next_relist = self.clock() + RELIST_SECONDS
            await relist(self.engine)

    def _happen(self) -> None:
        while self._agenda and self._agenda[0][0] <= self.clock():
            heapq.heappop(self._agenda)[2]()

    async def _lead_beside(self) -> None:
        """Let the second leader, if there is one now, do its next bit."""
        if self._second is not None and self._second.ended:
            self._end_second()
        if self._second is None and self._stays and self._stays[0].begins <= self.clock():
            self._second = SecondLeader(self, self._stays.pop(0))
        if self._second is not None and self._second.busy:
            await self._second.advance()
            self.clock.advance(SECOND_SECONDS)

    def _end_second(self) -> None:
        if self._second is not None:
            self._second.end()
            self.second_verbs += self._second.verbs
            self._second = None

    async def _survive(self, action: Callable[[], Awaitable[None]]) -> None:
        try:
            await action()
        except Killed:
            self.restart()

    async def _pass(self, key: Key) -> None:
        self.passes += 1
        queue = self.queue
        try:
            after = await reconcile(self.engine, key)
        except NoSlot as crowded:
            after = crowded.after
        except PassFailed as failure:
            after = max(failure.after, min(failure.limit, queue.backoff(key)))
        else:
            queue.failures.pop(key, None)
            if after is not None and after >= _LONG_SECONDS:
                after *= _SPREAD
        if after is not None:
            queue.add_after(key, max(after, 0.01))

    def get(self, kind: Kind, name: str, namespace: str = "") -> Document | None:
        return copied(self.cluster.documents.get(Key(kind, namespace, name)))
