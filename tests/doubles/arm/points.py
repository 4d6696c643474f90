"""Restore points: all disks of a VM at one moment, in a collection that belongs to the VM.

azure-compute-docs articles/virtual-machines/virtual-machines-create-restore-points.md (006bb0c): three an hour per VM
(429), none at the same time for one VM, 500 per VM; no ephemeral or shared disks. A restore point has no tags of its
own (the SDK's model has none): whose it is stands on its collection. `consistencyMode` is what was achieved, and
an application- or file-system-consistent one needs an agent that answers (create-restore-points.md); without it the
operation fails with VMAgentStatusCommunicationError (restore-point-troubleshooting.md). Deleting a collection deletes
its points (REST "Restore Point Collections - Delete").
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tests.doubles.arm.call import Answer, Call, endpoint
from tests.doubles.arm.generic import Kind, inner, register
from tests.doubles.arm.refusals import Refusal, invalid, not_found
from tests.doubles.arm.storage import DISK_POINT
from tests.doubles.arm.vms import TYPE as VM
from tests.doubles.arm.vms import disk_ids
from tests.doubles.arm.world import Resource, World

COLLECTION = "Microsoft.Compute/restorePointCollections"
POINT = f"{COLLECTION}/restorePoints"
MOST = 500


def _check_collection(call: Call, there: Resource | None) -> None:
    source = str(inner(call.body, "properties.source.id") or "")
    vm = call.world.find(source)
    if vm is None or vm.kind != VM:
        raise invalid(f"The source {source} of a restore point collection must be a virtual machine.", "source.id")
    if vm.location.lower() != str(call.body["location"]).lower():
        raise invalid("A restore point collection is in the region of its source.", "location")
    if there is not None and there.extra.get("vm") != vm.key:
        raise Refusal(409, "PropertyChangeNotAllowed", "Changing property 'source.id' is not allowed.")


def _begun_collection(_: World, collection: Resource) -> None:
    collection.extra["vm"] = str(inner(collection.properties, "source.id")).lower()


def points_of(world: World, collection: Resource) -> list[Resource]:
    """Return a collection's points."""
    return [one for one in world.of_kind(POINT) if one.key.startswith(f"{collection.key}/")]


def _collection_busy(world: World, collection: Resource) -> None:
    if any(one.busy for one in points_of(world, collection)):
        raise Refusal(409, "Conflict", "A restore point of the collection is being made or deleted.")


def _freed_collection(world: World, collection: Resource) -> None:
    for point in points_of(world, collection):
        _freed(world, point)
        del world.resources[point.key]


def _shown_collection(world: World, collection: Resource, _: dict[str, str]) -> dict[str, Any]:
    shown = collection.shown()
    shown["properties"]["restorePoints"] = [{"id": one.id, "name": one.name} for one in points_of(world, collection)]
    return shown


register(
    Kind(
        type=COLLECTION,
        service="compute",
        prefix="restore_point_collections",
        model="RestorePointCollection",
        tag_model="RestorePointCollectionUpdate",
        shown=_shown_collection,
        check=_check_collection,
        begun=_begun_collection,
        in_use=_collection_busy,
        freed=_freed_collection,
    )
)


def _vm(call: Call) -> Resource:
    collection = call.resource_at(COLLECTION)
    vm = call.world.find(collection.extra["vm"])
    if vm is None:
        raise not_found(VM, collection.extra["vm"].rsplit("/", 1)[-1], call.group)
    return vm


def _check(call: Call, there: Resource | None) -> None:
    if there is not None:
        raise Refusal(409, "Conflict", "A restore point can not be changed.")
    vm = _vm(call)
    points = [one for one in call.world.of_kind(POINT) if one.extra["vm"] == vm.key]
    if any(one.busy for one in points):
        raise Refusal(409, "Conflict", f"A restore point of {vm.id} is being created: one at a time.")
    if len(points) >= MOST:
        raise Refusal(409, "OperationNotAllowed", f"{vm.id} has {MOST} restore points; delete some.")
    call.world.throttles.spend("RestorePoint", vm.key)


