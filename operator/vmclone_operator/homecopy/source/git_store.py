"""Reads what git committed, without git: the source may have none, and a repository's config can run programs.

Only the commit that is checked out is asked, not the index: that names what was staged, what was never added, and
whatever somebody writes into it.
"""

# Runs on the source, on Python 3.6: no newer typing, and byte paths, which pathlib cannot hold.
# ruff: noqa: UP006, UP035, UP045, PTH112, PTH118, PTH123, PTH208, PTH114

import mmap
import os
import re
import struct
import zlib
from typing import Dict, List, NamedTuple, Optional, Tuple

_LARGEST = 32 * 1024 * 1024
_DEEPEST = 64
_MOST_ALTERNATES = 4
_ID = re.compile(rb"(?:[0-9a-f]{40}|[0-9a-f]{64})\Z")
_KINDS = {1: b"commit", 2: b"tree", 3: b"blob", 4: b"tag"}
_OFFSET_DELTA, _REFERENCE_DELTA = 6, 7
_LARGE_OFFSET = 0x80000000


class Damaged(Exception):  # noqa: N818  - named for what happened
    """A repository that cannot be read; nothing in it counts as committed."""


class Pack(NamedTuple):
    """One pack: its index and its objects, mapped."""

    names: mmap.mmap
    objects: mmap.mmap


class Store:
    """The objects of one repository."""

    def __init__(self, folder: bytes, id_bytes: int) -> None:
        self._id_bytes = id_bytes
        self._folders = _with_alternates(os.path.join(folder, b"objects"))
        self._packs: Optional[List[Pack]] = None

    def read(self, name: bytes) -> Tuple[bytes, bytes]:
        """Return kind and content of an object; raises Damaged when it is not there or too large."""
        return self._read(name, 0)

    def _read(self, name: bytes, depth: int) -> Tuple[bytes, bytes]:
        digits = name.hex().encode()
        for folder in self._folders:
            try:
                with open(os.path.join(folder, digits[:2], digits[2:]), "rb") as file:
                    head, _, content = _unpacked(file.read(_LARGEST)).partition(b"\0")
            except OSError:
                continue
            return head.split(b" ")[0], content
        for pack in self._all_packs():
            at = self._place(pack.names, name)
            if at is not None:
                return self._packed(pack, at, depth)
        raise Damaged("an object is not there")

    def _all_packs(self) -> List[Pack]:
        if self._packs is None:
            self._packs = []
            for folder in self._folders:
                self._packs += _packs(os.path.join(folder, b"pack"))
        return self._packs

    def _place(self, index: mmap.mmap, name: bytes) -> Optional[int]:
        """Return where in its pack an object lies, by halving the sorted names of the index."""
        size = self._id_bytes
        count = struct.unpack_from(">I", index, 8 + 255 * 4)[0]
        low = struct.unpack_from(">I", index, 8 + (name[0] - 1) * 4)[0] if name[0] else 0
        high = struct.unpack_from(">I", index, 8 + name[0] * 4)[0]
        names = 8 + 256 * 4
        while low < high:
            middle = (low + high) // 2
            found = index[names + middle * size : names + middle * size + size]
            if found == name:
                return self._offset(index, names + count * size, count, middle)
            low, high = (middle + 1, high) if found < name else (low, middle)
        return None

    @staticmethod
    def _offset(index: mmap.mmap, after_names: int, count: int, number: int) -> int:
        offsets = after_names + 4 * count
        (offset,) = struct.unpack_from(">I", index, offsets + 4 * number)
        if offset & _LARGE_OFFSET:
            (offset,) = struct.unpack_from(">Q", index, offsets + 4 * count + 8 * (offset & ~_LARGE_OFFSET))
        return int(offset)

    def _packed(self, pack: Pack, at: int, depth: int) -> Tuple[bytes, bytes]:
        if depth > _DEEPEST:
            raise Damaged("deltas of deltas without end")
        start, byte = at, pack.objects[at]
        kind, size, shift = byte >> 4 & 7, byte & 15, 4
        while byte & 128:
            at += 1
            byte = pack.objects[at]
            size, shift = size | (byte & 127) << shift, shift + 7
        at += 1
        if size > _LARGEST:
            raise Damaged("an object is too large")
        if kind in _KINDS:
            return _KINDS[kind], _unpacked(pack.objects[at : at + size + 1024])
        if kind == _OFFSET_DELTA:
            back, at = _distance(pack.objects, at)
            if not 0 < back <= start:
                raise Damaged("a delta of nothing")
            base = self._packed(pack, start - back, depth + 1)
        elif kind == _REFERENCE_DELTA:
            base = self._read(pack.objects[at : at + self._id_bytes], depth + 1)
            at += self._id_bytes
        else:
            raise Damaged("an object of no kind")
        return base[0], _patched(base[1], _unpacked(pack.objects[at : at + size + 1024]))


