"""Frozen points on Azure: a restore point of all disks at once, or a snapshot of each disk.

* Quiesced: one restore point in a collection of its own. Azure's agent freezes and thaws the file systems; what was
  achieved stands in `consistencyMode`. Azure takes three an hour of one VM, and none beside another.
* CrashConsistent, and a source that is off: one incremental snapshot of each disk. Snapshots of several disks of a
  running VM are not of one moment, so such a source needs Quiesced.
* An image: nothing is copied; the reference with its version is the handle.

Everything is looked up by name at each step, so a lost reply or a restart changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from vmclone_operator.domain.backend import (
    Consistency,
    FreezeIntent,
    FrozenPoint,
    Leftover,
    LeftoverKind,
    OperationState,
    Owner,
    Power,
    Progress,
)
from vmclone_operator.domain.errors import (
    CapabilityMissing,
    OwnershipMismatch,
    QuiesceFailed,
    RetryLater,
)
from vmclone_operator.providers.azure import translate
from vmclone_operator.providers.azure.arm import COLLECTION, SNAPSHOT, Arm, Json, Kind, state_of
from vmclone_operator.providers.azure.names import (
    LUN,
    OFF,
    TOKEN,
    UID,
    frozen_name,
    frozen_tags,
    is_frozen_of,
    users_tags,
)
from vmclone_operator.providers.azure.sources import Seen, SeenDisk, Sources, several_disks

POINT = "p"
LOOK_SECONDS = 10
_RUNNING = Progress(state=OperationState.RUNNING, again_seconds=LOOK_SECONDS)
_POINT_KIND = Kind(service="compute", group="restore_points", put="begin_create")
_GIB = 1 << 30
_COMPLETE = 100


class FrozenPoints:
    """The frozen points of one resource group."""

    def __init__(self, arm: Arm, sources: Sources) -> None:
        self._arm, self._sources = arm, sources

    async def freeze(self, intent: FreezeIntent) -> Progress:
        """Take a frozen point one step on."""
        if intent.image:
            return await self._borrowed(intent)
        seen = await self._sources.by_id(intent.source_id)
        # What was begun goes on, also when the source was switched meanwhile. The last snapshot is asked for last.
        if await self._arm.get(SNAPSHOT, f"{_name(intent)}-{len(seen.disks) - 1}") is not None:
            return await self._snapshots(intent, seen)
        if seen.going:
            raise RetryLater(
                f"the power of the source {seen.name} is {seen.going}: it is frozen once it runs, or is off"
            )
        if intent.consistency is Consistency.QUIESCED and (seen.power is Power.ON or await self._has_point(intent)):
            return await self._restore_point(intent, seen)
        if seen.power is Power.ON and len(seen.disks) > 1:
            raise CapabilityMissing(several_disks(seen))
        return await self._snapshots(intent, seen)

    async def _has_point(self, intent: FreezeIntent) -> bool:
        return await self._arm.get(_POINT_KIND, _name(intent), POINT) is not None

    async def _borrowed(self, intent: FreezeIntent) -> Progress:
        image = await self._sources.image(intent.image)
        frozen = FrozenPoint(
            token=intent.token,
            vmclone_uid=intent.vmclone_uid,
            source_id=intent.source_id,
            fingerprint=image.fingerprint,
            consistency=Consistency.POWERED_OFF,
            allocated_bytes=0,
            borrowed=True,
        )
        return Progress(state=OperationState.DONE, percent=100, handle=image.name, frozen=frozen)

    async def _restore_point(self, intent: FreezeIntent, seen: Seen) -> Progress:
        name, tags = _name(intent), frozen_tags(intent.instance, intent.vmclone_uid, intent.token)
        users = users_tags(intent.labels)
        collection = await self._arm.get(COLLECTION, name)
        if collection is None:
            body = {"location": seen.location, "tags": users | tags, "properties": {"source": {"id": seen.source_id}}}
            await self._arm.put(COLLECTION, name, body)
        else:
            _require(collection, tags)
        point = await self._arm.get(_POINT_KIND, name, POINT)
        if point is None:
            return await self._ask(name, intent.handle)
        state = state_of(point)
        if state in {"Failed", "Canceled"}:
            code, text = await self._arm.why(intent.handle)
            error = translate.refused(400, code or "VMAgentStatusCommunicationError", text or "it does not say why")
            raise QuiesceFailed(f"the restore point of {seen.name} failed. {error}")
        if state != "Succeeded":
            return _RUNNING
        if point["properties"].get("consistencyMode") == "CrashConsistent":
            raise QuiesceFailed(f"Azure made a crash-consistent restore point of {seen.name} only: is its agent well?")
        return _done(intent, seen, Consistency.QUIESCED, str(point["properties"].get("timeCreated", "")))

    async def _ask(self, name: str, handle: str) -> Progress:
        """Ask for the restore point; Azure takes few of them."""
        body: Json = {"properties": {"consistencyMode": "FileSystemConsistent"}}
        try:
            operation = await self._arm.begin(_POINT_KIND, "begin_create", name, POINT, body)
        except RetryLater as busy:
            limit = "Azure takes three restore points an hour of one VM, and one at a time"
            busy.args = (f"{busy}. {limit}; a source with one disk can have CrashConsistent, which needs none",)
            raise
        return Progress(state=OperationState.RUNNING, handle=(operation or handle)[:512], again_seconds=LOOK_SECONDS)

    async def _snapshots(self, intent: FreezeIntent, seen: Seen) -> Progress:
        names = [f"{_name(intent)}-{number}" for number in range(len(seen.disks))]
        found = [await self._arm.get(SNAPSHOT, name) for name in names]
        made = [one for one in found if one is not None]
        for snapshot in made:
            _require(snapshot, frozen_tags(intent.instance, intent.vmclone_uid, intent.token))
        _require_one_moment(seen, found)
        for name, disk, one in zip(names, seen.disks, found, strict=True):
            if one is None:
                await self._arm.put(SNAPSHOT, name, _snapshot_of(disk, intent, seen))
        ready = sum(state_of(one) == "Succeeded" and _percent(one) >= _COMPLETE for one in made)
        if ready < len(names):
            return Progress(state=OperationState.RUNNING, percent=100 * ready // len(names), again_seconds=LOOK_SECONDS)
        # As it was then: the source may have been switched since.
        off = all(one["tags"].get(OFF) for one in made)
        created = str(made[-1]["properties"].get("timeCreated", ""))
        return _done(intent, seen, Consistency.POWERED_OFF if off else Consistency.CRASH_CONSISTENT, created)

    async def origins(self, instance: str, vmclone_uid: str, token: str) -> Sequence[tuple[int, Json]]:
        """Return what a clone's disks are made from: its LUN (-1: the boot disk) and the creationData."""
        name = frozen_name(instance, vmclone_uid, token)
        point = await self._arm.get(_POINT_KIND, name, POINT)
        if point is not None:
            profile = point["properties"]["sourceMetadata"]["storageProfile"]
            listed = [(-1, profile["osDisk"]), *((int(one["lun"]), one) for one in profile.get("dataDisks") or [])]
            return [
                (lun, {"createOption": "Restore", "sourceResourceId": one["diskRestorePoint"]["id"]})
                for lun, one in listed
                if "diskRestorePoint" in one
            ]
        found = await self._numbered(name)
        if not found:
            raise RetryLater(f"the frozen point {name} is not there (any more)")
        return [
            (int(one["tags"].get(LUN, number - 1)), {"createOption": "Copy", "sourceResourceId": one["id"]})
            for number, one in enumerate(found)
        ]

    async def _numbered(self, name: str) -> list[Json]:
        """Return a frozen point's snapshots, in order; they are made from 0 up and removed from the last down."""
        found: list[Json] = []
        while (snapshot := await self._arm.get(SNAPSHOT, f"{name}-{len(found)}")) is not None:
            found.append(snapshot)
        return found

    async def release(self, owner: Owner, token: str) -> Progress:
        """Remove a frozen point one step on; DONE once nothing is left."""
        name = frozen_name(owner.instance, owner.vmclone_uid, token)
        tags = frozen_tags(owner.instance, owner.vmclone_uid, token)
        collection, snapshots = await self._arm.get(COLLECTION, name), await self._numbered(name)
        left = [(COLLECTION, collection)] if collection is not None else []
        left += [(SNAPSHOT, snapshots[-1])] if snapshots else []
        left = left or [(SNAPSHOT, one) for one in await self._arm.list(SNAPSHOT) if _is_of(one, tags)]  # after a gap
        if not left:
            return Progress(state=OperationState.DONE, percent=100)
        for kind, one in left:
            _require(one, tags)
            if state_of(one) != "Deleting":
                await self._arm.delete(kind, str(one["name"]))
        return _RUNNING

    async def find(self, owner: Owner) -> Sequence[str]:
        """List the tokens of the frozen points that an owner left."""
        listed = await self._listed()
        return sorted({one["tags"][TOKEN] for one in listed if is_frozen_of(one.get("tags"), owner)})

    async def _listed(self) -> list[Json]:
        """Return all that a frozen point may be, whoever's it is."""
        return [*await self._arm.list(COLLECTION), *await self._arm.list(SNAPSHOT)]

    async def leftovers(self, instance: str, living: Collection[str]) -> Sequence[Leftover]:
        """List the frozen points of an installation whose VMClones are gone, by name."""
        alive, found = set(living), set[Leftover]()
        for one in await self._listed():
            tags = one.get("tags") or {}
            owner = Owner(instance=instance, vmclone_uid=tags.get(UID, ""))
            if not owner.vmclone_uid or owner.vmclone_uid in alive or not is_frozen_of(tags, owner):
                continue
            name = frozen_name(instance, owner.vmclone_uid, tags[TOKEN])
            found.add(Leftover(kind=LeftoverKind.FROZEN_POINT, owner=owner, name=name, token=tags[TOKEN]))
        return sorted(found, key=lambda leftover: leftover.name)


