"""The list of what is sent and the count of what is not: every entry of a home that was seen is in one of the two.

rsync reads the names. The clone reads what each of them was when it was judged, and compares it with what arrived:
`f SIZE MTIME INODE ./PATH` with the time in nanoseconds, `d` and `l` for folders and links, each ended by a NUL.
"""

# Runs on the source, on Python 3.6: no newer typing.
# ruff: noqa: UP006, UP035, UP045

import os
from typing import IO, Any, Dict, List, Optional

NAMED_AT_MOST = 200
FOUND_AT_MOST = 5
TOO_DEEP = "TooDeep"
DEEPEST = 1000
"""Folders in one another: rsync leaves what lies deeper than 1,023 of them out of a copy that succeeds for the rest."""
LONGEST = 4000
"""Bytes of a path: rsync takes 4,095 with the folder before it."""
_KINDS = {"files": b"f", "directories": b"d", "symlinks": b"l"}


class Listing:
    """What one scan found."""

    def __init__(self, names: IO[bytes], judged: Optional[IO[bytes]]) -> None:
        self._names, self._judged = names, judged
        self.counts = {"files": 0, "directories": 0, "symlinks": 0, "bytes": 0, "special": 0, "unreadable": 0}
        self.excluded: Dict[str, int] = {}
        self.found: List[Dict[str, str]] = []
        """The first files that nothing but their content keeps back, each with the key shape in it."""
        self.skipped: Dict[str, int] = {}
        """Entries that are not sent though no rule keeps them back, by reason."""
        self.first: Dict[str, str] = {}
        """The first path for each of these reasons."""
        self.mounts: List[str] = []
        self.allowed: List[str] = []

    def take(self, path: bytes, kind: str, info: os.stat_result, size: int = 0) -> bool:
        """Write one entry down; one that rsync cannot reach is counted instead."""
        if path.count(b"/") >= DEEPEST or len(path) > LONGEST:
            self.skip(path, TOO_DEEP)
            return False
        name = b"./" + path + b"\0"
        self._names.write(name)
        if self._judged is not None:
            state = (_KINDS[kind], info.st_size, info.st_mtime_ns, info.st_ino)
            self._judged.write(b"%s %d %d %d " % state + name)
        self.counts[kind] += 1
        self.counts["bytes"] += size
        return True

    def leave_out(self, family: str, path: bytes = b"", rule: str = "") -> None:
        """Count an entry that a rule keeps back; one that a key shape keeps back is named, without what was found."""
        self.excluded[family] = self.excluded.get(family, 0) + 1
        if rule and len(self.found) < FOUND_AT_MOST:
            self.found.append({"path": name_of(path), "rule": rule})

    def skip(self, path: bytes, why: str) -> None:
        """Count an entry that cannot be sent."""
        self.skipped[why] = self.skipped.get(why, 0) + 1
        self.first.setdefault(why, name_of(path))

    def summary(self) -> Dict[str, Any]:
        """Return the counts, and the first 200 names of what `allow` let through and of other file systems."""
        document: Dict[str, Any] = dict(self.counts)
        document.update(
            unreadable=self.skipped.get("Unreadable", 0),
            excluded=self.excluded,
            found=self.found,
            skipped=self.skipped,
            first=self.first,
            allowed=self.allowed[:NAMED_AT_MOST],
            allowedCount=len(self.allowed),
            otherFileSystems=self.mounts[:NAMED_AT_MOST],
        )
        return document


def name_of(path: bytes) -> str:
    """Return a path as text that survives JSON, whatever bytes it holds."""
    return path.decode("utf-8", "backslashreplace")