def git_folder(work_tree: bytes) -> Optional[bytes]:
    """Return the repository's own folder; worktrees and submodules name theirs in a file."""
    store = os.path.join(work_tree, b".git")
    if os.path.isdir(store) and not os.path.islink(store):
        return store
    first = _line(store)
    return os.path.join(work_tree, first[8:].strip()) if first.startswith(b"gitdir: ") else None


def common_folder(folder: bytes) -> bytes:
    """Return where objects and branches lie: worktrees share those of the first one."""
    common = _line(os.path.join(folder, b"commondir")).strip()
    return os.path.join(folder, common) if common else folder


def head_commit(folder: bytes, common: bytes) -> Optional[bytes]:
    """Return the digits of the commit that is checked out; nothing before the first."""
    head = _line(os.path.join(folder, b"HEAD")).strip()
    for _ in range(4):
        if _ID.match(head):
            return head
        name = head[5:].strip() if head.startswith(b"ref: ") else b""
        if not re.match(rb"refs/[^\0]{1,4000}\Z", name) or b".." in name:
            return None
        head = _line(os.path.join(common, name)).strip() or _packed_reference(common, name)
    return None


def _packed_reference(common: bytes, name: bytes) -> bytes:
    try:
        with open(os.path.join(common, b"packed-refs"), "rb") as file:
            for line in file.read(_LARGEST).splitlines():
                words = line.split(b" ", 1)
                if words[1:] == [name]:
                    return words[0]
    except OSError:
        return b""
    return b""


def _line(path: bytes) -> bytes:
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            return file.readline(4096)
    except OSError:
        return b""


def _with_alternates(objects: bytes) -> List[bytes]:
    """Return where objects lie: here, and in the repositories that this one borrows from."""
    found = [objects]
    for folder in found:
        try:
            with open(os.path.join(folder, b"info", b"alternates"), "rb") as file:
                found += [os.path.join(folder, line) for line in file.read(65536).splitlines()]
        except OSError:
            continue
        if len(found) > _MOST_ALTERNATES:
            break
    return found[:_MOST_ALTERNATES]


def _packs(folder: bytes) -> List[Pack]:
    found = []
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(b".idx"))
    except OSError:
        return []
    for name in names[:256]:
        try:
            index = _mapped(os.path.join(folder, name))
            pack = Pack(index, _mapped(os.path.join(folder, name[:-4] + b".pack")))
        except (OSError, ValueError):
            continue
        if index[:8] == b"\xfftOc\0\0\0\2":
            found.append(pack)
    return found


def _mapped(path: bytes) -> mmap.mmap:
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return mmap.mmap(handle, 0, access=mmap.ACCESS_READ)
    finally:
        os.close(handle)


def _unpacked(data: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, _LARGEST)
    except zlib.error as error:
        raise Damaged(str(error)) from error


def _distance(data: mmap.mmap, at: int) -> Tuple[int, int]:
    byte = data[at]
    value = byte & 127
    while byte & 128:
        at += 1
        byte = data[at]
        value = (value + 1) << 7 | byte & 127
    return value, at + 1


def _length(delta: bytes, at: int) -> Tuple[int, int]:
    value = shift = 0
    while True:
        byte = delta[at]
        value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
        if not byte & 128:
            return value, at


def _patched(base: bytes, delta: bytes) -> bytes:
    """Return what a delta makes of its base: pieces of it, and new ones."""
    _, at = _length(delta, 0)
    size, at = _length(delta, at)
    if size > _LARGEST:
        raise Damaged("an object is too large")
    out = bytearray()
    while at < len(delta) and len(out) <= size:
        code = delta[at]
        at += 1
        if not code & 128:
            out += delta[at : at + code]
            at += code
            continue
        numbers: Dict[int, int] = {}
        for bit in range(7):
            if code >> bit & 1:
                numbers[bit] = delta[at]
                at += 1
        start = sum(numbers.get(bit, 0) << 8 * bit for bit in range(4))
        count = sum(numbers.get(4 + bit, 0) << 8 * bit for bit in range(3)) or 0x10000
        out += base[start : start + count]
    return bytes(out)
