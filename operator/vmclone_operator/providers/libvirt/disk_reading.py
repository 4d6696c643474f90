"""Reads disks of a source: their sizes, how much a copy of one can hold, and whether one is a cloud-init seed.

A disk is read through the VM where libvirt lets it (raw ones), else through the storage pool that its image is in.
libvirt's own words are told with the disk's name; that something may be corrupted only where a disk is gone.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import libvirt

from vmclone_operator.domain.errors import SourceUnhealthy
from vmclone_operator.providers.libvirt import chain, domain_xml, host_files, qcow2, translate
from vmclone_operator.providers.seed import SEED_BYTES, is_seed

if TYPE_CHECKING:
    import xml.etree.ElementTree as ET
    from collections.abc import Sequence

    from vmclone_operator.providers.libvirt.domain_xml import Disk

LARGEST_SEED = 128 << 20
"""A disk that cannot be read is taken for a seed up to this size: OpenStack's config drives have 64 MiB."""
MEDIA = frozenset({"cdrom", "floppy"})
_HEAD, _ISO_AT, _ISO_BYTES = 2048, 32768, 2048


def size_of(domain: libvirt.virDomain, disk: Disk) -> tuple[int, int]:
    """Return the capacity and allocation of a disk's own image; raises SourceUnhealthy when it cannot be read."""
    try:
        if disk.kind == "volume" and not domain.isActive():  # libvirt resolves these only when the VM starts
            _type, capacity, allocation = host_files.of_volume(domain.connect(), *disk.volume).info()
        else:
            capacity, allocation, _physical = domain.blockInfo(disk.target)
    except libvirt.libvirtError as error:
        raise unreadable(domain.connect(), disk, error) from error
    return int(capacity), int(allocation)


def unreadable(connection: libvirt.virConnect, disk: Disk, error: libvirt.libvirtError) -> SourceUnhealthy:
    """Return the error that names the disk, the cause and what to do; a lost connection is raised as it is."""
    if translate.is_connection_loss(error):
        raise error
    stopped = host_files.stopped_pool(connection, disk)
    if stopped:
        return SourceUnhealthy(
            f"disk {disk.target} is in the storage pool {stopped}, which is stopped: virsh pool-start {stopped}"
        )
    said = translate.plain(error.get_error_message() or "")
    if _is_gone(error):
        return SourceUnhealthy(f"disk {disk.target} is gone - the template may be corrupted: {said}")
    return SourceUnhealthy(f"disk {disk.target} cannot be read: {said}")


def _is_gone(error: libvirt.libvirtError) -> bool:
    """Return whether the image itself is not there, in distinction from an image that is not to be read."""
    missing_file = translate.is_code(error, libvirt.VIR_ERR_SYSTEM_ERROR) and error.get_int1() == errno.ENOENT
    gone = (libvirt.VIR_ERR_NO_STORAGE_VOL, libvirt.VIR_ERR_NO_STORAGE_POOL)
    return missing_file or translate.is_code(error, *gone)


def size_or_nothing(domain: libvirt.virDomain, disk: Disk) -> tuple[int, int]:
    """Return a disk's size, or zeros when nobody can tell it: to say why is preflight's part."""
    if disk.empty or not disk.local:
        return 0, 0
    try:
        return size_of(domain, disk)
    except SourceUnhealthy:
        return 0, 0


def is_readable(domain: libvirt.virDomain, disk: Disk) -> bool:
    """Return whether a medium is there, so that another VM could have it in its drive too."""
    if not disk.local:
        return False
    try:
        size_of(domain, disk)
        if disk.kind == "file":  # a running QEMU holds a file open that is gone for everybody else
            domain.blockPeek(disk.target, 0, 1, 0)
    except libvirt.libvirtError as error:
        if translate.is_connection_loss(error):
            raise
        return not _is_gone(error)
    except SourceUnhealthy:
        return False
    return True


def holds_seed(domain: libvirt.virDomain, disk: Disk) -> bool | None:
    """Return whether a disk is a seed that a guest reads at boot; None when its content cannot be read."""
    if disk.empty or not disk.local:
        return False
    try:
        head = _content(domain, disk, 0, _HEAD)
        descriptor = _content(domain, disk, _ISO_AT, _ISO_BYTES)
    except SourceUnhealthy:  # preflight tells it, with all else
        return False
    except libvirt.libvirtError as error:
        if translate.is_connection_loss(error):
            raise
        return None
    if head is None or descriptor is None:
        return None
    return is_seed(head.ljust(_ISO_AT, b"\0") + descriptor.ljust(SEED_BYTES - _ISO_AT, b"\0"))


