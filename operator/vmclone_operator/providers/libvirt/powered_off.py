"""Freezing a source that is off: its volumes are cloned, and its state is compared before and after.

A volume clone goes on in libvirtd when its client dies, and nobody can ask for its result afterwards:
an attempt that this process does not remember is lost, and removed once libvirtd has let go of it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import libvirt

from vmclone_operator.domain.backend import Consistency, FreezeIntent
from vmclone_operator.domain.errors import RetryLater, SourceChanged
from vmclone_operator.providers.libvirt import source as sources
from vmclone_operator.providers.libvirt import translate, volumes
from vmclone_operator.providers.libvirt.frozen_names import frozen_volume_name

if TYPE_CHECKING:
    from concurrent.futures import Future

    from vmclone_operator.domain.backend import Fence, Owner
    from vmclone_operator.providers.libvirt.events import Watch


@dataclass(slots=True, kw_only=True)
class Copy:
    """A copy under way, or how it ended; lives as long as the session."""

    intent: FreezeIntent
    fingerprint: str
    disks: int
    finished: int = 0
    total_bytes: int = 0
    """How much there is to write, where that is known."""
    cancelled: threading.Event = field(default_factory=threading.Event)
    future: Future[None] | None = None
    told: bool = False
    """Somebody was told how it failed."""

    @property
    def running(self) -> bool:
        """Whether a thread still works on it."""
        return self.future is not None and not self.future.done()

    def is_of(self, owner: Owner) -> bool:
        """Return whether it is for this VMClone."""
        return (self.intent.instance, self.intent.vmclone_uid) == (owner.instance, owner.vmclone_uid)

    def percent(self, written_bytes: int) -> int:
        """Return how much is done, by bytes or else by disks; never 100 before the end."""
        done, total = (written_bytes, self.total_bytes) if self.total_bytes else (self.finished, self.disks)
        return min(99, done * 100 // max(1, total))

    def give_up(self) -> bool:
        """Copy no more; one that waits for its turn never begins. False while one that was begun has yet to end."""
        self.cancelled.set()
        return self.future is None or self.future.cancel() or not self.running

    def raise_failure(self) -> None:
        """Raise what the copy failed with, if it did."""
        if self.future is None or not self.future.done():
            return
        if self.future.cancelled():
            raise RetryLater("the copy was given up")
        self.future.result()


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What must be the same before and after: off all the time, the same disks, not written to."""

    fingerprint: str
    starts: int
    modified: tuple[str, ...]


def state_of(connection: libvirt.virConnect, source_id: str, watch: Watch) -> State:
    """Read a source's state; raises SourceChanged when it is not off."""
    source = sources.read(connection, source_id)
    if source.domain.isActive():
        raise SourceChanged("the source was started while its disks were copied: freeze it again")
    modified = [volumes.describe(sources.source_volume(connection, disk)).modified for disk in source.copied]
    return State(fingerprint=sources.fingerprint(source), starts=watch.starts(source_id), modified=tuple(modified))


def copy_disks(connection: libvirt.virConnect, copy: Copy, pool_name: str, watch: Watch, fence: Fence) -> None:
    """Clone every disk's volume into the pool as qcow2, flattened; blocks until all are done."""
    source = sources.read(connection, copy.intent.source_id)
    before = state_of(connection, copy.intent.source_id, watch)
    pool = volumes.open_pool(connection, pool_name)
    capacities = sources.sizes(source)
    for disk in source.copied:
        if copy.cancelled.is_set():
            raise RetryLater("the copy was given up")
        volume = sources.source_volume(connection, disk)
        name = frozen_volume_name(copy.intent, copy.intent.token, disk.target, Consistency.POWERED_OFF)
        fence()
        try:
            pool.createXMLFrom(volumes.volume_xml(name, capacities[disk.target]), volume, 0)
        except libvirt.libvirtError as error:
            if not translate.is_connection_loss(error):
                state_of(connection, copy.intent.source_id, watch)  # QEMU lets nobody copy the disk of a running VM
            raise
        copy.finished += 1
    if state_of(connection, copy.intent.source_id, watch) != before or before.fingerprint != copy.fingerprint:
        raise SourceChanged("the source was started or changed while its disks were copied: freeze it again")
