"""Walks what belongs to others without being led astray: by open folders and last names, never through a link."""

# Runs in the clone, on Python 3.6: no newer typing, and folder handles, which pathlib cannot hold.
# ruff: noqa: UP006, UP035, UP045, PTH118, PTH120, PTH123

import errno
import os
import stat
from typing import Dict, Iterator, List, NamedTuple, Optional, Set, Tuple

OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_SNIFF_BYTES = 8192
_DEEPEST = 400
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
_COPY_ON_WRITE = {"btrfs", "zfs", "bcachefs", "nilfs2", "f2fs", "overlay", "aufs", "ubifs", "jffs2"}
_SHARED = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "virtiofs", "ceph", "glusterfs", "afs", "lustre", "autofs"}
_READ_ONLY = {"squashfs", "iso9660", "erofs", "proc", "sysfs", "cgroup", "cgroup2", "devtmpfs", "devpts"}


class Entry(NamedTuple):
    """One thing in a folder that is held open."""

    folder: int
    name: bytes
    path: bytes
    """Relative to where the walk began."""
    info: os.stat_result

    @property
    def inode(self) -> Tuple[int, int]:
        """What it is, whatever it is called."""
        return self.info.st_dev, self.info.st_ino

    def is_folder(self) -> bool:
        """Return whether it is a directory itself, not a link to one."""
        return stat.S_ISDIR(self.info.st_mode)

    def is_link(self) -> bool:
        """Return whether it is a symbolic link."""
        return stat.S_ISLNK(self.info.st_mode)

    def is_file(self) -> bool:
        """Return whether it is a regular file."""
        return stat.S_ISREG(self.info.st_mode)

    def open(self, flags: int) -> int:
        """Open it, and only it."""
        handle = os.open(self.name, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self.folder)
        found = os.fstat(handle)
        if (found.st_dev, found.st_ino) != self.inode:
            os.close(handle)
            raise OSError(errno.ENOENT, "exchanged while it was looked at")
        return handle

    def read(self, limit: int) -> Optional[bytes]:
        """Return the text, the first block of a binary file, or nothing when it is larger than the limit."""
        if self.info.st_size > limit:
            return None
        with open(self.open(os.O_RDONLY), "rb", buffering=0) as file:
            head = file.read(_SNIFF_BYTES)
            binary = b"\0" in head and head[:2] not in (b"\xff\xfe", b"\xfe\xff")
            return head if binary or len(head) < _SNIFF_BYTES else head + file.read(limit)


class Rules:
    """Says which entries go."""

    def takes(self, entry: Entry, *, above: bool) -> bool:
        """Return whether this entry goes; `above` says that the folder it lies in does."""
        raise NotImplementedError


class Mounts:
    """The mounted file systems: those that are shared with others are never entered."""

    def __init__(self, text: bytes) -> None:
        self._types: Dict[bytes, str] = {}
        for line in text.splitlines():
            mount, _, filesystem = line.partition(b" - ")
            path = mount.split(b" ")[4]
            for code, letter in ((b"\\040", b" "), (b"\\011", b"\t"), (b"\\012", b"\n"), (b"\\134", b"\\")):
                path = path.replace(code, letter)
            self._types[path] = filesystem.split(b" ")[0].decode("ascii", "replace")
        self.met: Set[str] = set()

    def closed(self, path: bytes) -> bool:
        """Return whether a file system begins here that is not to be entered; it is not even looked at."""
        return path in self._types and self._is_closed(self._types[path])

    def closed_above(self, path: bytes) -> bool:
        """Return whether this path lies on a file system that is not to be entered, and note its type."""
        while path not in self._types and path != b"/" and path:
            path = os.path.dirname(path)
        return self._is_closed(self._types.get(path, ""))

    def _is_closed(self, kind: str) -> bool:
        self.met.add(kind)
        return kind in _SHARED or kind in _READ_ONLY or kind.startswith("fuse")

    def unverified(self) -> List[str]:
        """Return the types that were met on which overwriting proves nothing, or which others see too."""
        return sorted(kind for kind in self.met if kind in _COPY_ON_WRITE or self._is_shared(kind))

    @staticmethod
    def _is_shared(kind: str) -> bool:
        return kind in _SHARED or kind.startswith("fuse")


class Place(NamedTuple):
    """Where a walk begins: all of a folder, or one name in it."""

    folder: bytes
    name: Optional[bytes]
    rules: Rules
    emptied: bool = False
    """Its files stay, without content: those who write them do not make them anew."""


class Walk:
    """Goes through places; yields what goes, the contents of a folder before itself."""

    def __init__(self, rules: Rules, mounts: Mounts) -> None:
        self._rules = rules
        self._mounts = mounts

    def entries(self, folder: bytes, name: Optional[bytes]) -> Iterator[Entry]:
        """Yield what goes of a folder's contents, or of one name in it."""
        handle = None if self._mounts.closed_above(folder) else _open(folder, None)
        if handle is None:
            return
        try:
            names = _names(handle) if name is None else [name]
            yield from self._named(handle, names, folder, b"", above=False)
        finally:
            os.close(handle)

    def _named(self, folder: int, names: List[bytes], at: bytes, path: bytes, *, above: bool) -> Iterator[Entry]:
        if path.count(b"/") > _DEEPEST:
            raise OSError(errno.ENAMETOOLONG, "folders are nested too deep")
        for name in names:
            here = os.path.join(at, name)
            entry = None if self._mounts.closed(here) else _look(folder, name, path + b"/" + name if path else name)
            if entry is None:
                continue
            goes = self._rules.takes(entry, above=above)
            if entry.is_folder():
                yield from self._inside(entry, here, above=goes)
            if goes:
                yield entry

    def _inside(self, entry: Entry, here: bytes, *, above: bool) -> Iterator[Entry]:
        handle = _open(entry.name, entry.folder)
        if handle is None:
            return
        try:
            yield from self._named(handle, _names(handle), here, entry.path, above=above)
        finally:
            os.close(handle)


def walk(place: Place, mounts: Mounts) -> Iterator[Entry]:
    """Yield what goes at a place."""
    return Walk(place.rules, mounts).entries(place.folder, place.name)


def _names(folder: int) -> List[bytes]:
    return [os.fsencode(name) for name in os.listdir(folder)]


def _look(folder: int, name: bytes, path: bytes) -> Optional[Entry]:
    try:
        return Entry(folder, name, path, os.stat(name, dir_fd=folder, follow_symlinks=False))
    except OSError as error:
        if error.errno in _GONE:
            return None
        raise


def _open(path: bytes, above: Optional[int]) -> Optional[int]:
    """Open a folder; nothing when it went away or became something else meanwhile."""
    try:
        return os.open(path, OPEN_FOLDER | os.O_CLOEXEC, dir_fd=above)
    except OSError as error:
        if error.errno in _GONE:
            return None
        raise
