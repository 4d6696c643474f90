"""Storages and their content (recording 10-storage; for types without files pve-storage 0c56bad)."""

from __future__ import annotations

import re
from typing import Any

from tests.doubles.pve.call import Call, endpoint
from tests.doubles.pve.drives import size_bytes
from tests.doubles.pve.formats import split_list
from tests.doubles.pve.hardware import allocate, free
from tests.doubles.pve.refusals import Refused, wrong
from tests.doubles.pve.storages import CONTENT_FOLDERS, Storage, Volume
from tests.doubles.pve.tasks import Task
from tests.doubles.pve.timeline import Steps

_AUDIT = ("Datastore.Audit", "Datastore.AllocateSpace")


@endpoint("GET", "/nodes/{node}/storage")
def of_node(call: Call) -> list[dict[str, Any]]:
    """Return the storages with their room, disabled and absent ones too unless `enabled` is asked for."""
    params, rows = call.params, []
    for storage in _wanted(call):
        if params.get("enabled") and not storage.active(call.node):
            continue
        row = {"storage": storage.name, **_room(call, storage)}
        if row["total"]:
            row["used_fraction"] = row["used"] / row["total"]
        if params.get("format"):
            formats = storage.rules["formats"]
            row["format"] = [dict.fromkeys(formats, 1), storage.rules["default"]]
            row["formats"] = {"supported": formats, "default": storage.rules["default"]}
        rows.append(row)
    return rows


def _wanted(call: Call) -> list[Storage]:
    params = call.params
    kinds = split_list(params.get("content", ""))
    return [
        storage
        for storage in call.world.storages.known.values()
        if call.may(f"/storage/{storage.name}", *_AUDIT)
        and params.get("storage", storage.name) == storage.name
        and (not kinds or set(kinds) & set(storage.content))
    ]


def _room(call: Call, storage: Storage) -> dict[str, Any]:
    """Return what a storage holds and how much of it; nothing of one that the node can not use."""
    active = storage.active(call.node)
    used = call.world.storages.used(storage.name) if active else 0
    total = storage.total if active else 0
    return {
        "type": storage.kind,
        "content": ",".join(storage.content),
        "shared": int(storage.shared),
        "enabled": int(active),
        "active": int(active),
        "total": total,
        "used": used,
        "avail": max(0, total - used),
    }


@endpoint("GET", "/nodes/{node}/storage/{storage}/status")
def status(call: Call) -> dict[str, Any]:
    """Return how much room a storage has; an unknown one is a bad parameter here (recording 10, 2)."""
    if call.params["storage"] not in call.world.storages.known:
        raise wrong("storage", "No such storage.")
    return _room(call, call.world.storages.get(call.params["storage"]))


@endpoint("GET", "/storage")
def configured(call: Call) -> list[dict[str, Any]]:
    """Return the storages of the cluster as they are configured."""
    rows = []
    for storage in call.world.storages.known.values():
        if not call.may(f"/storage/{storage.name}", "Datastore.Allocate", *_AUDIT):
            continue
        row: dict[str, Any] = {"storage": storage.name, "type": storage.kind, "content": ",".join(storage.content)}
        row["digest"] = "0" * 40
        row |= {"path": storage.path} if storage.path else {}
        row |= {"disable": 1} if storage.disabled else {}
        row |= {"nodes": ",".join(storage.nodes)} if storage.nodes else {}
        row |= {"preallocation": storage.preallocation} if storage.preallocation != "metadata" else {}
        row |= {"shared": 1} if storage.shared else {}
        rows.append(row)
    return rows


@endpoint("GET", "/nodes/{node}/storage/{storage}/content")
def content(call: Call) -> list[dict[str, Any]]:
    """Return the volumes; `vmid` does not hide what belongs to no VM (README 34)."""
    storage = call.world.storages.usable(call.params["storage"], call.node)
    vmid, kind = call.params.get("vmid"), call.params.get("content")
    there = [v for v in call.world.storages.volumes.values() if v.storage == storage.name and not v.missing]
    there = [v for v in there if kind in {None, v.content} and (vmid is None or _listed_for(v, vmid))]
    return sorted((_content_row(volume) for volume in there), key=lambda row: str(row["volid"]))


