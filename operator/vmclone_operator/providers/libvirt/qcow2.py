"""Reads qcow2 images by their tables, through pieces of the file: a remote operator has no qemu-img at the host.

Two questions only: how much a flattened copy holds at most, and what a guest reads at some place. An image that
is too large, damaged, or of a kind that is not known here gets no answer (None), never a guess. The layout is
QEMU's docs/interop/qcow2.rst.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

Read = Callable[[int, int], bytes]
"""Returns so many bytes of the image's file from an offset; fewer at its end."""

HEAD_BYTES = 64 * 1024
MOST_TABLE_BYTES = 32 << 20
"""How much of an image's tables is read at most: 256 GiB of data in clusters of the usual size."""
_MAGIC = b"QFI\xfb"
_OFFSET = 0x00FFFFFFFFFFFE00
_COMPRESSED = 1 << 62
_ZERO = 1
_EXTENDED = 1 << 4
_OTHER_COMPRESSION = 1 << 3
_NOT_KNOWN = ~(0b11 | _OTHER_COMPRESSION | _EXTENDED)
"""Incompatible features beside dirty, corrupt and those two: an external data file, and what is yet to come."""
_CLUSTER_BITS = range(9, 22)
_USUAL_CLUSTER = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where an image keeps its tables; sizes in bytes."""

    capacity: int
    cluster_bits: int
    first_table: int
    first_entries: int
    entry_bytes: int = 8
    zlib: bool = True
    """False when its compressed clusters are so by another method."""

    @property
    def cluster(self) -> int:
        """How large a cluster is, and a table of the second level."""
        return 1 << self.cluster_bits

    @property
    def per_table(self) -> int:
        """How many clusters one table of the second level describes."""
        return self.cluster // self.entry_bytes


def layout(head: bytes) -> Layout | None:
    """Read the beginning of an image; None when it is none that can be read here."""
    try:
        if head[:4] != _MAGIC:
            return None
        version, bits, capacity, crypt, entries, table = struct.unpack_from(">I12xIQIIQ", head, 4)
        (features,) = struct.unpack_from(">Q", head, 72) if version > 2 else (0,)  # noqa: PLR2004 - the format's
    except struct.error:
        return None
    if crypt or bits not in _CLUSTER_BITS or features & _NOT_KNOWN:
        return None
    return Layout(
        capacity=capacity,
        cluster_bits=bits,
        first_table=table,
        first_entries=entries,
        entry_bytes=16 if features & _EXTENDED else 8,
        zlib=not features & _OTHER_COMPRESSION,
    )


def used_bytes(image: Layout, read: Read) -> int | None:
    """Return how much data the image holds, each compressed cluster counted as what it becomes in a copy.

    The number of bytes stored says less: a copy is written without the compression.
    """
    if image.first_entries * 8 > MOST_TABLE_BYTES:
        return None
    tables = {index: at & _OFFSET for index, at in enumerate(_first_level(image, read)) if at & _OFFSET}
    if len(tables) * image.cluster > MOST_TABLE_BYTES:
        return None
    # A copy's own clusters have the usual size: many small ones in a row are one of them.
    size = max(image.cluster, _USUAL_CLUSTER)
    used: set[int] = set()
    for index, table in tables.items():
        found = enumerate(_entries(image, read(table, image.cluster)), index * image.per_table)
        used.update(number * image.cluster // size for number, entry in found if _is_data(entry))
    return min(image.capacity, len(used) * size)


def _first_level(image: Layout, read: Read) -> list[int]:
    raw = read(image.first_table, image.first_entries * 8)
    return list(struct.unpack(f">{len(raw) // 8}Q", raw[: len(raw) // 8 * 8]))


def _entries(image: Layout, raw: bytes) -> list[int]:
    words = struct.unpack(f">{len(raw) // 8}Q", raw[: len(raw) // 8 * 8])
    return list(words[:: image.entry_bytes // 8])


def _is_data(entry: int) -> bool:
    return bool(entry & _COMPRESSED) or (bool(entry & _OFFSET) and not entry & _ZERO)


def guest_bytes(image: Layout, read: Read, offset: int, length: int, below: Read | None = None) -> bytes | None:
    """Return what a guest reads at a place of the disk, zeros beyond its end; None when that cannot be told.

    `below` answers for what the image leaves to its backing file; without one that reads as zeros.
    """
    found = bytearray()
    while len(found) < length:
        at = offset + len(found)
        within = at % image.cluster
        size = min(length - len(found), image.cluster - within)
        piece = _piece(image, read, at, size, below)
        if piece is None:
            return None
        found += piece.ljust(size, b"\0")[:size]
    return bytes(found)


def _piece(image: Layout, read: Read, at: int, size: int, below: Read | None) -> bytes | None:
    """Return a part of one cluster."""
    entry = _entry_of(image, read, at // image.cluster) if at < image.capacity else 0
    within = at % image.cluster
    if entry & _COMPRESSED:
        content = _decompressed(image, read, entry)
        return None if content is None else content[within : within + size]
    if entry & _ZERO:
        return b""
    if entry & _OFFSET:
        return read((entry & _OFFSET) + within, size)
    return b"" if below is None or at >= image.capacity else below(at, size)


def _entry_of(image: Layout, read: Read, cluster: int) -> int:
    first = cluster // image.per_table
    if first >= image.first_entries:
        return 0
    (table,) = struct.unpack(">Q", read(image.first_table + first * 8, 8).ljust(8, b"\0"))
    if not table & _OFFSET:
        return 0
    at = (table & _OFFSET) + cluster % image.per_table * image.entry_bytes
    return int.from_bytes(read(at, 8).ljust(8, b"\0"), "big")


def _decompressed(image: Layout, read: Read, entry: int) -> bytes | None:
    if not image.zlib:
        return None
    bits = 62 - (image.cluster_bits - 8)
    offset, sectors = entry & ((1 << bits) - 1), (entry & (_COMPRESSED - 1)) >> bits
    stored = read(offset, (sectors + 1) * 512 - offset % 512)
    try:
        return zlib.decompressobj(-12).decompress(stored, image.cluster)
    except zlib.error:
        return None
