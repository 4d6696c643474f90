"""Managed disks and snapshots.

Rules, and where they were read:

* A disk of a VM is not deleted: 409 OperationNotAllowed "Disk ... is attached to VM ..."
  (azure-compute-docs articles/virtual-machines/... troubleshooting of deletes; terraform-provider-azurerm issue 2177).
* A disk is made in the region of the snapshot it is a copy of; a snapshot of another region is made with CopyStart,
  in the background, from an incremental one, and `completionPercent` tells how far it is
  (azure-compute-docs articles/virtual-machines/disks-copy-incremental-snapshot-across-regions.md).
* At most seven incremental snapshots of a disk in five minutes
  (includes/virtual-machines-disks-incremental-snapshots-restrictions.md).
* A copy is never smaller than what it is a copy of (azure-compute-docs disks, REST "Disks - Create Or Update").
"""

from __future__ import annotations

from typing import Any

from tests.doubles.arm.call import Call
from tests.doubles.arm.generic import Kind, inner, register
from tests.doubles.arm.refusals import Refusal, invalid
from tests.doubles.arm.world import Resource, World

DISK = "Microsoft.Compute/disks"
SNAPSHOT = "Microsoft.Compute/snapshots"
DISK_POINT = "Microsoft.Compute/restorePointCollections/restorePoints/diskRestorePoints"
COPY_SECONDS = 300.0
"""A copy to another region, in the background."""


def _origin(call: Call, there: Resource | None) -> Resource | None:
    """Return what the new disk or snapshot is a copy of; raises Refusal."""
    creation = inner(call.body, "properties.creationData") or {}
    option = creation.get("createOption")
    if option is None:
        raise invalid("Required parameter 'creationData.createOption' is missing (null).", "creationData.createOption")
    if option == "Empty":
        if not inner(call.body, "properties.diskSizeGB"):
            raise invalid("Required parameter 'disk.diskSizeGB' is missing (null).", "disk.diskSizeGB")
        return None
    source = call.world.find(str(creation.get("sourceResourceId", "")))
    if there is not None:
        return source
    if source is None:
        raise Refusal(404, "NotFound", f"Resource {creation.get('sourceResourceId')} is not found.")
    _check_origin(call, option, source)
    return source


def _check_origin(call: Call, option: str, source: Resource) -> None:
    wanted = {"Copy": {DISK, SNAPSHOT}, "Restore": {DISK_POINT}, "CopyStart": {SNAPSHOT}}.get(option, set())
    if source.kind not in wanted:
        raise invalid(f"createOption {option} can not use {source.id}.", "creationData.sourceResourceId")
    if source.properties.get("provisioningState") != "Succeeded":
        raise Refusal(409, "Conflict", f"{source.id} is not ready yet.")
    if option != "CopyStart" and source.location.lower() != str(call.body["location"]).lower():
        raise invalid(f"{source.id} is in region {source.location}.", "creationData.sourceResourceId")
    if option == "CopyStart" and not source.properties.get("incremental"):
        raise invalid("Only an incremental snapshot can be copied with CopyStart.", "creationData.createOption")
    if percent(call.world, source) < 100:
        raise Refusal(409, "OperationNotAllowed", f"{source.id} is not copied completely yet.")
    size = inner(call.body, "properties.diskSizeGB")
    if size is not None and size < source.properties["diskSizeGB"]:
        raise invalid(f"diskSizeGB {size} is less than that of {source.id}.", "disk.diskSizeGB")


def percent(world: World, snapshot: Resource) -> float:
    """Return how much of a snapshot's background copy is done."""
    began = snapshot.extra.get("copy began")
    return 100.0 if began is None else min(100.0, 100.0 * (world.now() - began) / COPY_SECONDS)


def _check_disk(call: Call, there: Resource | None) -> None:
    _origin(call, there)


def _check_snapshot(call: Call, there: Resource | None) -> None:
    source = _origin(call, there)
    if source is None:
        raise invalid("A snapshot is a copy of a disk or a snapshot.", "creationData.createOption")
    if there is None and source.kind == DISK:
        call.world.throttles.spend("Snapshot", source.key)


def _begun(world: World, one: Resource) -> None:
    source = world.find(str(inner(one.properties, "creationData.sourceResourceId") or ""))
    if one.extra or source is None:
        one.properties.setdefault("diskState", "Unattached")
        return
    one.extra["origin"] = source.key
    for name in ("diskSizeGB", "osType", "hyperVGeneration"):
        if name in source.properties:
            one.properties.setdefault(name, source.properties[name])
    one.body.setdefault("sku", {"name": "Standard_LRS"})
    one.properties.setdefault("diskState", "Unattached")
    if inner(one.properties, "creationData.createOption") == "CopyStart":
        one.extra["copy began"] = world.now()
    if one.kind == SNAPSHOT:
        world.guests.copied(source.key, one.key)  # its point in time is the request's


def _made_disk(world: World, disk: Resource) -> None:
    origin = disk.extra.get("origin")
    if origin and not disk.extra.get("made"):
        disk.extra["made"] = True
        world.guests.copied(origin, disk.key)


def _disk_in_use(_: World, disk: Resource) -> None:
    owner = disk.body.get("managedBy")
    if owner:
        raise Refusal(409, "OperationNotAllowed", f"Disk {disk.name} is attached to VM {owner}.")


def _freed(world: World, one: Resource) -> None:
    world.guests.freed(one.key)


def with_percent(world: World, snapshot: Resource, _: dict[str, str]) -> dict[str, Any]:
    """Return a snapshot with how far its copy is."""
    shown = snapshot.shown()
    shown["properties"]["completionPercent"] = percent(world, snapshot)
    return shown


register(
    Kind(
        type=DISK,
        service="compute",
        prefix="disks",
        model="Disk",
        list_group="list_by_resource_group",
        list_all="list",
        tag_model="DiskUpdate",
        check=_check_disk,
        begun=_begun,
        made=_made_disk,
        in_use=_disk_in_use,
        freed=_freed,
        immutable=("creationData.createOption", "creationData.sourceResourceId"),
    )
)
register(
    Kind(
        type=SNAPSHOT,
        service="compute",
        prefix="snapshots",
        model="Snapshot",
        list_group="list_by_resource_group",
        list_all="list",
        tag_model="SnapshotUpdate",
        shown=with_percent,
        check=_check_snapshot,
        begun=_begun,
        freed=_freed,
        immutable=("creationData.createOption", "creationData.sourceResourceId"),
    )
)