def may_be_seed(domain: libvirt.virDomain, disk: Disk) -> bool:
    """Return whether a disk that cannot be read has the size of a seed."""
    return disk.local and 0 < size_or_nothing(domain, disk)[0] <= LARGEST_SEED


def _content(domain: libvirt.virDomain, disk: Disk, offset: int, size: int) -> bytes | None:
    """Return a piece of what the guest reads; fewer bytes at the disk's end, None when nobody can tell."""
    length = min(size, size_of(domain, disk)[0] - offset)
    if length <= 0:
        return b""
    if disk.format == "raw":
        if disk.kind == "volume" and not domain.isActive():
            volume = host_files.of_volume(domain.connect(), *disk.volume)
            return host_files.download(domain.connect(), volume, length, offset)
        return bytes(domain.blockPeek(disk.target, offset, length, 0))
    if disk.format != "qcow2":
        return None
    return _through(domain.connect(), _volumes(domain.connect(), disk), offset, length)


def _volumes(connection: libvirt.virConnect, disk: Disk) -> Sequence[libvirt.virStorageVol]:
    """Return the volumes of a qcow2 disk, its own first; of a running one, as far as pools have them."""
    try:
        return chain.images(connection, disk)
    except SourceUnhealthy:
        volume = host_files.of_disk(connection, disk)
        return () if volume is None else (volume,)


def _through(
    connection: libvirt.virConnect, images: Sequence[libvirt.virStorageVol], offset: int, length: int
) -> bytes | None:
    """Return what a guest reads through a chain of images."""
    if not images:
        return None
    read = host_files.reader(connection, images[0])
    head = read(0, qcow2.HEAD_BYTES)
    if not head.startswith(b"QFI\xfb"):
        return read(offset, length) if len(images) == 1 else None
    image, known = qcow2.layout(head), chain.parse_header(head)
    if image is None or known is None or (known.backing and len(images) == 1):
        return None
    below = images[1:]

    def deeper(at: int, size: int) -> bytes:
        return _through(connection, below, at, size) or b""

    return qcow2.guest_bytes(image, read, offset, length, deeper if below else None)


def copy_bytes(domain: libvirt.virDomain, live: ET.Element, disk: Disk) -> int:
    """Return how much a flattened copy of a disk holds at most, in bytes.

    What all images of its chain hold, compressed clusters as what they become; where an image cannot be looked
    into, the disk's own size. A raw disk's copy has the zeros left out that it leaves out itself.
    """
    capacity, allocation = size_or_nothing(domain, disk)
    if not capacity or disk.format == "raw":
        return allocation
    connection = domain.connect()
    try:
        if domain.isActive():
            paths = domain_xml.chain_paths(live, disk.target)
            volumes = [host_files.at_path(connection, path) for path in paths if path]
        else:
            volumes = list(chain.images(connection, disk))
        held = [_held(connection, volume) for volume in volumes if volume is not None]
    except (SourceUnhealthy, libvirt.libvirtError) as error:
        if isinstance(error, libvirt.libvirtError) and translate.is_connection_loss(error):
            raise
        return capacity
    known = [size for size in held if size is not None]
    if not known or len(known) < len(volumes):
        return capacity
    return min(capacity, sum(known))


def _held(connection: libvirt.virConnect, volume: libvirt.virStorageVol) -> int | None:
    """Return how much data one image holds; None when it cannot be looked into."""
    read = host_files.reader(connection, volume)
    head = read(0, qcow2.HEAD_BYTES)
    if not head.startswith(b"QFI\xfb"):
        return int(volume.info()[2])
    image = qcow2.layout(head)
    return None if image is None else qcow2.used_bytes(image, read)


def image_bytes(connection: libvirt.virConnect, volume: libvirt.virStorageVol) -> int:
    """Return how much a copy of a golden image holds at most, in bytes."""
    held = _held(connection, volume)
    return int(volume.info()[1]) if held is None else held
