"""Walks what belongs to others without being led astray: by open folders and last names, never through a link."""

# Runs in the clone, on Python 3.6: no newer typing, and folder handles, which pathlib cannot hold.
# ruff: noqa: UP006, UP035, UP045, PTH118, PTH120, PTH123

import errno
import os
import stat
from typing import Dict, Iterator, List, NamedTuple, Optional, Set, Tuple

from vmclone_operator.homecopy.clone.own_disks import OwnDisks

OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_MOST_OPEN = 200
"""Folders of one nest that are open at once; a process may open 1,024 files."""
_CLOSED = -1
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
        try:
            handle = os.open(self.name, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self.folder)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise OSError(errno.ENOENT, "exchanged for a link while it was looked at") from error
            raise
        found = os.fstat(handle)
        if (found.st_dev, found.st_ino) != self.inode:
            os.close(handle)
            raise OSError(errno.ENOENT, "exchanged while it was looked at")
        return handle

    def read(self, limit: int) -> Optional[bytes]:
        """Return what is in it, or nothing when that is more than the limit."""
        if self.info.st_size > limit:
            return None
        with open(self.open(os.O_RDONLY), "rb", buffering=0) as file:
            return file.read(limit) or b""


class Rules:
    """Says which entries go."""

    def takes(self, entry: Entry, *, above: bool) -> bool:
        """Return whether this entry goes; `above` says that the folder it lies in does."""
        raise NotImplementedError


class Mounts:
    """The mounted file systems: those that are shared with others, or lie on others' disks, are never entered."""

    def __init__(self, text: bytes, own: Optional[OwnDisks] = None) -> None:
        self._types: Dict[bytes, str] = {}
        self._foreign: Set[bytes] = set()
        for line in text.splitlines():
            mount, _, filesystem = line.partition(b" - ")
            fields, path = mount.split(b" "), _plain(mount.split(b" ")[4])
            kind, source = (_plain(word).decode("utf-8", "replace") for word in filesystem.split(b" ")[:2])
            self._types[path] = kind
            self._foreign.discard(path)
            if own is not None and not own.holds(kind, fields[2].decode(), source):
                self._foreign.add(path)
        self.met: Set[str] = set()
        self.left_alone: Set[bytes] = set()

    def closed(self, path: bytes) -> bool:
        """Return whether a file system begins here that is not to be entered; it is not even looked at."""
        return path in self._types and self._is_closed(path)

    def closed_above(self, path: bytes) -> bool:
        """Return whether this path lies on a file system that is not to be entered, and note its type."""
        while path not in self._types and path != b"/" and path:
            path = os.path.dirname(path)
        return self._is_closed(path)

    def _is_closed(self, path: bytes) -> bool:
        kind = self._types.get(path, "")
        self.met.add(kind)
        if kind in _READ_ONLY or self._is_shared(kind):
            return True
        if path in self._foreign:
            self.left_alone.add(path)
        return path in self._foreign

    def unverified(self) -> List[str]:
        """Return the types that were met on which overwriting proves nothing, or which others see too."""
        return sorted(kind for kind in self.met if kind in _COPY_ON_WRITE or self._is_shared(kind))

    @staticmethod
    def _is_shared(kind: str) -> bool:
        return kind in _SHARED or kind.startswith("fuse")


def _plain(word: bytes) -> bytes:
    """Return a word of mountinfo as it is meant."""
    for code, letter in ((b"\\040", b" "), (b"\\011", b"\t"), (b"\\012", b"\n"), (b"\\134", b"\\")):
        word = word.replace(code, letter)
    return word


class Masking:
    """Takes secrets out of files that stay."""

    def apply(self, entry: Entry) -> None:
        """Write over the secrets."""
        raise NotImplementedError

    def leaves(self, entry: Entry) -> bool:
        """Return whether the file still holds one."""
        raise NotImplementedError


class Place(NamedTuple):
    """Where a walk begins: all of a folder, or one name in it."""

    folder: bytes
    name: Optional[bytes]
    rules: Rules
    emptied: bool = False
    """Its files stay, without content: those who write them do not make them anew."""
    mask: Optional["Masking"] = None
    """Its files stay, without the secrets in them."""


class _Frame:
    """A folder that is being gone through."""

    def __init__(self, entry: Optional[Entry], handle: int, names: List[bytes], *, above: bool) -> None:
        self.entry = entry
        self.handle = handle
        self.identity = _identity(handle)
        self.names = iter(names)
        self.above = above


