"""Frozen points on libvirt: made, asked about, listed and removed. The volumes' names are the record."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import libvirt

from vmclone_operator.domain import naming
from vmclone_operator.domain.backend import (
    Consistency,
    FreezeIntent,
    FrozenPoint,
    OperationState,
    Owner,
    Progress,
    removal,
)
from vmclone_operator.domain.errors import (
    AgentNotReady,
    CloneError,
    CloneFailed,
    FrozenPointInUse,
    LeadershipLost,
    QuiesceFailed,
    SourceLocked,
)
from vmclone_operator.providers.libvirt import blueprint, domain_xml, freeze, images, translate, volumes
from vmclone_operator.providers.libvirt import source as sources
from vmclone_operator.providers.libvirt.frozen_names import FrozenVolume, frozen_volume_name, parse_name
from vmclone_operator.providers.libvirt.powered_off import Copy, copy_disks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from vmclone_operator.domain.backend import Fence
    from vmclone_operator.providers.libvirt.connection import Connection
    from vmclone_operator.providers.libvirt.events import Watch
    from vmclone_operator.providers.libvirt.source import Source

BEGUN = "begun"
"""The handle of an attempt whose point in time is taken. Without it, files that no copy fills are those of a call that
was killed before: the source's last backup, which libvirt can tell of, may be that of another attempt."""


_Key = tuple[str, str, str]


