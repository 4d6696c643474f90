"""Takes the secrets out of files that have to stay: each letter of a value becomes 0, in its place on the disk.

    wpa-psk correct horse    ->    wpa-psk 0000000 00000

A network's or an agent's configuration holds more than its password; without the file the clone would not come up.
"""

# Runs in the clone, on Python 3.6: no newer typing.
# ruff: noqa: UP006, UP035

import os
import re
from typing import Iterator, Tuple

from vmclone_operator.homecopy.clone.walk import Entry, Masking

LARGEST = 64 * 1024 * 1024
"""Bytes of the largest file that is looked into."""

VALUES = {
    "line": rb"[^\n]+",
    "word": rb"\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*'|[^ \t\n\"',;})\[{|>][^ \t\n\"',;})]*",
    "before-at": rb"[^@ \t\"'/\n]+@",
}
"""What a value is, by its kind; the posix engine has the same three in awk."""

_LETTER = re.compile(rb"[^ \t\r\"'@]")
_NO_SECRET = re.compile(rb"[\"']?(?:\$.*|true|false|null|none|yes|no|0*)[\"']?\Z", re.DOTALL)


class Mask(Masking):
    """One kind of value in one kind of file."""

    def __init__(self, kind: str, before: str) -> None:
        self._pattern = re.compile(b"(?:%s)(?P<value>%s)" % (before.encode(), VALUES[kind]), re.MULTILINE)

    def changes(self, data: bytes) -> Iterator[Tuple[int, bytes]]:
        """Yield where a value stands that is to go, and what is to stand there."""
        for found in self._pattern.finditer(data):
            value = found.group("value")
            masked = _LETTER.sub(b"0", value)
            if masked != value and not _NO_SECRET.match(value):
                yield found.start("value"), masked

    def leaves(self, entry: Entry) -> bool:
        """Return whether the file still holds such a value."""
        return entry.is_file() and any(True for _ in self.changes(_read(entry)))

    def apply(self, entry: Entry) -> None:
        """Write over the values; everything else of the file stays as it is."""
        changes = list(self.changes(_read(entry))) if entry.is_file() else []
        if not changes:
            return
        handle = entry.open(os.O_WRONLY)
        try:
            for at, masked in changes:
                os.pwrite(handle, masked, at)
            os.fsync(handle)
        finally:
            os.close(handle)


def _read(entry: Entry) -> bytes:
    if entry.info.st_size > LARGEST:
        return b""
    with open(entry.open(os.O_RDONLY), "rb", buffering=0) as file:  # noqa: PTH123 - a handle
        return file.readall()
