"""Takes the content of a file off the disk, then the file: what is only unlinked can be read from the raw disk."""

# Runs in the clone, on Python 3.6: no newer typing, and folder handles, which pathlib cannot hold.
# ruff: noqa: UP006, UP035

import errno
import fcntl
import os
import stat
import struct
from typing import Iterator, Tuple

from vmclone_operator.homecopy.clone.walk import Entry

MARK = b"\0vmclone"
"""What an overwritten file begins with, so that a run that was killed is finished by the next."""

_LOOKED_AT = 1024 * 1024
_BLOCK = bytes(1024 * 1024)
_LONG = struct.calcsize("l") << 16
_GET_FLAGS = 0x80006601 | _LONG
_SET_FLAGS = 0x40006602 | _LONG
_PROTECTED = 0x10 | 0x20
_UNWRITABLE = (errno.ETXTBSY, errno.ENXIO)


def overwrite(entry: Entry, *, at_once: bool = False) -> None:
    """Write over what the file holds; the caller syncs before anything is unlinked, or it never reaches the disk."""
    try:
        handle = _writable(entry)
    except OSError as error:
        if error.errno in _UNWRITABLE:
            return
        raise
    try:
        for start, end in _stretches(handle, entry.info.st_size):
            _fill(handle, start, end)
        os.pwrite(handle, MARK[: entry.info.st_size], 0)
        if at_once:
            os.fsync(handle)
    finally:
        os.close(handle)


def empty(entry: Entry) -> None:
    """Leave the file without content."""
    handle = _writable(entry)
    try:
        os.ftruncate(handle, 0)
    finally:
        os.close(handle)


def remove(entry: Entry) -> None:
    """Unlink; a folder in which something is left stays."""
    try:
        _remove(entry)
    except PermissionError:
        _unprotect(entry)
        _remove(entry)


def is_overwritten(data: bytes) -> bool:
    """Return whether this is what `overwrite` leaves."""
    return data.startswith(MARK)


def _remove(entry: Entry) -> None:
    if not entry.is_folder():
        if entry.is_file() and not _is_blank(entry):
            overwrite(entry, at_once=True)
        os.unlink(entry.name, dir_fd=entry.folder)
        return
    try:
        os.rmdir(entry.name, dir_fd=entry.folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY, errno.ENOTDIR):
            raise


def _is_blank(entry: Entry) -> bool:
    """Return whether it is still as it was overwritten; somebody may have written to it since."""
    size = entry.info.st_size
    data = entry.read(_LOOKED_AT) if size <= _LOOKED_AT else None
    return data is None or is_overwritten(data) or not data.strip(b"\0") or data == MARK[:size]


def _writable(entry: Entry) -> int:
    try:
        return entry.open(os.O_WRONLY)
    except PermissionError:
        _unprotect(entry)
        return entry.open(os.O_WRONLY)


def _unprotect(entry: Entry) -> None:
    """Take the immutable and append-only flags from the file and the folder that it lies in."""
    if not stat.S_ISLNK(entry.info.st_mode):
        handle = entry.open(os.O_RDONLY)
        try:
            _clear_flags(handle)
        finally:
            os.close(handle)
    _clear_flags(entry.folder)


def _clear_flags(handle: int) -> None:
    try:
        (flags,) = struct.unpack("l", fcntl.ioctl(handle, _GET_FLAGS, bytes(struct.calcsize("l"))))
        if flags & _PROTECTED:
            fcntl.ioctl(handle, _SET_FLAGS, struct.pack("l", flags & ~_PROTECTED))
    except OSError as error:
        if error.errno not in (errno.ENOTTY, errno.EOPNOTSUPP, errno.EINVAL):
            raise


def _stretches(handle: int, size: int) -> Iterator[Tuple[int, int]]:
    """Yield where the file holds data: filling the holes of a sparse one could fill the disk."""
    at = 0
    while at < size:
        try:
            start = os.lseek(handle, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            raise
        at = os.lseek(handle, start, os.SEEK_HOLE)
        yield start, min(at, size)


def _fill(handle: int, start: int, end: int) -> None:
    while start < end:
        start += os.pwrite(handle, _BLOCK[: end - start], start)