class FrozenPoints:
    """The frozen points of one session; every method blocks and is called in a thread of the session."""

    def __init__(self, *, pool: str, bulk: Connection, watch: Watch, fence: Fence) -> None:
        self._pool = pool
        self._bulk = bulk
        self._watch = watch
        self._fence = fence
        self._copies: dict[_Key, Copy] = {}
        self._done: dict[_Key, FrozenPoint] = {}

    def standing(self, connection: libvirt.virConnect, intent: FreezeIntent) -> Progress | None:
        """Tell how the copy of a token stands, complete only when something proves it; None when there is none."""
        self._watch.know_source(intent.source_id)
        pool = volumes.open_pool(connection, self._pool)
        held = _of_token(pool, intent.token, naming.frozen_prefix(intent.instance, intent.vmclone_uid))
        copy = self._copies.get(_key(intent, intent.token))
        if copy is not None:
            return self._of_copy(pool, held, copy)
        if not held:
            return Progress(state=OperationState.LOST) if intent.handle else None
        domain = sources.by_uuid(connection, intent.source_id)
        if domain is None:
            return Progress(state=OperationState.LOST)
        return self._of_backup(pool, domain, held, intent)

    def begin(self, connection: libvirt.virConnect, intent: FreezeIntent) -> Progress:
        """Take the point in time and start copying."""
        if intent.image:
            return self._freeze_image(connection, intent)
        source = sources.read(connection, intent.source_id)
        sources.require_copyable(source)
        pool = volumes.open_pool(connection, self._pool)
        left = _of_token(pool, intent.token, naming.frozen_prefix(intent.instance, intent.vmclone_uid))
        if source.domain.isActive():
            return self._freeze_running(pool, source, intent, left)
        _refuse_leftovers(intent, left)
        return self._freeze_powered_off(connection, pool, source, intent)

    def _freeze_running(
        self, pool: libvirt.virStoragePool, source: Source, intent: FreezeIntent, left: Sequence[FrozenVolume]
    ) -> Progress:
        busy = freeze.other_job(source.domain, source.live)
        if busy or freeze.running_backup(source.domain) is not None:
            raise SourceLocked(busy or "another backup of the source is running")
        _refuse_leftovers(intent, left)
        fingerprint = sources.fingerprint(source)
        try:
            consistency = self._back_up(pool, source, intent)
        except (CloneError, libvirt.libvirtError) as error:
            if not (isinstance(error, libvirt.libvirtError) and translate.is_connection_loss(error)):
                self._give_up(pool, source, intent)
            raise
        return _begun(intent, consistency, fingerprint)

    def _back_up(self, pool: libvirt.virStoragePool, source: Source, intent: FreezeIntent) -> Consistency:
        """Start the backup with the guest held still, or without where that is acceptable and the guest cannot."""
        try:
            self._back_up_quiesced(pool, source, intent)
        except (QuiesceFailed, AgentNotReady):
            if not Consistency.CRASH_CONSISTENT.satisfies(intent.consistency):
                raise
        else:
            return Consistency.QUIESCED
        self._give_up(pool, source, intent)
        self._begin(source, self._make_targets(pool, source, intent, Consistency.CRASH_CONSISTENT))
        return Consistency.CRASH_CONSISTENT

    def _back_up_quiesced(self, pool: libvirt.virStoragePool, source: Source, intent: FreezeIntent) -> None:
        freeze.require_agent(domain_xml.parsed(source.domain.XMLDesc()))
        quiesce = freeze.Quiesce(source.domain, self._fence)
        if quiesce.is_frozen():
            raise SourceLocked("the guest's file systems are frozen by somebody else")
        files = self._make_targets(pool, source, intent, Consistency.QUIESCED)
        quiesce.around(take=lambda: self._begin(source, files), undo=lambda: self._give_up(pool, source, intent))

    def _make_targets(
        self, pool: libvirt.virStoragePool, source: Source, intent: FreezeIntent, consistency: Consistency
    ) -> dict[str, str]:
        """Make the backup's targets as volumes beforehand: the pool knows them, and the frozen time is short."""
        files = {}
        for target, capacity in sources.sizes(source).items():
            name = frozen_volume_name(intent, intent.token, target, consistency)
            files[target] = volumes.create(pool, volumes.volume_xml(name, capacity), self._fence).path()
        return files

    def _begin(self, source: Source, files: Mapping[str, str]) -> None:
        self._fence()
        source.domain.backupBegin(freeze.backup_xml(source.live, files), None, freeze.BACKUP_FLAGS)

    def _give_up(self, pool: libvirt.virStoragePool, source: Source, intent: FreezeIntent) -> None:
        """Remove what a failed attempt made, so that its token can be used again."""
        left = _of_token(pool, intent.token, naming.frozen_prefix(intent.instance, intent.vmclone_uid))
        if (freeze.running_backup(source.domain) or frozenset()) & _paths(pool, left):
            self._fence()
            source.domain.abortJob()
        volumes.remove(pool, [volume.name for volume in left], self._fence)

    def _freeze_powered_off(
        self, connection: libvirt.virConnect, pool: libvirt.virStoragePool, source: Source, intent: FreezeIntent
    ) -> Progress:
        for disk in source.copied:
            sources.source_volume(connection, disk)
        copy = Copy(intent=intent, fingerprint=sources.fingerprint(source), disks=len(source.copied))
        return self._copy(copy, lambda bulk: copy_disks(bulk, copy, pool.name(), self._watch, self._fence))

    def _freeze_image(self, connection: libvirt.virConnect, intent: FreezeIntent) -> Progress:
        """Copy a golden image; the source only lends the name of its first disk, where it is on this host."""
        image = images.find(connection, self._pool, intent.image)
        pool = volumes.open_pool(connection, self._pool)
        prefix = naming.frozen_prefix(intent.instance, intent.vmclone_uid)
        _refuse_leftovers(intent, _of_token(pool, intent.token, prefix))
        target = blueprint.boot_target(connection, intent.source_id)
        name = frozen_volume_name(intent, intent.token, target, Consistency.POWERED_OFF)
        copy = Copy(intent=intent, fingerprint=image.fingerprint, disks=1, total_bytes=image.info.allocation)
        return self._copy(copy, lambda bulk: images.copy_image(bulk, copy, name, self._pool, self._fence))

    def _copy(self, copy: Copy, work: Callable[[libvirt.virConnect], None]) -> Progress:
        self._copies[_key(copy.intent, copy.intent.token)] = copy
        copy.future = self._bulk.submit(work)
        copy.future.add_done_callback(lambda _future: self._watch.all_changed())
        return _begun(copy.intent, Consistency.POWERED_OFF, copy.fingerprint)

    def _of_copy(self, pool: libvirt.virStoragePool, held: Sequence[FrozenVolume], copy: Copy) -> Progress:
        """Tell how a copy of this process stands; how it failed is told once, after that it is lost."""
        if copy.told:
            return Progress(state=OperationState.LOST)
        if copy.running:
            written = sum(volumes.written(pool, volume.name) for volume in held)
            begun = _begun(copy.intent, Consistency.POWERED_OFF, copy.fingerprint)
            return replace(begun, percent=copy.percent(written))
        try:
            copy.raise_failure()
        except (CloneError, LeadershipLost):
            copy.told = True
            raise
        return self._finished(pool, held, copy.intent, copy.fingerprint)

    def _of_backup(
        self,
        pool: libvirt.virStoragePool,
        domain: libvirt.virDomain,
        held: Sequence[FrozenVolume],
        intent: FreezeIntent,
    ) -> Progress:
        """Tell how the copy of a running source stands, which libvirt makes by itself."""
        begun = intent.handle == BEGUN
        known = self._done.get(_key(intent, intent.token))
        if known is not None:
            return Progress(state=OperationState.DONE, percent=100, frozen=known, handle=BEGUN)
        if (freeze.running_backup(domain) or frozenset()) & _paths(pool, held):
            if begun:  # the ledger has the point in time
                return Progress(state=OperationState.RUNNING, percent=freeze.percent(domain))
            return _begun(intent, held[0].consistency, sources.fingerprint(sources.examine(domain)))
        if not begun or held[0].consistency is Consistency.POWERED_OFF or not freeze.last_backup_succeeded(domain):
            return Progress(state=OperationState.LOST)
        source = sources.examine(domain)
        if {disk.target for disk in source.copied} != {volume.target for volume in held}:
            return Progress(state=OperationState.LOST)
        return self._finished(pool, held, intent, sources.fingerprint(source))

    def _finished(
        self, pool: libvirt.virStoragePool, held: Sequence[FrozenVolume], intent: FreezeIntent, fingerprint: str
    ) -> Progress:
        if not held:
            return Progress(state=OperationState.LOST)
        found = [volumes.find_volume(pool, volume.name) for volume in held]
        point = replace(
            _point(intent, held[0].consistency, fingerprint),
            allocated_bytes=sum(volume.info()[2] for volume in found if volume is not None),
        )
        self._done[_key(intent, point.token)] = point
        return Progress(state=OperationState.DONE, percent=100, frozen=point, handle=BEGUN)

    def release(self, connection: libvirt.virConnect, owner: Owner, token: str) -> Progress:
        """Remove a frozen point; DONE once nothing is left, which has to wait for its copy's end."""
        return removal(gone=self._release(connection, owner, token))

    def _release(self, connection: libvirt.virConnect, owner: Owner, token: str) -> bool:
        pool = volumes.open_pool(connection, self._pool)
        copy = self._copies.get(_key(owner, token))
        if copy is not None and not copy.give_up():
            return False
        volumes.refresh(pool)
        held = _of_token(pool, token, naming.frozen_prefix(owner.instance, owner.vmclone_uid))
        paths = _paths(pool, held)
        if held and self._abort_backup(connection, paths):
            return False
        _refuse_in_use(connection, pool, paths)
        if not volumes.remove(pool, [volume.name for volume in held], self._fence):
            return False
        self._copies.pop(_key(owner, token), None)
        self._done.pop(_key(owner, token), None)
        return True

    def _abort_backup(self, connection: libvirt.virConnect, paths: set[str]) -> bool:
        """Abort the running backup into these files; return whether there was one."""
        for domain in connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
            if (freeze.running_backup(domain) or frozenset()) & paths:
                self._fence()
                domain.abortJob()
                return True
        return False

    def tokens(self, connection: libvirt.virConnect, owner: Owner) -> Sequence[str]:
        """List the tokens of a VMClone's frozen points: complete, begun, and those whose copy waits for its turn."""
        pool = volumes.open_pool(connection, self._pool)
        names = volumes.volume_names(pool, naming.frozen_prefix(owner.instance, owner.vmclone_uid))
        begun = {volume.token for name in names if (volume := parse_name(name))}
        copies = list(self._copies.values())
        return sorted(begun | {copy.intent.token for copy in copies if copy.running and copy.is_of(owner)})