def _begun(world: World, point: Resource) -> None:
    """Take the point in time."""
    collection = world.resources[point.key.rsplit("/restorepoints/", 1)[0]]
    vm = world.resources[collection.extra["vm"]]
    point.extra["vm"] = vm.key
    asked = point.properties.setdefault("consistencyMode", "ApplicationConsistent")
    running = vm.extra.get("power") == "running"
    if running and asked != "CrashConsistent" and not world.guests.agent_ready(vm.key):
        error = Refusal(
            400,
            "VMAgentStatusCommunicationError",
            "The restore point failed because the VM agent is not responsive: could not communicate with it.",
        )
        world.late.setdefault((POINT, "put"), []).append(error)
    if not running:
        point.properties["consistencyMode"] = "CrashConsistent"
    elif asked != "CrashConsistent":
        point.properties["consistencyMode"] = "FileSystemConsistent"
    point.properties["sourceMetadata"] = _metadata(world, vm, point)


def _metadata(world: World, vm: Resource, point: Resource) -> dict[str, Any]:
    profile = vm.properties["storageProfile"]
    left_out = {str(one["id"]).lower() for one in point.properties.get("excludeDisks") or []}
    shown: list[dict[str, Any]] = []
    for number, disk_id in enumerate(disk_ids(vm.properties)):
        disk = world.resources[disk_id.lower()]
        entry: dict[str, Any] = {"name": disk.name, "diskSizeGB": disk.properties.get("diskSizeGB")}
        if disk.key not in left_out:
            entry["diskRestorePoint"] = {"id": _disk_point(world, point, disk).id}
        if number:
            entry["lun"] = profile["dataDisks"][number - 1].get("lun", number - 1)
        entry["managedDisk"] = {"id": disk.id}
        shown.append(entry)
    return {
        "hardwareProfile": vm.properties.get("hardwareProfile"),
        "vmId": vm.properties.get("vmId"),
        "location": vm.location,
        "storageProfile": {"osDisk": {**shown[0], "osType": "Linux"}, "dataDisks": shown[1:]},
    }


def _disk_point(world: World, point: Resource, disk: Resource) -> Resource:
    name = f"{disk.name}_{world.number():032x}"
    made = Resource(
        id=f"{point.id}/diskRestorePoints/{name}",
        kind=DISK_POINT,
        name=name,
        group=point.group,
        created=world.now(),
        body={
            "location": disk.location,
            "properties": {
                "sourceResourceId": disk.id,
                "diskSizeGB": disk.properties.get("diskSizeGB"),
                "osType": disk.properties.get("osType"),
                "provisioningState": "Succeeded",
            },
        },
    )
    world.resources[made.key] = made
    world.guests.copied(disk.key, made.key)
    return made


def _made(world: World, point: Resource) -> None:
    point.properties.setdefault("timeCreated", _iso(point.created))
    for one in world.of_kind(DISK_POINT):
        if one.key.startswith(point.key):
            one.body["properties"]["timeCreated"] = _iso(point.created)


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _freed(world: World, point: Resource) -> None:
    for one in [each for each in world.of_kind(DISK_POINT) if each.key.startswith(f"{point.key}/")]:
        world.guests.freed(one.key)
        del world.resources[one.key]


register(
    Kind(
        type=POINT,
        service="compute",
        prefix="restore_points",
        model="RestorePoint",
        put="create",
        list_group="",
        list_all="",
        located=False,
        check=_check,
        begun=_begun,
        made=_made,
        freed=_freed,
    )
)


@endpoint("compute", "disk_restore_point_get")
def disk_restore_point(call: Call) -> Answer:
    """Show one disk of a restore point."""
    return Answer(status=200, body=call.resource().shown())
