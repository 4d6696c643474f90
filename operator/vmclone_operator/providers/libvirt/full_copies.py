"""Full copies: a clone's disks copied from the frozen point, disk by disk, by libvirtd itself.

Nobody can ask libvirtd later whether a copy came to its end, and volumes cannot be renamed. So a copy counts
only when this process saw it end and the ledger knows it: what is in neither is an unfinished attempt, which is
removed and made again; what is in the ledger is never copied again.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import libvirt

from vmclone_operator.domain import naming
from vmclone_operator.domain.backend import OperationState, Progress
from vmclone_operator.domain.errors import RetryLater
from vmclone_operator.providers.libvirt import volumes

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from concurrent.futures import Future

    from vmclone_operator.domain.backend import CloneIntent, Fence
    from vmclone_operator.providers.libvirt.blueprint import Base
    from vmclone_operator.providers.libvirt.connection import Connection
    from vmclone_operator.providers.libvirt.events import Watch

_GIVEN_UP = "the copy was given up"


def volume_name(intent: CloneIntent, target: str) -> str:
    """Return the name of one of the clone's own disks."""
    return f"{naming.volume_prefix(intent.stamp.instance, intent.stamp.incarnation)}{intent.token}-{target}.qcow2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One disk to copy: from where, to where, and how large it has to be in the end."""

    base: Base
    base_pool: str
    pool: str
    name: str


@dataclass(slots=True, kw_only=True)
class Attempt:
    """The copies of one clone in this process; lives until the clone is defined or given up."""

    token: str
    work: dict[str, Work] = field(default_factory=dict)
    ledger: set[str] = field(default_factory=set)
    """What the ledger knows to be complete."""
    futures: dict[str, Future[None]] = field(default_factory=dict)
    lost: bool = False
    """True when a disk that the ledger knows to be complete is gone: only a new attempt is sure to be whole."""
    cancelled: threading.Event = field(default_factory=threading.Event)

    @property
    def running(self) -> bool:
        """Whether a thread still works on it."""
        return any(not future.done() for future in self.futures.values())

    @property
    def finished(self) -> set[str]:
        """The disks that are complete."""
        return self.ledger | {target for target, future in self.futures.items() if _succeeded(future)}

    def raise_failure(self) -> None:
        """Raise what a copy failed with when all have ended, once: asked again, what failed is to be made again."""
        failed = [target for target, future in self.futures.items() if future.done() and not _succeeded(future)]
        if not failed or self.running:
            return
        self.cancelled = threading.Event()
        first, *_ = [self.futures.pop(target) for target in failed]
        if first.cancelled():
            raise RetryLater(_GIVEN_UP)
        first.result()

    def give_up(self) -> None:
        """Copy no more: what waits for its turn never begins, what was begun ends by itself."""
        self.cancelled.set()
        for future in self.futures.values():
            future.cancel()


def _succeeded(future: Future[None]) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None


class FullCopies:
    """The full copies of one session."""

    def __init__(self, *, bulk: Connection, watch: Watch, fence: Fence) -> None:
        self._bulk = bulk
        self._watch = watch
        self._fence = fence
        self._attempts: dict[str, Attempt] = {}

    def proven(self, intent: CloneIntent) -> frozenset[str]:
        """Return the names of the volumes that are complete, or that this process copies now: they stay.

        Raises what a copy of this attempt failed with, once; RetryLater while another attempt still runs.
        """
        attempt = self._attempts.get(intent.uuid)
        if attempt is not None and attempt.token != intent.token:
            if not self.give_up(intent.uuid):
                raise RetryLater("an earlier attempt to copy the clone's disks has yet to end")
            attempt = None
        held = set(intent.finished)
        if attempt is not None:
            attempt.raise_failure()
            held |= attempt.finished | set(attempt.futures)
        return frozenset(volume_name(intent, target) for target in held)

    def complete(self, intent: CloneIntent, work: Mapping[str, Work], present: Collection[str]) -> bool:
        """Return whether the ledger knows every disk to be complete; if not, copy what nobody copies yet."""
        attempt = self._attempts.setdefault(intent.uuid, Attempt(token=intent.token))
        attempt.ledger |= set(intent.finished)
        attempt.work.update(work)
        if any(work[target].name not in present for target in intent.finished if target in work):
            attempt.lost = True
            attempt.cancelled.set()
        elif set(work) <= set(intent.finished):
            return True
        else:
            for target in work.keys() - attempt.finished - attempt.futures.keys():
                self._begin(intent, attempt, target)
        return False

    def _begin(self, intent: CloneIntent, attempt: Attempt, target: str) -> None:
        future = self._bulk.submit(partial(self._copy, attempt=attempt, work=attempt.work[target]))
        attempt.futures[target] = future
        future.add_done_callback(lambda _future: self._watch.clone_changed(intent.stamp.incarnation))

    def _copy(self, connection: libvirt.virConnect, attempt: Attempt, work: Work) -> None:
        """Copy one disk, flattened; blocks until it is done."""
        if attempt.cancelled.is_set():
            raise RetryLater(_GIVEN_UP)
        base = volumes.open_pool(connection, work.base_pool).storageVolLookupByName(work.base.name)
        pool = volumes.open_pool(connection, work.pool)
        xml = volumes.volume_xml(work.name, work.base.capacity)
        self._fence()
        try:
            volume = pool.createXMLFrom(xml, base, 0)
        except libvirt.libvirtError as error:
            attempt.cancelled.set()
            if volumes.exists_already(error):  # made by a call of a process that was killed
                raise RetryLater(f"{work.name} was begun by another process: it is removed and copied again") from error
            raise
        if volume.info()[1] < work.base.capacity:  # libvirt makes the copy as large as what it copies
            self._fence()
            volume.resize(work.base.capacity)

    def give_up(self, uuid: str) -> bool:
        """Copy no more for this clone; false while a copy that was begun has yet to end."""
        attempt = self._attempts.get(uuid)
        if attempt is None:
            return True
        attempt.give_up()
        if attempt.running:
            return False
        del self._attempts[uuid]
        return True

    def forget(self, uuid: str) -> None:
        """Forget the copies of a clone that is defined."""
        self._attempts.pop(uuid, None)

    def standing(self, connection: libvirt.virConnect, intent: CloneIntent) -> Progress:
        """Tell how far the copies of an attempt are; LOST when this process knows nothing of it."""
        attempt = self._attempts.get(intent.uuid)
        if attempt is None or attempt.token != intent.token or attempt.lost:
            return Progress(state=OperationState.LOST)
        attempt.raise_failure()
        finished = tuple(sorted(attempt.finished))
        return Progress(state=OperationState.RUNNING, percent=_percent(connection, attempt), finished=finished)


def _percent(connection: libvirt.virConnect, attempt: Attempt) -> int:
    """Return how much is written; never 100 before the clone is defined."""
    total = sum(one.base.allocated for one in attempt.work.values())
    done = sum(
        one.base.allocated if target in attempt.finished else min(_written(connection, one), one.base.allocated)
        for target, one in attempt.work.items()
    )
    return min(99, done * 100 // max(1, total))


def _written(connection: libvirt.virConnect, work: Work) -> int:
    return volumes.written(volumes.open_pool(connection, work.pool), work.name)