def _listed_for(volume: Volume, vmid: int) -> bool:
    return volume.vmid == vmid or (volume.content in {"snippets", "import"} and not volume.vmid)


def _content_row(volume: Volume) -> dict[str, Any]:
    row: dict[str, Any] = {"volid": volume.id, "content": volume.content, "format": volume.format}
    row |= {"size": volume.size, "ctime": int(volume.made)}
    if volume.content == "images":
        row |= {"vmid": volume.vmid, "used": volume.used, "parent": volume.parent or None}
    return row


@endpoint("POST", "/nodes/{node}/storage/{storage}/content")
def make(call: Call) -> Steps[str]:
    """Make a volume in the call itself; any name goes, also one of another VM (recording 10, 72-76)."""
    params = call.params
    storage = call.world.storages.usable(params["storage"], call.node)
    found = re.search(r"\.(raw|qcow2|vmdk|subvol)$", params["filename"])
    form = params.get("format") or (found[1] if found else storage.rules["default"])
    name = f"{params['vmid']}/{params['filename']}" if storage.files else params["filename"]
    if f"{storage.name}:{name}" in call.world.storages.volumes:
        raise Refused(f"disk image '{storage.file_of(name)}' already exists")
    text = params["size"]
    size = size_bytes(text) if text[-1] in "MG" else int(text) * 1024
    volume = Volume(storage=storage.name, name=name, format=form, size=size, made=0, vmid=params["vmid"])
    yield from allocate(call.world, storage, volume, call, _quiet)
    return volume.id


def _quiet(_: str) -> None:
    """Drop what a call without a log would log."""


@endpoint("GET", "/nodes/{node}/storage/{storage}/content/{volume}")
def volume_info(call: Call) -> dict[str, Any]:
    """Return one volume (recording 10, 58-60 and 77)."""
    volid = _volid(call)
    volume = call.world.storages.volumes.get(volid)
    if volume is None or volume.missing:
        raise Refused(f"volume_size_info on '{volid}' failed - no format")
    call.require(f"/storage/{volume.storage}", *_AUDIT, either=True)
    path = call.world.storages.get(volume.storage).file_of(volume.name)
    form = "raw" if volume.content == "iso" else volume.format
    return {"path": path, "format": form, "size": volume.sectors_size, "used": volume.used}


def _volid(call: Call) -> str:
    name = str(call.params["volume"])
    return name if ":" in name else f"{call.params['storage']}:{name}"


@endpoint("DELETE", "/nodes/{node}/storage/{storage}/content/{volume}")
def remove(call: Call) -> str:
    """Begin the task that deletes a volume, in use or not (recording 10, 63-81)."""
    volid = _volid(call)
    storage, _, name = volid.partition(":")
    call.world.storages.get(storage)
    owner = re.match(r"(\d+)/|vm-(\d+)-", name)
    vmid = (owner[1] or owner[2]) if owner else ""
    _check_remove(call, storage, vmid)
    task = call.begin("imgdel", f"{vmid}@{storage}" if vmid else storage)
    return call.world.work(task, _remove(call, task, volid))


def _check_remove(call: Call, storage: str, vmid: str) -> None:
    """Refuse a caller who owns neither the storage's content nor the disk's VM."""
    needed = "Datastore.Allocate" if not vmid else "Datastore.AllocateSpace"
    call.require(f"/storage/{storage}", needed)
    if vmid:
        call.require(f"/vms/{vmid}", "VM.Config.Disk")


def _remove(call: Call, task: Task, volid: str) -> Steps[None]:
    yield call.world.pace(call.world.timing.task)
    volume = call.world.storages.volumes.get(volid)
    storage, _, name = volid.partition(":")
    if volume is None and name.split("/")[0] in {*CONTENT_FOLDERS, "images"}:
        where = call.world.storages.get(storage).file_of(name)
        task.log.append(f"disk image '{where}' does not exist")
    elif volume is None:
        raise Refused(f"volume '{volid}' does not exist")
    elif call.world.storages.children(volume):
        raise Refused(f"base volume '{volid}' is still in use by linked cloned")
    else:
        free(call.world, volume)
    task.log.append(f"Removed volume '{volid}'")
