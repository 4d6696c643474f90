"""Opens what lies in a home by handles, one folder from the other: no part of a path is ever followed as a link.

A home is in use while it is read. What was a folder a moment ago may be a link to `~/.ssh` now, a file may be a
pipe that nobody writes to; opened this way both are only found to be of another kind.
"""

# Runs on the source, on Python 3.6: no newer typing, and byte paths, which pathlib cannot hold.
# ruff: noqa: UP006, UP035, UP045, PTH208

import errno
import os
import resource
import stat
from typing import Callable, List, NamedTuple, Optional, Tuple

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_ANOTHER_KIND = (errno.ELOOP, errno.ENOTDIR, errno.ENXIO, errno.EISDIR)
_GONE = (errno.ENOENT, errno.ESTALE)

VANISHED = "Vanished"
CHANGED = "Changed"
UNREADABLE = "Unreadable"


def why_not(error: OSError) -> str:
    """Return why an entry could not be read: it is gone, is of another kind by now, or may not be read."""
    if error.errno in _GONE:
        return VANISHED
    return CHANGED if error.errno in _ANOTHER_KIND else UNREADABLE


class Entry(NamedTuple):
    """One name in a folder; without `info` it could not be looked at, and `why` says why."""

    path: bytes
    info: Optional[os.stat_result]
    why: str = ""


class Folders:
    """The folders of one home. Paths are relative to it; the home itself is the empty path."""

    def __init__(self, home: bytes) -> None:
        _allow_many_handles()
        self._root = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._chain: List[Tuple[bytes, int]] = []

    def close(self) -> None:
        """Give all handles back."""
        self._cut(0)
        os.close(self._root)

    def forget(self) -> None:
        """Open every folder anew from here on: a name may mean another one by now."""
        self._cut(0)

    def entries(self, folder: bytes) -> List[Entry]:
        """Return what is in a folder, or raise OSError. An entry that vanishes meanwhile costs only itself."""
        handle = self._folder(folder)
        prefix = folder + b"/" if folder else b""
        return [_entry(prefix, os.fsencode(name), handle) for name in os.listdir(handle)]

    def look(self, path: bytes) -> os.stat_result:
        """Return what a path is, or raise OSError."""
        folder, _, name = path.rpartition(b"/")
        return os.stat(name, dir_fd=self._folder(folder), follow_symlinks=False)

    def open(self, path: bytes) -> int:
        """Return a handle for a regular file, or raise OSError; it never waits for a pipe's other end."""
        folder, _, name = path.rpartition(b"/")
        handle = os.open(name, _FILE, dir_fd=self._folder(folder))
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise OSError(errno.ENXIO, "is no regular file any more")
        return handle

    def folder(self, path: bytes) -> int:
        """Return a folder's handle, which stays ours, or raise OSError."""
        return self._folder(path)

    def remove(self, path: bytes, *, is_folder: bool) -> None:
        """Remove a file, a link or an empty folder, or raise OSError."""
        folder, _, name = path.rpartition(b"/")
        handle = self._folder(folder)
        if not is_folder:
            os.unlink(name, dir_fd=handle)
            return
        if self._chain and b"/".join(held for held, _ in self._chain) == path:
            self._cut(len(self._chain) - 1)
        os.rmdir(name, dir_fd=handle)

    def read(self, path: bytes, what: Callable[[int], Optional[bytes]]) -> Optional[bytes]:
        """Return what is read by a file's handle, which is closed again."""
        handle = self.open(path)
        try:
            return what(handle)
        finally:
            os.close(handle)

    def _folder(self, folder: bytes) -> int:
        """Return a folder's handle; those above it stay open, for most of what comes next lies below them too."""
        names = folder.split(b"/") if folder else []
        depth = 0
        while depth < min(len(names), len(self._chain)) and self._chain[depth][0] == names[depth]:
            depth += 1
        self._cut(depth)
        for name in names[depth:]:
            above = self._chain[-1][1] if self._chain else self._root
            self._chain.append((name, os.open(name, _FOLDER, dir_fd=above)))
        return self._chain[-1][1] if self._chain else self._root

    def _cut(self, depth: int) -> None:
        while len(self._chain) > depth:
            os.close(self._chain.pop()[1])


def _entry(prefix: bytes, name: bytes, folder: int) -> Entry:
    try:
        return Entry(prefix + name, os.stat(name, dir_fd=folder, follow_symlinks=False))
    except OSError as error:
        return Entry(prefix + name, None, why_not(error))


def _allow_many_handles() -> None:
    """A thousand nested folders are a thousand handles, which is the most that many systems give unasked."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4096 if hard == resource.RLIM_INFINITY else min(4096, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
