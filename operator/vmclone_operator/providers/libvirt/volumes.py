"""Volumes of ours in the pool: made with an explicit format, found by name, removed by name.

A volume's name is its stamp: it begins with a prefix that is computed from a uid and never read from status.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import libvirt

from vmclone_operator.domain.errors import CloneFailed, OwnershipMismatch
from vmclone_operator.providers.libvirt import domain_xml, translate

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vmclone_operator.domain.backend import Fence

_STILL_BUILT = "still being allocated"


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeInfo:
    """A volume as its own XML describes it."""

    path: str
    format: str
    capacity: int
    allocation: int
    backing: str
    modified: str


def open_pool(connection: libvirt.virConnect, name: str) -> libvirt.virStoragePool:
    """Return the pool; it must be active."""
    pool = translate.found(lambda: connection.storagePoolLookupByName(name), libvirt.VIR_ERR_NO_STORAGE_POOL)
    if pool is None:
        raise CloneFailed(f"there is no storage pool {name}: define it or name another in spec.libvirt.pool")
    if not pool.isActive():
        raise CloneFailed(f"the storage pool {name} is not active: start it")
    return pool


def pool_path(pool: libvirt.virStoragePool) -> str:
    """Return the directory of the pool."""
    return domain_xml.parsed(pool.XMLDesc()).findtext("target/path", "")


def refresh(pool: libvirt.virStoragePool) -> None:
    """Let libvirt list the directory anew; not possible, and not needed, while it builds a volume itself."""
    try:
        pool.refresh()
    except libvirt.libvirtError as error:
        if translate.is_connection_loss(error):
            raise


def volume_names(pool: libvirt.virStoragePool, prefix: str) -> list[str]:
    """Return the names of the volumes that begin so, sorted."""
    # Not listVolumes(): it asks for the number first, and loses names when others are made in between.
    return sorted(name for volume in pool.listAllVolumes() if (name := volume.name()).startswith(prefix))


def find_volume(pool: libvirt.virStoragePool, name: str) -> libvirt.virStorageVol | None:
    """Return the volume of this name, or None."""
    return translate.found(lambda: pool.storageVolLookupByName(name), libvirt.VIR_ERR_NO_STORAGE_VOL)


def describe(volume: libvirt.virStorageVol) -> VolumeInfo:
    """Read a volume's XML."""
    root = domain_xml.parsed(volume.XMLDesc())
    target_format = root.find("target/format")
    return VolumeInfo(
        path=root.findtext("target/path", ""),
        format="" if target_format is None else target_format.get("type", ""),
        capacity=int(root.findtext("capacity", "0")),
        allocation=int(root.findtext("allocation", "0")),
        backing=root.findtext("backingStore/path", ""),
        modified=root.findtext("target/timestamps/mtime", ""),
    )


def volume_xml(name: str, capacity: int, *, image_format: str = "qcow2", backing: str = "") -> str:
    """Return the XML of a volume to make; a backing file is always a qcow2 of ours."""
    volume = ET.Element("volume", type="file")
    ET.SubElement(volume, "name").text = name
    ET.SubElement(volume, "capacity", unit="bytes").text = str(capacity)
    ET.SubElement(volume, "allocation", unit="bytes").text = "0"
    target = ET.SubElement(volume, "target")
    ET.SubElement(target, "format", type=image_format)
    if backing:
        below = ET.SubElement(volume, "backingStore")
        ET.SubElement(below, "path").text = backing
        ET.SubElement(below, "format", type="qcow2")
    return ET.tostring(volume, encoding="unicode")


def create(pool: libvirt.virStoragePool, xml: str, fence: Fence) -> libvirt.virStorageVol:
    """Make a volume; one of that name must not exist."""
    fence()
    return pool.createXML(xml)


def upload(connection: libvirt.virConnect, volume: libvirt.virStorageVol, content: bytes, fence: Fence) -> None:
    """Write the content of a new raw volume."""
    fence()
    stream = connection.newStream()
    volume.upload(stream, 0, len(content))
    remaining = content
    while remaining:
        remaining = remaining[stream.send(remaining) :]
    stream.finish()


def remove(pool: libvirt.virStoragePool, names: Iterable[str], fence: Fence) -> bool:
    """Remove volumes; return false when one is still being built and has to wait."""
    removed = [_remove(pool, name, fence) for name in names]
    return all(removed)


def _remove(pool: libvirt.virStoragePool, name: str, fence: Fence) -> bool:
    volume = find_volume(pool, name)
    if volume is None:
        return True
    fence()
    try:
        volume.delete()
    except libvirt.libvirtError as error:
        if translate.is_code(error, libvirt.VIR_ERR_NO_STORAGE_VOL):
            return True
        if is_being_built(error):
            return False
        raise
    return True


def is_being_built(error: libvirt.libvirtError) -> bool:
    """Return whether libvirtd is still writing the volume, perhaps for a client that is long gone."""
    return _STILL_BUILT in (error.get_error_message() or "") or (
        translate.is_code(error, libvirt.VIR_ERR_OPERATION_INVALID) and "in use" in (error.get_error_message() or "")
    )


def overlays_of(pool: libvirt.virStoragePool, paths: set[str]) -> list[str]:
    """Return the names of the volumes whose backing file is one of these paths."""
    found = []
    for volume in pool.listAllVolumes():
        info = translate.found(partial(describe, volume), libvirt.VIR_ERR_NO_STORAGE_VOL)
        if info is not None and info.backing in paths:
            found.append(volume.name())
    return found


def refuse_foreign_users(connection: libvirt.virConnect, paths: set[str], *, except_uuid: str = "") -> None:
    """Raise OwnershipMismatch when a VM other than this one has one of the files attached."""
    for domain in connection.listAllDomains():
        if domain.UUIDString() == except_uuid:
            continue
        text = translate.found(domain.XMLDesc, libvirt.VIR_ERR_NO_DOMAIN)
        used = set() if text is None else domain_xml.file_paths(domain_xml.parsed(text)) & paths
        if used:
            raise OwnershipMismatch(f"{min(used)} is attached to the VM {domain.name()}, which is not ours to change")


def space_problem(pool: libvirt.virStoragePool, needed: int) -> str:
    """Return what is wrong with the pool's free space, or an empty string; 15 % margin included."""
    available, wanted = pool.info()[3], needed + needed * 15 // 100
    if available >= wanted:
        return ""
    return (
        f"the pool {pool.name()} has {available >> 20} MiB free, {wanted >> 20} MiB are needed (15 % margin included)"
    )
