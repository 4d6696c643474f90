"""Frozen points of the fake: single writes in the libvirt adapter's order, so that kills land between them.

Files carry the attempt's token. Only a copy whose job was started has an Image; files without one are
what a killed attempt left, and only `release` removes them.
"""

from __future__ import annotations

import copy
from functools import partial
from typing import TYPE_CHECKING

from vmclone_operator.domain import naming
from vmclone_operator.domain.backend import (
    Consistency,
    FreezeIntent,
    FrozenPoint,
    OperationState,
    Owner,
    Power,
    Progress,
    removal,
)
from vmclone_operator.domain.errors import (
    BackendUnreachable,
    CloneError,
    FrozenPointInUse,
    LeadershipLost,
    OwnershipMismatch,
    QuiesceFailed,
    RetryLater,
    SourceChanged,
    SourceLocked,
    SourceUnhealthy,
)
from vmclone_operator.providers.fake.image_copies import copy_image
from vmclone_operator.providers.fake.state import Image, Machine, Volume

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vmclone_operator.providers.fake.calls import Calls
    from vmclone_operator.providers.fake.world import World

BEGUN = "begun"
"""The handle of an attempt whose point in time is taken."""
_OVERHEAD_BYTES = 196_608
"""What an empty qcow2 file holds."""