def _key(of: Owner | FreezeIntent, token: str) -> _Key:
    """Return under what an attempt is remembered: tokens of two VMClones may be the same."""
    return of.instance, of.vmclone_uid, token


def _point(intent: FreezeIntent, consistency: Consistency, fingerprint: str) -> FrozenPoint:
    """Return the frozen point that an attempt makes; its bytes are counted at the end."""
    return FrozenPoint(
        token=intent.token,
        vmclone_uid=intent.vmclone_uid,
        source_id=intent.source_id,
        fingerprint=fingerprint,
        consistency=consistency,
        allocated_bytes=0,
    )


def _begun(intent: FreezeIntent, consistency: Consistency, fingerprint: str) -> Progress:
    """Return what is told of a copy whose point in time is taken."""
    point = _point(intent, consistency, fingerprint)
    return Progress(state=OperationState.RUNNING, frozen=point, handle=BEGUN)


def _of_token(pool: libvirt.virStoragePool, token: str, prefix: str = "vmclone-base-") -> list[FrozenVolume]:
    parsed = (parse_name(name) for name in volumes.volume_names(pool, prefix))
    return [volume for volume in parsed if volume is not None and volume.token == token]


def _paths(pool: libvirt.virStoragePool, held: Sequence[FrozenVolume]) -> set[str]:
    found = (volumes.find_volume(pool, volume.name) for volume in held)
    return {volume.path() for volume in found if volume is not None}


def _refuse_leftovers(intent: FreezeIntent, left: Sequence[FrozenVolume]) -> None:
    if left:
        raise CloneFailed(f"the attempt {intent.token} left {left[0].name}: release it and choose a new token")


def _refuse_in_use(connection: libvirt.virConnect, pool: libvirt.virStoragePool, paths: set[str]) -> None:
    if not paths:
        return
    above = volumes.overlays_everywhere(connection, pool, paths)
    if above:
        raise FrozenPointInUse.by(above)
    volumes.refuse_foreign_users(connection, paths)
