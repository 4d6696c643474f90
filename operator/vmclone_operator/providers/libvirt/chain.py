"""What a powered-off disk consists of: its image and every backing file below it, each of a known format.

Formats are believed only where the host wrote them: in the VM's XML, and in the header of an overlay for
the image below it. What is guessed from an image's content was perhaps written by a guest.
"""

from __future__ import annotations

import posixpath
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import libvirt

from vmclone_operator.domain.errors import SourceUnhealthy
from vmclone_operator.providers.libvirt import host_files, translate, volumes

if TYPE_CHECKING:
    from vmclone_operator.providers.libvirt.domain_xml import Disk

HEAD_BYTES = 64 * 1024
"""How much of an image holds its header; QEMU keeps it within the first cluster."""
MAX_IMAGES = 64
_MAGIC = b"QFI\xfb"
_BACKING_FORMAT = 0xE2792ACA
_DATA_FILE_FEATURE = 1 << 2
_FORMATS = frozenset({"raw", "qcow2"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a qcow2 image says of itself."""

    backing: str = ""
    backing_format: str = ""
    encrypted: bool = False
    data_file: bool = False
    """True when its data are in yet another file."""


def parse_header(head: bytes) -> Header | None:
    """Read the beginning of a qcow2 image; None when it is none, or cut off."""
    try:
        if head[:4] != _MAGIC:
            return None
        (version, offset, size) = struct.unpack_from(">IQI", head, 4)
        features, length = struct.unpack_from(">Q20xI", head, 72) if version > 2 else (0, 72)  # noqa: PLR2004 - the format's
        (crypt,) = struct.unpack_from(">I", head, 32)
        return Header(
            backing=head[offset : offset + size].decode() if offset else "",
            backing_format=_extensions(head, length).get(_BACKING_FORMAT, b"").decode(),
            encrypted=crypt != 0,
            data_file=bool(features & _DATA_FILE_FEATURE),
        )
    except (struct.error, UnicodeDecodeError):
        return None


def _extensions(head: bytes, offset: int) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while True:
        kind, size = struct.unpack_from(">II", head, offset)
        if kind == 0:
            return found
        found[kind] = head[offset + 8 : offset + 8 + size]
        offset += 8 + (size + 7) // 8 * 8


def images(connection: libvirt.virConnect, disk: Disk) -> tuple[libvirt.virStorageVol, ...]:
    """Return a powered-off disk's volumes, its own first; raises SourceUnhealthy when one cannot be trusted."""
    volume = host_files.of_disk(connection, disk)
    if volume is None:
        raise SourceUnhealthy(_in_no_pool(connection, disk))
    known = volumes.describe(volume)
    if known.format != disk.format:
        raise SourceUnhealthy(_another_format(disk, known))
    found, image_format = [volume], disk.format
    while image_format == "qcow2":
        header = _read_header(connection, disk, found[-1])
        if not header.backing:
            break
        found.append(_below(connection, disk, found[-1].path(), header))
        image_format = header.backing_format
        if len(found) > MAX_IMAGES:
            raise SourceUnhealthy(f"disk {disk.target} stands on more than {MAX_IMAGES} backing files: flatten it")
    return tuple(found)


def _in_no_pool(connection: libvirt.virConnect, disk: Disk) -> str:
    stopped = host_files.stopped_pool(connection, disk)
    if stopped:
        return f"disk {disk.target} is in the storage pool {stopped}, which is stopped: virsh pool-start {stopped}"
    where = f" ({_named(disk.path)}, the path as the VM names it)" if disk.path else ""
    return (
        f"disk {disk.target}{where} is in no active storage pool of its host: start the source, or define a pool for it"
    )


def _another_format(disk: Disk, known: volumes.VolumeInfo) -> str:
    if known.block:
        return (
            f"disk {disk.target} is {disk.format} on a block device, which libvirt copies as raw: start the source (a"
            " running one is copied as it is), or convert the disk to raw"
        )
    return (
        f"disk {disk.target} is {disk.format} for the VM but looks like {known.format or 'nothing known'} in its pool:"
        " it is not copied"
    )


def _read_header(connection: libvirt.virConnect, disk: Disk, volume: libvirt.virStorageVol) -> Header:
    header = parse_header(host_files.download(connection, volume, HEAD_BYTES))
    if header is None:
        raise SourceUnhealthy(
            f"disk {disk.target}: {_named(volume.path())} is no qcow2 image though it should be"
            " - the template may be corrupted"
        )
    if header.encrypted:
        raise SourceUnhealthy(f"disk {disk.target}: {_named(volume.path())} is encrypted, which is not supported")
    if header.data_file:
        raise SourceUnhealthy(f"disk {disk.target}: {_named(volume.path())} keeps its data in another file: convert it")
    return header


def _below(connection: libvirt.virConnect, disk: Disk, above: str, header: Header) -> libvirt.virStorageVol:
    """Return the volume of a backing file."""
    named = _named(header.backing)
    if header.backing_format not in _FORMATS:
        words = f"format {translate.plain(header.backing_format)}" if header.backing_format else "no format on record"
        raise SourceUnhealthy(f"disk {disk.target}: its backing file {named} has {words}, and formats are not guessed")
    if ":" in header.backing.partition("/")[0]:
        raise SourceUnhealthy(f"disk {disk.target}: its backing file {named} is no file on the host: flatten the disk")
    path = posixpath.normpath(posixpath.join(posixpath.dirname(above), header.backing))
    volume = host_files.at_path(connection, path)
    if volume is None:
        raise SourceUnhealthy(
            f"disk {disk.target}: its backing file {named} is missing, or in no active storage pool of its host"
        )
    return volume


def _named(path: str) -> str:
    return translate.plain(path)
