"""Reads files of the host, named by path, through its storage pools: the operator has no other access to them."""

from __future__ import annotations

import contextlib
import posixpath
from functools import partial
from typing import TYPE_CHECKING

import libvirt

from vmclone_operator.domain.errors import SourceUnhealthy
from vmclone_operator.providers.libvirt import translate, volumes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vmclone_operator.providers.libvirt.domain_xml import Disk

PIECE_BYTES = 256 * 1024
_ABSENT = (libvirt.VIR_ERR_NO_STORAGE_VOL, libvirt.VIR_ERR_NO_STORAGE_POOL)


def at_path(connection: libvirt.virConnect, path: str) -> libvirt.virStorageVol | None:
    """Return the volume at this path, or None when no active pool has it."""
    volume = translate.found(lambda: connection.storageVolLookupByPath(path), *_ABSENT)
    if volume is not None:
        return volume
    # A snapshot's overlay is made behind the pool's back.
    pool = pool_over(connection, posixpath.dirname(path))
    if pool is None:
        return None
    volumes.refresh(pool)
    return translate.found(lambda: pool.storageVolLookupByName(posixpath.basename(path)), *_ABSENT)


def of_volume(connection: libvirt.virConnect, pool: str, name: str) -> libvirt.virStorageVol:
    """Return a volume by its names; raises libvirt's own error."""
    return connection.storagePoolLookupByName(pool).storageVolLookupByName(name)


def of_disk(connection: libvirt.virConnect, disk: Disk) -> libvirt.virStorageVol | None:
    """Return the volume of a disk's own image, or None when no active pool has it."""
    if not any(disk.volume):
        return at_path(connection, disk.path)
    return translate.found(partial(of_volume, connection, *disk.volume), *_ABSENT, libvirt.VIR_ERR_OPERATION_INVALID)


def pool_over(connection: libvirt.virConnect, folder: str) -> libvirt.virStoragePool | None:
    """Return the active pool of a directory, or None."""
    return translate.found(lambda: connection.storagePoolLookupByTargetPath(folder), *_ABSENT)


def stopped_pool(connection: libvirt.virConnect, disk: Disk) -> str:
    """Return the name of the pool that has a disk's image and is stopped, or an empty string."""
    folder = posixpath.dirname(disk.path) if disk.path else ""
    for pool in connection.listAllStoragePools(libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_INACTIVE):
        target = translate.found(partial(volumes.pool_path, pool), libvirt.VIR_ERR_NO_STORAGE_POOL)
        if disk.volume[0] == pool.name() or (folder and target == folder):
            return translate.plain(pool.name())
    return ""


def reader(connection: libvirt.virConnect, volume: libvirt.virStorageVol) -> Callable[[int, int], bytes]:
    """Return what reads pieces of a volume's file: by offset and length, fewer bytes at its end."""

    def read(offset: int, length: int) -> bytes:
        return download(connection, volume, length, offset)

    return read


def download(connection: libvirt.virConnect, volume: libvirt.virStorageVol, length: int, offset: int = 0) -> bytes:
    """Return bytes of a volume's file, as they are stored: so many from an offset, or fewer at its end."""
    content = bytearray()
    with _stream(connection) as stream:
        volume.download(stream, offset, length)
        while piece := stream.recv(PIECE_BYTES):
            content += piece
            if len(content) > length:
                raise SourceUnhealthy(f"{translate.plain(volume.path())} is longer than {length >> 20} MiB")
    return bytes(content)


@contextlib.contextmanager
def _stream(connection: libvirt.virConnect) -> Iterator[libvirt.virStream]:
    """Open a stream, and end it whichever way its use ends: one left open counts against the connection."""
    stream = connection.newStream()
    try:
        yield stream
    except BaseException:
        with contextlib.suppress(libvirt.libvirtError):
            stream.abort()
        raise
    stream.finish()
