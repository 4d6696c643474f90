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
    from collections.abc import Collection, Iterable

    from vmclone_operator.domain.backend import Fence

_STILL_BUILT = "still being allocated"
_DIRECTORIES = (
    libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE
    | libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_DIR
    | libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_FS
    | libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_NETFS
)
_PREFIX = "vmclone-"


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeInfo:
    """A volume as its own XML describes it."""

    path: str
    format: str
    """What libvirt's volume clone reads it as; a block device, and an ISO image, is raw whatever is on it."""
    capacity: int
    allocation: int
    backing: str
    modified: str
    block: bool = False
    """True for a device in place of a file: an LVM volume, a partition, a disk of a SAN."""


def open_pool(connection: libvirt.virConnect, name: str) -> libvirt.virStoragePool:
    """Return the pool; it must be active."""
    pool = translate.found(lambda: connection.storagePoolLookupByName(name), libvirt.VIR_ERR_NO_STORAGE_POOL)
    if pool is None:
        raise CloneFailed(f"there is no storage pool {name}: define it or name another in spec.libvirt.pool")
    if not pool.isActive():
        raise CloneFailed(f"the storage pool {name} is not active: virsh pool-start {name}")
    return pool


def directory_pools(connection: libvirt.virConnect) -> list[libvirt.virStoragePool]:
    """Return every active pool that is a directory: ours may be in any of them, wherever `disk.pool` pointed to."""
    return list(connection.listAllStoragePools(_DIRECTORIES))


def open_directory_pool(connection: libvirt.virConnect, name: str) -> libvirt.virStoragePool:
    """Return a pool that can hold qcow2 files."""
    pool = open_pool(connection, name)
    kind = domain_xml.parsed(pool.XMLDesc()).get("type", "")
    if kind not in {"dir", "fs", "netfs"}:
        raise CloneFailed(f"the storage pool {name} is of the type {kind}: clones need a directory pool")
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


def names_everywhere(connection: libvirt.virConnect, prefix: str) -> list[tuple[libvirt.virStoragePool, list[str]]]:
    """Return the pools of the host that hold volumes whose names begin so, with those names."""
    found = [(pool, _names_if_there(pool, prefix)) for pool in directory_pools(connection)]
    return [(pool, names) for pool, names in found if names]


def _names_if_there(pool: libvirt.virStoragePool, prefix: str) -> list[str]:
    """Return the names; none when the pool, which need not be ours, was stopped since it was listed."""
    gone = (libvirt.VIR_ERR_NO_STORAGE_POOL, libvirt.VIR_ERR_OPERATION_INVALID)
    return translate.found(lambda: volume_names(pool, prefix), *gone) or []


def find_volume(pool: libvirt.virStoragePool, name: str) -> libvirt.virStorageVol | None:
    """Return the volume of this name, or None."""
    return translate.found(lambda: pool.storageVolLookupByName(name), libvirt.VIR_ERR_NO_STORAGE_VOL)


def describe(volume: libvirt.virStorageVol) -> VolumeInfo:
    """Read a volume's XML."""
    return described(domain_xml.parsed(volume.XMLDesc()))


def described(root: ET.Element) -> VolumeInfo:
    """Return what a volume's XML says of it.

    A pool of partitions tells the partition's type as the format (`linux`, `none`), LVM and iSCSI nothing or the
    kind of the label on it: a device has no image format. libvirt's clone reads devices and ISO images as raw.
    """
    target_format, block = root.find("target/format"), root.get("type") == "block"
    word = "" if target_format is None else target_format.get("type", "")
    return VolumeInfo(
        path=root.findtext("target/path", ""),
        format="raw" if block or word == "iso" else word,
        block=block,
        capacity=int(root.findtext("capacity", "0")),
        allocation=int(root.findtext("allocation", "0")),
        backing=root.findtext("backingStore/path", ""),
        # udev sets a device's time anew whenever somebody looked at it, as libvirt itself does.
        modified="" if block else root.findtext("target/timestamps/mtime", ""),
    )


def written(pool: libvirt.virStoragePool, name: str) -> int:
    """Return how many bytes a volume takes that is perhaps still being written; 0 while it is not there yet."""
    try:
        return int(pool.storageVolLookupByName(name).info()[2])
    except libvirt.libvirtError as error:
        if translate.is_connection_loss(error):
            raise
        return 0


def volume_xml(name: str, capacity: int, *, image_format: str = "qcow2", backing: str = "") -> str:
    """Return the XML of a volume to make; a backing file is always a qcow2 of ours."""
    volume = ET.Element("volume", type="file")
    ET.SubElement(volume, "name").text = name
    ET.SubElement(volume, "capacity", unit="bytes").text = str(capacity)
    ET.SubElement(volume, "allocation", unit="bytes").text = "0"
    target = ET.SubElement(volume, "target")
    ET.SubElement(target, "format", type=image_format)
    if image_format == "qcow2":
        # libvirt's default is the oldest one, in which an overlay cannot forget what its guest discards.
        ET.SubElement(target, "compat").text = "1.1"
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


def exists_already(error: libvirt.libvirtError) -> bool:
    """Return whether a volume of that name is there; a copy says so in words only."""
    said = error.get_error_message() or ""
    return translate.is_code(error, libvirt.VIR_ERR_STORAGE_VOL_EXIST) or ("volume name" in said and "in use" in said)


def overlays_everywhere(connection: libvirt.virConnect, pool: libvirt.virStoragePool, paths: set[str]) -> list[str]:
    """Return the names of the volumes on one of these paths: any of the pool's own, and ours in other pools."""
    found = overlays_of(pool, paths)
    for other, names in names_everywhere(connection, _PREFIX):
        if other.name() != pool.name():
            found += overlays_of(other, paths, names)
    return found


def overlays_of(pool: libvirt.virStoragePool, paths: set[str], names: Collection[str] | None = None) -> list[str]:
    """Return the names of the volumes (of these, or all) whose backing file is one of these paths."""
    found = []
    for volume in pool.listAllVolumes():
        if names is not None and volume.name() not in names:
            continue
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
