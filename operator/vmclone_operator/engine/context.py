"""What every pass is given: the cluster, the cache, open backends, clocks. Made once, in `main`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from vmclone_operator.api import FINALIZER
from vmclone_operator.domain import naming
from vmclone_operator.domain.adoption import Claimable
from vmclone_operator.domain.backend import BackendSession, Capabilities
from vmclone_operator.domain.clocks import Clocks
from vmclone_operator.domain.conditions import ConditionWriter
from vmclone_operator.domain.errors import CloneError
from vmclone_operator.domain.orphans import Orphans
from vmclone_operator.domain.pace import Looks
from vmclone_operator.engine.backends.endpoints import host_of
from vmclone_operator.engine.backends.sessions import Sessions
from vmclone_operator.engine.objects.cache import Cache
from vmclone_operator.engine.objects.lineage import incarnation_of, made_at
from vmclone_operator.engine.objects.own_writes import OwnWrites
from vmclone_operator.engine.work.freeze_turns import FreezeTurns
from vmclone_operator.engine.work.host_slots import HostSlots
from vmclone_operator.engine.work.meter import CopyMeter, NoMeter, ReadyMeter
from vmclone_operator.engine.work.queue import Priority, Wakeable
from vmclone_operator.engine.work.waiting import Waiting
from vmclone_operator.engine.work.wakeups import concerned, lost, saw, wake_next
from vmclone_operator.homecopy.job_manifest import PodSettings
from vmclone_operator.kube.cluster import Cluster, Document, Key, Kind, key_of
from vmclone_operator.kube.events import EventRecorder

_LIVE_FOR_SECONDS = 1.0


@dataclass(slots=True, kw_only=True)
class Engine:
    """The operator's working parts, and the few reads and writes that all passes share."""

    cluster: Cluster
    cache: Cache
    queue: Wakeable
    sessions: Sessions
    events: EventRecorder
    instance: str
    """The uid of the operator's namespace: stamps carry it."""
    clock: Callable[[], float]
    """Monotonic seconds."""
    now: Callable[[], datetime]
    server_now: Callable[[], datetime | None]
    """The API server's own time, None before it has answered."""
    new_token: Callable[[], str]
    pods: PodSettings
    """The operator's own namespace, and what the pods of home copies are made of."""
    keeps_shared: Callable[[], bool] = lambda: True
    """Whether this installation writes the status of CloneBackends and CloneSources, which all installations share."""
    copy_meter: CopyMeter = field(default_factory=NoMeter)
    """Is told how home copies end."""
    ready_meter: ReadyMeter = field(default_factory=NoMeter)
    """Is told how long VMClones take to be ready."""
    host_slots: HostSlots = field(default_factory=lambda: HostSlots(workers=16))
    """Which passes are at which host."""
    held_plans: Waiting = field(default_factory=Waiting)
    """Which VMClones have findings against their plans, by CloneBackend."""
    freeze_turns: FreezeTurns = field(default_factory=FreezeTurns)
    """Which VMClone freezes which source VM."""
    copy_turns: dict[str, set[str]] = field(default_factory=dict)
    """Which incarnations were given a turn at a source and may not show it in their ledger yet."""
    session_turns: dict[tuple[str, str], str] = field(default_factory=dict)
    """By namespace and session, which VMClone (uid) was given it and may not show it in its status yet."""
    claimable: dict[str, Claimable] = field(default_factory=dict)
    """By backend, what its last list showed to VMClones that were restored."""
    unlisted: dict[str, tuple[float, CloneError]] = field(default_factory=dict)
    """By backend, when and how the last list failed; without an entry it did not."""
    orphans: dict[str, Orphans] = field(default_factory=dict)
    """By backend, what of ours belonged to nobody at the last look; without an entry nobody looked yet."""
    leftover_jobs: tuple[str, ...] = ()
    """The Jobs of home copies that belonged to nobody at the last look."""
    leftover_secrets: tuple[str, ...] = ()
    """The Secrets of home copies and seeds that belonged to nobody at the last look."""
    told_objects: frozenset[str] = frozenset()
    """The uids of both: looked for live, and told on each."""
    compared: dict[str, float] = field(default_factory=dict)
    """When each backend's list was last asked for."""
    comparing: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    """The comparison of each backend that was begun last; one that hangs is not done."""
    skewed: bool = False
    """Whether the clocks differed at the last look."""
    looked_at: float = 0
    """Until when daily looks were given out, in Unix seconds."""
    thorough: set[Key] = field(default_factory=set)
    """The replicas whose next pass is the full look of the day."""
    consoles: dict[str, str] = field(default_factory=dict)
    """By incarnation, what the console of a clone said whose boot is overdue: the backend is asked once."""
    looks: Looks = field(init=False)
    """When a freeze that runs is worth another look."""
    heard: dict[Kind, float] = field(default_factory=dict)
    """When an event or a live list last said how the objects of a kind are."""
    _live: dict[Key, tuple[float, Document | None]] = field(default_factory=dict)
    _at_source: dict[tuple[str, str], asyncio.Lock] = field(default_factory=dict)
    _listing: dict[str, asyncio.Lock] = field(default_factory=dict)
    _written: dict[str, float] = field(default_factory=dict)
    _unsettled: dict[str, float] = field(default_factory=dict)
    _asked_to_go: set[str] = field(default_factory=set)
    _own_writes: OwnWrites = field(default_factory=OwnWrites)

    def __post_init__(self) -> None:
        """Give what counts time the clock of this engine."""
        self.looks = Looks(clock=self.clock)

    def clocks(self) -> Clocks:
        """Return the time by the operator's clock and by the API server's."""
        return Clocks(local=self.now(), server=self.server_now())

    def timestamp(self) -> str:
        """Return the time as conditions write it."""
        return stamp_time(self.now())

    def writer_for(self, document: Document) -> ConditionWriter:
        """Return the writer of an object's conditions: its generation, and the time as it is now."""
        return ConditionWriter(generation=document["metadata"].get("generation", 1), now=self.timestamp())

    def hear(self, kind: Kind) -> None:
        """Remember that news of a kind came now."""
        self.heard[kind] = self.clock()

    async def live(self, key: Key) -> Document | None:
        """Read an object live; a read of the last second counts, so that N replicas cost one."""
        known = self._live.get(key)
        if known is not None and self.clock() - known[0] < _LIVE_FOR_SECONDS:
            return known[1]
        return await self.read(key)

    async def read(self, key: Key) -> Document | None:
        """Read an object live, whatever was read before: for what must be as new as the event that led here."""
        started = self.clock()
        document = await self.cluster.get(key)
        self._forget_old_reads()
        self._live.pop(key, None)  # the oldest stands first
        self._live[key] = (started, document)
        if document is not None and key.kind in _CACHED:
            self.saw(key.kind, document)
        return document

    def _forget_old_reads(self) -> None:
        """Drop what was read too long ago to be used: after a burst it would be held for nothing."""
        while self._live:
            oldest = next(iter(self._live))
            if self.clock() - self._live[oldest][0] < _LIVE_FOR_SECONDS:
                return
            del self._live[oldest]

    def saw(self, kind: Kind, document: Document, priority: Priority = Priority.HIGH) -> bool:
        """Remember what was read or told; if it is news, wake whom it concerns. Return whether it was."""
        if self._own_writes.hold(document):
            return False
        return saw(self.cache, self.queue, kind, document, priority)

    def lost(self, kind: Kind, document: Document) -> None:
        """Forget an object that is gone, and wake whoever may now go on."""
        lost(self.cache, self.queue, kind, document)
        uid = document["metadata"]["uid"]
        self._written.pop(uid, None)
        self._asked_to_go.discard(uid)
        self._unsettled.pop(uid, None)
        self.thorough.discard(key_of(kind, document))
        incarnation = incarnation_of(document) if kind is Kind.REPLICA else ""
        self.held_plans.freed(self.queue, made_at(document))
        self.consoles.pop(incarnation, None)
        for mark in (f"{incarnation}/copy", f"{naming.clone_uuid(incarnation)}/clone"):
            self._written.pop(mark, None)
        for turns in self.copy_turns.values():
            turns.discard(incarnation)
        for session in [session for session, holder in self.session_turns.items() if holder == uid]:
            del self.session_turns[session]
        key = key_of(kind, document)
        if self.cache.get(key) is None:
            self.queue.forget(key)
            self.host_slots.forget(self.queue, key)
            self.freeze_turns.forget(self.queue, key)
            self.held_plans.end(self.queue, key)

    async def session(self, backend: str) -> BackendSession:
        """Return the session of a CloneBackend by its name; raises what `Sessions.get` does."""
        return await self.sessions.get(self.cache.get(Key(Kind.BACKEND, "", backend)), backend)

    async def capabilities(self, backend: str, pool: str) -> Capabilities:
        """Return what a CloneBackend can do in a pool, an empty one is its own; raises what `Sessions.get` does."""
        return await self.sessions.capabilities(self.cache.get(Key(Kind.BACKEND, "", backend)), backend, pool)

    def look_seconds(self, backend: str) -> float:
        """Return the least time between two looks at a CloneBackend, as far as that is known; costs no call."""
        return self.sessions.look_seconds(backend)

    def newest(self, kind: Kind, document: Document) -> Document:
        """Return what is cached of this very object: one of the same name made since is another."""
        cached = self.cache.get(key_of(kind, document))
        same = cached is not None and cached["metadata"]["uid"] == document["metadata"]["uid"]
        return cached if cached is not None and same else document

    def source_gate(self, backend: str, source_id: str) -> asyncio.Lock:
        """Return the lock of whoever freezes or switches a source VM: one at a time, over all VMClones."""
        return self._at_source.setdefault((host_of(self.cache, backend), source_id), asyncio.Lock())

    def list_gate(self, backend: str) -> asyncio.Lock:
        """Return the lock of whoever needs a list of a backend's VMs: the others wait, and share it."""
        return self._listing.setdefault(backend, asyncio.Lock())

    def status_wait(self, uid: str, pause_seconds: float) -> float:
        """Return the seconds until an object's summary may be written again."""
        return max(0.0, self._written.get(uid, -pause_seconds) + pause_seconds - self.clock())

    def figures_due(self, uid: str, pause_seconds: float) -> bool:
        """Return whether a summary that says nothing but other figures may be written; a restart is no news either."""
        return self.clock() - self._written.setdefault(uid, self.clock()) >= pause_seconds

    def settling_wait(self, uid: str, seconds: float) -> float:
        """Return the seconds until a change that nobody has written is so old that it is worth a write of its own."""
        return max(0.0, self._unsettled.setdefault(uid, self.clock()) + seconds - self.clock())

    def settled(self, uid: str) -> None:
        """Remember that an object's status says how it is."""
        self._unsettled.pop(uid, None)

    def status_written(self, uid: str) -> None:
        """Remember when an object's summary was written."""
        self._written[uid] = self.clock()

    async def _write(self, kind: Kind, document: Document, write: Awaitable[Document]) -> Document:
        """Carry out a write of our own: its answer goes into the cache, its echo wakes nobody."""
        try:
            with self._own_writes.writing(document):
                written = await write
                self.cache.put(kind, written)
                wake_next(self.cache, self.queue)
                return written
        finally:
            told = self._own_writes.held_back(document)
            if told is not None:
                self.saw(kind, told)

    async def write_status(self, kind: Kind, document: Document, status: Document) -> Document:
        """Write the status if it differs from what the document shows, and take the answer into the cache."""
        if document.get("status") == status:
            return document
        started = self.clock()
        written = await self._write(kind, document, self.cluster.write_status(kind, document, status))
        key = key_of(kind, written)
        if self._live.pop(key, None) is not None:  # an older read would have this write acted on again
            self._live[key] = (started, written)
        if kind is Kind.REPLICA:
            for other in concerned(self.cache, kind, written):
                self.queue.add(other)
        return written

    async def ensure_finalizer(self, kind: Kind, document: Document) -> Document:
        """Add our finalizer before the first side effect."""
        present = document["metadata"].get("finalizers", [])
        if FINALIZER in present:
            return document
        write = self.cluster.write_finalizers(kind, document, [*present, FINALIZER])
        return await self._write(kind, document, write)

    async def drop_finalizer(self, kind: Kind, document: Document) -> None:
        """Remove our finalizer, and only ours."""
        present = document["metadata"].get("finalizers", [])
        if FINALIZER in present:
            write = self.cluster.write_finalizers(kind, document, [f for f in present if f != FINALIZER])
            await self._write(kind, document, write)

    async def delete(self, kind: Kind, document: Document) -> None:
        """Ask for an object's deletion, once: two passes may both find that it is to go before the watch says so."""
        uid = document["metadata"]["uid"]
        if uid in self._asked_to_go:
            return
        self._asked_to_go.add(uid)
        try:
            await self.cluster.delete(kind, document)
        except BaseException:
            self._asked_to_go.discard(uid)
            raise

    async def write_labels(self, kind: Kind, document: Document, labels: Mapping[str, str]) -> Document:
        """Replace the labels."""
        return await self._write(kind, document, self.cluster.write_labels(kind, document, labels))


_CACHED = frozenset({Kind.VMCLONE, Kind.REPLICA, Kind.SOURCE, Kind.BACKEND})


def stamp_time(moment: datetime) -> str:
    """Return a time as metav1.Time writes it: UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def annotation(document: Document, name: str) -> str:
    """Return one of our annotations by its short name, empty when it is not there."""
    value: str = (document["metadata"].get("annotations") or {}).get(f"vmclone.dev/{name}", "")
    return value
