"""Reads files of the host, named by path, through its storage pools: the operator has no other access to them."""

from __future__ import annotations

import contextlib
import posixpath
from typing import TYPE_CHECKING

import libvirt

from vmclone_operator.domain.errors import SourceUnhealthy
from vmclone_operator.providers.libvirt import translate, volumes

if TYPE_CHECKING:
    from collections.abc import Iterator

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


def pool_over(connection: libvirt.virConnect, folder: str) -> libvirt.virStoragePool | None:
    """Return the active pool of a directory, or None."""
    return translate.found(lambda: connection.storagePoolLookupByTargetPath(folder), *_ABSENT)


def download(connection: libvirt.virConnect, volume: libvirt.virStorageVol, length: int) -> bytes:
    """Return the first bytes of a volume's file, as they are stored, or all when there are fewer."""
    content = bytearray()
    with _stream(connection) as stream:
        volume.download(stream, 0, length)
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