class Walk:
    """Goes through one place; yields what goes, the contents of a folder before itself.

    Folders may be nested as deep as a file system allows: nothing here calls itself, and of a deep nest only the
    innermost folders are held open. The way back up leads through `..`, and only to the folder that it came from.
    """

    def __init__(self, place: "Place", mounts: Mounts) -> None:
        self._rules = place.rules
        self._mounts = mounts
        self._base = place.folder
        self._path = b""
        self._frames: List[_Frame] = []

    def entries(self, name: Optional[bytes]) -> Iterator[Entry]:
        """Yield what goes of the place's contents, or of one name in it."""
        handle = None if self._mounts.closed_above(self._base) else open_folder(self._base)
        if handle is None:
            return
        self._frames.append(_Frame(None, handle, _names(handle) if name is None else [name], above=False))
        try:
            while self._frames:
                yield from self._step(self._frames[-1])
        finally:
            for frame in self._frames:
                _close(frame)

    def _step(self, frame: _Frame) -> Iterator[Entry]:
        """Look at the folder's next name; without one, it was gone through and is itself what comes next."""
        name = next(frame.names, None)
        if name is None:
            yield from self._leave()
            return
        entry = self._look(frame, name)
        if entry is None:
            return
        goes = self._rules.takes(entry, above=frame.above)
        if entry.is_folder():
            inner = _open(entry.name, entry.folder)
            if inner is not None:
                self._enter(_Frame(entry if goes else None, inner, _names(inner), above=goes), name)
                return
        if goes:
            yield entry

    def _look(self, frame: _Frame, name: bytes) -> Optional[Entry]:
        path = self._path + b"/" + name if self._path else name
        if self._mounts.closed(os.path.join(self._base, path)):
            return None
        return _look(frame.handle, name, path)

    def _enter(self, frame: _Frame, name: bytes) -> None:
        self._path = self._path + b"/" + name if self._path else name
        self._frames.append(frame)
        if len(self._frames) > _MOST_OPEN:
            _close(self._frames[-_MOST_OPEN])

    def _leave(self) -> Iterator[Entry]:
        frame = self._frames.pop()
        try:
            outer = self._frames[-1] if self._frames else None
            if outer is not None and outer.handle == _CLOSED:
                outer.handle = self._back_up(frame.handle, outer)
        finally:
            _close(frame)
        self._path = self._path.rpartition(b"/")[0]
        if frame.entry is not None and outer is not None:
            yield frame.entry._replace(folder=outer.handle)

    def _back_up(self, handle: int, outer: _Frame) -> int:
        above = os.open(b"..", OPEN_FOLDER | os.O_CLOEXEC, dir_fd=handle)
        if _identity(above) != outer.identity:
            os.close(above)
            raise OSError(
                errno.ESTALE, "a folder was moved while it was scrubbed", os.path.join(self._base, self._path)
            )
        return above


def walk(place: Place, mounts: Mounts) -> Iterator[Entry]:
    """Yield what goes at a place."""
    return Walk(place, mounts).entries(place.name)


def open_folder(path: bytes) -> Optional[int]:
    """Open a folder by its real path, no part of which may be a link; nothing when one is, or is gone."""
    handle: Optional[int] = os.open(b"/", OPEN_FOLDER | os.O_CLOEXEC)
    for part in path.split(b"/"):
        if part and handle is not None:
            outer, handle = handle, _open(part, handle)
            os.close(outer)
    return handle


def _identity(handle: int) -> Tuple[int, int]:
    info = os.fstat(handle)
    return info.st_dev, info.st_ino


def _close(frame: _Frame) -> None:
    if frame.handle != _CLOSED:
        os.close(frame.handle)
        frame.handle = _CLOSED


def _names(folder: int) -> List[bytes]:
    return [os.fsencode(name) for name in os.listdir(folder)]


def _look(folder: int, name: bytes, path: bytes) -> Optional[Entry]:
    try:
        return Entry(folder, name, path, os.stat(name, dir_fd=folder, follow_symlinks=False))
    except OSError as error:
        if error.errno in _GONE:
            return None
        raise


def _open(name: bytes, above: int) -> Optional[int]:
    """Open a folder; nothing when it went away or became something else meanwhile."""
    try:
        return os.open(name, OPEN_FOLDER | os.O_CLOEXEC, dir_fd=above)
    except OSError as error:
        if error.errno in _GONE:
            return None
        raise