class FrozenPoints:
    """The verbs about frozen points."""

    def __init__(self, world: World) -> None:
        self._world = world

    def freeze(self, calls: Calls, intent: FreezeIntent) -> Progress:
        """Take the point in time, or tell how the copy of this token stands."""
        begun = calls.read("look up files", intent.token, partial(self._standing, intent))
        if begun is None:
            begun = self._of_image(calls, intent) if intent.image else self._of_source(calls, intent)
        point = begun.frozen
        if point is None or BEGUN in intent.handle or point.consistency.satisfies(intent.consistency):
            return begun
        self._discard(calls, self._world.state.images[intent.token])
        raise RetryLater("the source's guest was thawed before the point in time was taken")

    def _of_image(self, calls: Calls, intent: FreezeIntent) -> Progress:
        golden = calls.read("look up image", intent.image, partial(self._world.find_image, intent.image))
        return self._progress(copy_image(self._world, calls, intent, golden))

    def _of_source(self, calls: Calls, intent: FreezeIntent) -> Progress:
        source = calls.read("look up source", intent.source_id, partial(self._world.find, intent.source_id))
        self._check_source(source, intent)
        return self._progress(self._begin(calls, source, intent))

    def thaw(self, calls: Calls, source_id: str) -> bool:
        """Thaw the source if it is frozen; a source that is gone is not."""
        source = self._world.state.machines.get(source_id)
        frozen = calls.read("freeze status", source_id, lambda: bool(source and source.frozen(self._world.now())))
        if source is None or not frozen:
            return False
        return calls.write("thaw", source.name, lambda: source.thaw(self._world.now()))

    def find(self, calls: Calls, owner: Owner) -> Sequence[str]:
        """Return the tokens of every attempt that left anything."""
        return calls.read("list files", owner.vmclone_uid, lambda: self._tokens(owner))

    def release(self, calls: Calls, owner: Owner, token: str) -> Progress:
        """End the copy if it runs, remove its files; refused while a clone lies on them."""
        if not owner.vmclone_uid:
            raise OwnershipMismatch("a frozen point is removed for one VMClone only, and none was named")
        files = calls.read("list files", token, lambda: self._files(owner, token))
        used = [name for volume in files for name in self._users(volume)]
        if used:
            raise FrozenPointInUse.by(used)
        image = self._world.state.images.get(token)
        if image is not None and (image.instance, image.vmclone_uid) == (owner.instance, owner.vmclone_uid):
            self._discard(calls, image)
        self._delete_files(calls, owner, token)
        return removal(gone=not calls.read("list files", token, lambda: self._files(owner, token)))

    def _users(self, base: Volume) -> list[str]:
        pool, now = self._world.pool, self._world.now()
        return [*pool.backed_by(base.name), *(c.name for c in pool.copies_of(base.name) if c.busy_until > now)]

    def _discard(self, calls: Calls, image: Image) -> None:
        """End the copy if it runs and remove its files; the job is forgotten with the last one."""
        if image.running(self._world.now()):
            calls.write("abort copy", image.token, partial(self._abort, image))
        for name in image.volumes:
            calls.write("delete base", name, partial(self._delete_base, image, name))

    def _delete_files(self, calls: Calls, of: Owner | FreezeIntent, token: str) -> None:
        """Remove the files that no job knows of."""
        for volume in self._files(of, token):
            calls.write("delete base", volume.name, partial(self._world.pool.delete_volume, volume.name))

    def _abort(self, image: Image) -> None:
        image.lost = True

    def _delete_base(self, image: Image, name: str) -> None:
        self._world.pool.delete_volume(name)
        if not any(other in self._world.state.volumes for other in image.volumes):
            self._world.pool.drop_image(image)

    def _standing(self, intent: FreezeIntent) -> Progress | None:
        """Return how the copy of a token stands; None when nothing of it was ever made. Files alone prove nothing."""
        image = self._world.state.images.get(intent.token)
        if image is not None and image.vmclone_uid == intent.vmclone_uid:
            return self._progress(image)
        known = bool(image or BEGUN in intent.handle or self._files(intent, intent.token))
        return Progress(state=OperationState.LOST) if known else None

    def _check_source(self, source: Machine, intent: FreezeIntent) -> None:
        running = self._world.state.images.get(self._world.state.jobs.get(source.uuid, ""))
        if running is not None and running.running(self._world.now()):
            raise SourceLocked(f"another copy of {source.name} runs")
        if not source.own_disks:
            raise SourceUnhealthy(f"{source.name} has no disk that can be copied")
        if source.power is Power.OFF:
            return
        if intent.consistency is Consistency.POWERED_OFF:
            raise SourceUnhealthy(f"{source.name} runs; switch it off or ask for Quiesced")
        if source.frozen(self._world.now()):
            raise SourceLocked(f"the file systems of {source.name} are frozen already")
        if intent.consistency is Consistency.QUIESCED and not source.agent(self._world.now()):
            raise QuiesceFailed(f"{source.name} has no guest agent: install it, or ask for CrashConsistent")

    def _begin(self, calls: Calls, source: Machine, intent: FreezeIntent) -> Image:
        if source.power is Power.OFF:
            return self._copy_stopped(calls, source, intent)
        try:
            for base in self._bases(source, intent):
                calls.write("create base", base.name, partial(self._world.pool.create_volume, base))
            return self._copy_running(calls, source, intent)
        except BackendUnreachable:
            raise
        except CloneError:
            self._give_up(calls, intent)
            raise

    def _give_up(self, calls: Calls, intent: FreezeIntent) -> None:
        """Remove what a failed attempt made, so that its token can be used again."""
        begun = self._world.state.images.get(intent.token)
        if begun is not None:
            self._discard(calls, begun)
        self._delete_files(calls, intent, intent.token)

    def _copy_running(self, calls: Calls, source: Machine, intent: FreezeIntent) -> Image:
        """Freeze, take the point in time and thaw; a SIGKILL in between leaves the thaw to the guest's watchdog."""
        begin = partial(self._record, source, intent)
        if not source.agent(self._world.now()):
            return calls.write("backup-begin", source.name, begin)
        calls.write("arm watchdog", source.name, lambda: None)
        try:
            calls.write("fsfreeze", source.name, partial(self._fsfreeze, source))
            image = calls.write("backup-begin", source.name, begin)
        except (CloneError, LeadershipLost):  # the guest is thawed whoever leads
            self._thaw_now(calls, source)
            raise
        self._thaw_now(calls, source)
        return image

    def _thaw_now(self, calls: Calls, source: Machine) -> None:
        calls.write("thaw", source.name, lambda: source.thaw(self._world.now()), fenced=False)

    def _fsfreeze(self, source: Machine) -> None:
        source.frozen_since = self._world.now()

    def _copy_stopped(self, calls: Calls, source: Machine, intent: FreezeIntent) -> Image:
        before = source.fingerprint
        for base in self._bases(source, intent):
            calls.write("copy volume", base.name, partial(self._world.pool.create_volume, base))
        after = calls.read("look at source again", source.name, lambda: (source.power, source.fingerprint))
        if after != (Power.OFF, before):
            raise SourceChanged(f"{source.name} was started or changed while it was copied")
        return self._record(source, intent)

    def _bases(self, source: Machine, intent: FreezeIntent) -> list[Volume]:
        group = naming.frozen_prefix(intent.instance, intent.vmclone_uid)
        return [
            Volume(
                name=f"{group}{intent.token}-{disk.target}",
                group=group,
                role=disk.target,
                token=intent.token,
                allocated_bytes=disk.allocated_bytes + _OVERHEAD_BYTES,
                capacity_bytes=disk.capacity_bytes,
            )
            for disk in source.own_disks
        ]

    def _record(self, source: Machine, intent: FreezeIntent) -> Image:
        """Start the one job that fills all files: this is the point in time."""
        world = self._world
        consistency = Consistency.QUIESCED if source.frozen(world.now()) else Consistency.CRASH_CONSISTENT
        if source.power is Power.OFF:
            consistency = Consistency.POWERED_OFF
        image = Image(
            token=intent.token,
            instance=intent.instance,
            vmclone_uid=intent.vmclone_uid,
            source_id=source.uuid,
            fingerprint=source.fingerprint,
            consistency=consistency,
            guest=copy.deepcopy(source.guest),
            volumes=[base.name for base in self._bases(source, intent)],
            started_at=world.now(),
            copy_seconds=world.copy_seconds,
            has_agent=source.has_agent,
        )
        world.state.images[image.token] = image
        world.state.jobs[source.uuid] = image.token
        world.effects.count(world.effects.copies, image.vmclone_uid)
        world.saved()
        return image

    def _progress(self, image: Image) -> Progress:
        """Return how a copy stands; DONE only when every file of it is there."""
        if image.why_lost:
            told, image.why_lost = image.why_lost, ""
            raise SourceChanged(told)
        if image.lost or any(name not in self._world.state.volumes for name in image.volumes):
            return Progress(state=OperationState.LOST)
        percent = image.percent(self._world.now())
        state = OperationState.RUNNING if percent < 100 else OperationState.DONE  # noqa: PLR2004  - per cent
        return Progress(state=state, percent=percent, frozen=self._point(image), handle=BEGUN)

    def _point(self, image: Image) -> FrozenPoint:
        stored = sum(self._world.state.volumes[name].allocated_bytes for name in image.volumes)
        return FrozenPoint(
            token=image.token,
            vmclone_uid=image.vmclone_uid,
            source_id=image.source_id,
            fingerprint=image.fingerprint,
            consistency=image.consistency,
            allocated_bytes=stored,
        )

    def _tokens(self, owner: Owner) -> Sequence[str]:
        files = self._world.pool.volumes_of(naming.frozen_prefix(owner.instance, owner.vmclone_uid))
        return sorted({volume.token for volume in files})

    def _files(self, of: Owner | FreezeIntent, token: str) -> list[Volume]:
        files = self._world.pool.volumes_of(naming.frozen_prefix(of.instance, of.vmclone_uid))
        return [volume for volume in files if volume.token == token]