def _require_one_moment(seen: Seen, found: Sequence[Json | None]) -> None:
    """Raise QuiesceFailed when the snapshots would not be of one moment; then all are taken again.

    They are asked for in order. One that is missing before another is gone, and would be taken of what the source is
    now. A source that was on since the first of them has other content in the rest.
    """
    made = [one for one in found if one is not None]
    failed = [one["name"] for one in made if state_of(one) in {"Failed", "Canceled"}]
    if failed:
        raise QuiesceFailed(f"the snapshot {failed[0]} of {seen.name} failed; all of them are taken again")
    if found[: len(made)] != made:
        raise QuiesceFailed(f"a snapshot of {seen.name} is gone while others are there; all of them are taken again")
    moments = {str(one["tags"].get(OFF, "")) for one in made}
    if len(made) < len(found):
        moments.add(seen.off_since)
    if len(moments) > 1:
        raise QuiesceFailed(f"the source {seen.name} was switched on between its snapshots; all are taken again")


def _snapshot_of(disk: SeenDisk, intent: FreezeIntent, seen: Seen) -> Json:
    """Return the snapshot of a disk that is asked for."""
    tags = frozen_tags(intent.instance, intent.vmclone_uid, intent.token)
    creation = {"createOption": "Copy", "sourceResourceId": disk.id}
    return {
        "location": seen.location,
        "tags": users_tags(intent.labels) | tags | {LUN: str(disk.lun), OFF: seen.off_since},
        "properties": {"creationData": creation, "incremental": True},
    }


def _name(intent: FreezeIntent) -> str:
    return frozen_name(intent.instance, intent.vmclone_uid, intent.token)


def _percent(snapshot: Json) -> float:
    told = snapshot["properties"].get("completionPercent")
    return float(_COMPLETE if told is None else told)


def _require(resource: Json, tags: dict[str, str]) -> None:
    """Refuse to touch what carries our name and not our tags."""
    if not _is_of(resource, tags):
        raise OwnershipMismatch(f"{resource.get('id')} does not carry exactly our tags: it is left alone")


def _is_of(resource: Json, tags: dict[str, str]) -> bool:
    found: dict[str, Any] = resource.get("tags") or {}
    return all(found.get(name) == value for name, value in tags.items())


def _done(intent: FreezeIntent, seen: Seen, consistency: Consistency, created: str) -> Progress:
    frozen = FrozenPoint(
        token=intent.token,
        vmclone_uid=intent.vmclone_uid,
        source_id=intent.source_id,
        fingerprint=seen.fingerprint,
        consistency=consistency,
        allocated_bytes=sum(disk.gib for disk in seen.disks) * _GIB,
        frozen_time=created,
    )
    return Progress(state=OperationState.DONE, percent=100, frozen=frozen)
