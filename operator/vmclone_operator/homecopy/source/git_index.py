"""Reads which files git tracks, without git: the source may have none, and a repository's config can run programs."""

# Runs on the source, on Python 3.6: no newer typing, and byte paths, which pathlib cannot hold.
# ruff: noqa: UP006, UP035, UP045, PTH112, PTH118, PTH123, PTH202

import os
import struct
from typing import Dict, FrozenSet, Optional, Set, Tuple

_LARGEST_INDEX = 256 * 1024 * 1024
_NOTHING: FrozenSet[bytes] = frozenset()
_EXTENDED = 0x4000
_NAME_LENGTH = 0x0FFF
_COMPRESSED = 4


class TrackedFiles:
    """Answers whether a file is in the index of the repository that it lies in; reads each index once."""

    def __init__(self, home: bytes) -> None:
        self._home = home
        self._repositories: Dict[bytes, Optional[FrozenSet[bytes]]] = {}

    def has(self, path: bytes) -> bool:
        """Return whether git tracks this path (relative to the home)."""
        folder, name = os.path.split(path)
        while True:
            tracked = self._tracked_in(folder)
            if tracked is not None:
                return name in tracked
            if not folder:
                return False
            folder, last = os.path.split(folder)
            name = last + b"/" + name

    def _tracked_in(self, folder: bytes) -> Optional[FrozenSet[bytes]]:
        if folder not in self._repositories:
            store = _git_folder(os.path.join(self._home, folder))
            self._repositories[folder] = None if store is None else _read_index(os.path.join(store, b"index"))
        return self._repositories[folder]


def _git_folder(work_tree: bytes) -> Optional[bytes]:
    """Return the repository's own folder; worktrees and submodules name theirs in a file."""
    store = os.path.join(work_tree, b".git")
    if os.path.isdir(store):
        return store
    try:
        with open(store, "rb") as pointer:
            first = pointer.readline(4096)
    except OSError:
        return None
    return os.path.join(work_tree, first[8:].strip()) if first.startswith(b"gitdir: ") else None


def _read_index(path: bytes) -> FrozenSet[bytes]:
    """Return the tracked names; an index that is missing, damaged or of another kind tracks nothing."""
    try:
        if os.path.getsize(path) > _LARGEST_INDEX:
            return _NOTHING
        with open(path, "rb") as index:
            return parse_index(index.read())
    except (OSError, ValueError, struct.error, IndexError):
        return _NOTHING


def parse_index(data: bytes) -> FrozenSet[bytes]:
    """Return the names in a git index of version 2, 3 or 4."""
    signature, version, count = struct.unpack_from(">4sII", data)
    if signature != b"DIRC" or version not in (2, 3, 4):
        return _NOTHING
    names: Set[bytes] = set()
    at, name = 12, b""
    for _ in range(count):
        name, at = _entry(data, at, version, name)
        names.add(name)
    return frozenset(names)


def _entry(data: bytes, at: int, version: int, previous: bytes) -> Tuple[bytes, int]:
    (flags,) = struct.unpack_from(">H", data, at + 60)
    start = at + (64 if flags & _EXTENDED else 62)
    if version == _COMPRESSED:
        cut, start = _varint(data, start)
        end = data.index(b"\0", start)
        return previous[: len(previous) - cut] + data[start:end], end + 1
    end = data.index(b"\0", start)
    return data[start:end], at + ((end - at) // 8 + 1) * 8


def _varint(data: bytes, at: int) -> Tuple[int, int]:
    byte = data[at]
    value = byte & 0x7F
    while byte & 0x80:
        at += 1
        byte = data[at]
        value = ((value + 1) << 7) | (byte & 0x7F)
    return value, at + 1
