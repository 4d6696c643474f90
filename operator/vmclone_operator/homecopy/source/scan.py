"""Walks the home and writes the list of what is sent: what is not on this list is never read by rsync."""

# Runs on the source, on Python 3.6: no newer typing, and byte paths, which pathlib cannot hold.
# ruff: noqa: UP006, UP035, UP045, PTH118

import errno
import os
import stat
from typing import IO, Any, Callable, Dict, List, Optional, Set, Tuple

from vmclone_operator.homecopy.source.folders import Entry, Folders, why_not
from vmclone_operator.homecopy.source.git_index import TrackedFiles
from vmclone_operator.homecopy.source.judge import EXTRA, Judge
from vmclone_operator.homecopy.source.listing import Listing, name_of
from vmclone_operator.homecopy.source.published import PublishedFiles
from vmclone_operator.homecopy.source.screen import Screen
from vmclone_operator.homecopy.source.texts import is_binary, is_plain_text

_SNIFF_BYTES = 8192
_BLOCK_BYTES = 512
_SCREENED_BYTES = 16 * 1024 * 1024
_SCREENED_FILES = 500


Visit = Callable[[Entry, Optional[str]], List[Tuple[bytes, Optional[str]]]]
"""Takes an entry and the family of the folder that it is in; returns the folders to walk, with theirs."""


class PathRefused(Exception):  # noqa: N818  - named for what happened
    """A path of the job is missing or leads out of the home."""


class Scan:
    """One walk. `run` writes the list; `summary` says what was counted, in names and numbers, never content."""

    def __init__(
        self,
        home: bytes,
        parameters: Dict[str, Any],
        names: IO[bytes],
        judged: Optional[IO[bytes]] = None,
        *,
        at: Callable[[bytes], None] = lambda _: None,
        repositories: Optional[bytes] = None,
    ) -> None:
        self._at = at
        self._home = os.path.realpath(home)
        self.device = os.lstat(self._home).st_dev
        tracked = TrackedFiles(repositories or self._home, files=self._home, may_say=self._git_may_say)
        published = PublishedFiles(repositories or self._home, parameters["rules"]["published"])
        self.judge = Judge(
            parameters["rules"],
            parameters["excludes"],
            parameters["allow"],
            tracked.has,
            published.has,
            lambda path: tracked.has(path, home_itself=False),
            published.has_as_packed,
        )
        self.text_limit = int(parameters["rules"]["textLimitBytes"])
        self._screen = Screen(self._home, parameters["rules"]["screens"])
        self.folders = Folders(self._home)
        self._waiting: List[Tuple[bytes, os.stat_result]] = []
        self._waiting_bytes = 0
        self._text_bytes = 0
        self._hole_bytes = 0
        self._listing = Listing(names, judged)
        self._linked: Dict[int, List[Tuple[bytes, os.stat_result, bool, bool]]] = {}
        self.kept_back: Dict[int, str] = {}
        self._seen: Set[bytes] = set()
        """What was visited: of paths that lie in one another, nothing is judged or counted twice."""
        self._folders: Set[bytes] = set()
        """The folders on the list, for those above a file are taken with it, before or without being visited."""
        self._sparse = False

    def _git_may_say(self, tree: bytes, path: bytes) -> bool:
        return self.judge.git_may_say(tree, path)

    def run(self, paths: List[str]) -> None:
        """Walk the paths (relative to the home) and write the list, each name ended by a NUL."""
        for path in paths:
            self.walk(self._inside(path), self._visit)
            self._judge_waiting()
        self._write_linked()

    def so_far(self) -> Dict[str, int]:
        """Return how many files and bytes were found to be sent up to now; may be asked from another thread."""
        return {key: self._listing.counts[key] for key in ("files", "bytes")}

    def summary(self) -> Dict[str, Any]:
        """Return what was counted, and what rsync has to know of the home."""
        document = self._listing.summary()
        mostly_text = 2 * self._text_bytes > document["bytes"]
        # rsync sends holes as zeros, of which next to nothing is left when they are compressed.
        compress = 2 * (self._text_bytes + self._hole_bytes) > document["bytes"]
        return dict(document, sparse=self._sparse, mostlyText=mostly_text, compress=compress)

    def _inside(self, path: str) -> bytes:
        relative = os.path.normpath(os.fsencode(path))
        full = os.path.join(self._home, relative)
        if relative.startswith((b"/", b"..")) or os.path.realpath(full) != os.path.normpath(full):
            raise PathRefused("a path leads out of the home or through a symlink")
        if not os.path.lexists(full):
            raise PathRefused("a path is not in the home")
        return b"" if relative == b"." else relative

    def walk(self, start: bytes, visit: Visit) -> None:
        """Visit everything below `start`; whole directories of the floor are only counted."""
        above = self.judge.family_above(start)
        waiting: List[Tuple[bytes, Optional[str]]] = [(start, above)]
        if start:
            waiting = visit(self._entry(start), above)
        while waiting:
            folder, family = waiting.pop()
            for entry in self._entries(folder):
                waiting.extend(visit(entry, family))

    def _entry(self, path: bytes) -> Entry:
        try:
            return Entry(path, self.folders.look(path))
        except OSError as error:
            return Entry(path, None, why_not(error))

    def family_of(self, path: bytes, size: int) -> Optional[str]:
        """Return the family that keeps a file back by its name, those above it, or what is in it; or raise OSError."""
        above = self.judge.family_above(path)
        family = self.judge.below(above, path) if above else None
        if family is None or (family != EXTRA and self.judge.allows(path)):
            return self.judge.file(path, lambda: self._read(path, size)).family
        return None if family != EXTRA and self.judge.is_by_others(path) else family

    def _entries(self, folder: bytes) -> List[Entry]:
        try:
            return self.folders.entries(folder)
        except OSError as error:
            self._listing.skip(folder, why_not(error))
            return []

    def _visit(self, entry: Entry, family: Optional[str]) -> List[Tuple[bytes, Optional[str]]]:
        """Take or leave one entry; a directory is returned to be walked."""
        path, info = entry.path, entry.info
        if path in self._seen:
            return []
        self._seen.add(path)
        if info is None:
            self._listing.skip(path, entry.why)
        elif info.st_dev != self.device:
            self._listing.mounts.append(name_of(path))
        elif stat.S_ISDIR(info.st_mode):
            return self._directory(path, info, family)
        elif stat.S_ISREG(info.st_mode):
            self._regular(path, info, family)
        elif stat.S_ISLNK(info.st_mode):
            self._symlink(path, info, family)
        else:
            self._listing.counts["special"] += 1
        return []

    def _directory(self, path: bytes, info: os.stat_result, family: Optional[str]) -> List[Tuple[bytes, Optional[str]]]:
        own = self.judge.below(family, path, is_directory=True)
        if own is None:
            self._take_folder(path, info)
        elif own != EXTRA and self.judge.allows(path, is_directory=True):
            self._listing.allowed.append(name_of(path) + "/")
            self._take_folder(path, info)
            own = None
        return [(path, own)]

    def _regular(self, path: bytes, info: os.stat_result, family: Optional[str]) -> None:
        """Judge a file now, or let one that may be a text wait for others that are looked through with it."""
        if family is not None or not 0 < info.st_size <= self.text_limit or not self.judge.is_ordinary(path):
            self._file(path, info, family)
            return
        self._waiting.append((path, info))
        self._waiting_bytes += info.st_size + _SCREENED_BYTES // _SCREENED_FILES // 2
        if self._waiting_bytes >= _SCREENED_BYTES or len(self._waiting) >= _SCREENED_FILES:
            self._judge_waiting()

    def _judge_waiting(self) -> None:
        waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
        heads = {path: self._head(path) for path, info in waiting if info.st_size > _SNIFF_BYTES}
        texts = [path for path, _ in waiting if path not in heads or is_plain_text(heads[path])]
        lines = self._screen.lines(texts)
        for path, info in waiting:
            head = heads.get(path, b"")
            if head and is_binary(head):
                self._arrives(path, info, is_text=False)
            elif path in lines and self._is_clean(path, info, lines[path]):
                self._arrives(path, info, is_text=True)
            else:
                self._file(path, info, None)

    def _is_clean(self, path: bytes, info: os.stat_result, lines: List[bytes]) -> bool:
        """Return whether the lines that may hold a secret hold none; what is no plain text, or was changed, may."""
        if any(b"\0" in line for line in lines):
            return False
        self._at(path)
        try:
            now = self.folders.look(path)
            same = (now.st_mode, now.st_ino, now.st_mtime_ns) == (info.st_mode, info.st_ino, info.st_mtime_ns)
            return same and self.judge.is_clean(lines, lambda: self._read(path, info.st_size))
        except OSError:
            return False

    def _head(self, path: bytes) -> bytes:
        """Return a file's beginning; nothing of one that cannot be read, which is found out when it is judged."""
        try:
            return self._read(path, _SNIFF_BYTES, whole=False) or b""
        except OSError:
            return b""

    def _file(self, path: bytes, info: os.stat_result, family: Optional[str]) -> None:
        """Take or leave a file."""
        allowed = False
        family = self.judge.below(family, path) if family else None
        kept_back, rule = family, ""
        seen: List[Optional[bytes]] = []

        def read() -> Optional[bytes]:
            seen.append(self._read(path, info.st_size))
            return seen[0]

        try:
            if family is None or (family != EXTRA and self.judge.allows(path)):
                self._at(path)
                verdict = self.judge.file(path, read)
                if verdict.allowed:
                    self._read(path, 0)
                kept_back, allowed, rule = verdict.family, verdict.allowed or family is not None, verdict.rule
            elif family != EXTRA and self.judge.is_by_others(path):
                self._take_above(path)
                kept_back = None
        except OSError as error:
            self._listing.skip(path, why_not(error))
            return
        if kept_back:
            self._listing.leave_out(kept_back, path, rule)
            self.kept_back[info.st_ino] = kept_back
            return
        is_text = any(data is not None and not is_binary(data[:_SNIFF_BYTES]) for data in seen)
        self._arrives(path, info, is_text=is_text, allowed=allowed)

    def _arrives(self, path: bytes, info: os.stat_result, *, is_text: bool, allowed: bool = False) -> None:
        """Write a file down as sent; one of several names waits until all of them are judged."""
        if allowed:
            self._listing.allowed.append(name_of(path))
        self._sparse = self._sparse or info.st_blocks * _BLOCK_BYTES < info.st_size
        if info.st_nlink > 1:
            self._linked.setdefault(info.st_ino, []).append((path, info, allowed, is_text))
            return
        self._take(path, "files", info, info.st_size, is_text=is_text)

    def _take_above(self, path: bytes) -> None:
        """Take the folders above a file that stay behind themselves: a tracked file may lie in a `.aws` of tests.

        Raises OSError, and takes none, when one of them is gone or is no folder any more.
        """
        names = path.split(b"/")[:-1]
        folders = (b"/".join(names[:depth]) for depth in range(1, len(names) + 1))
        looks = [(folder, self.folders.look(folder)) for folder in folders if folder not in self._folders]
        if not all(stat.S_ISDIR(info.st_mode) for _, info in looks):
            raise NotADirectoryError(errno.ENOTDIR, "is no folder any more")
        for folder, info in looks:
            self._take_folder(folder, info)

    def _take_folder(self, path: bytes, info: os.stat_result) -> None:
        if path not in self._folders:
            self._folders.add(path)
            self._take(path, "directories", info)

    def _symlink(self, path: bytes, info: os.stat_result, family: Optional[str]) -> None:
        kept_back = self.judge.below(family, path)
        if kept_back and not (kept_back != EXTRA and self.judge.allows(path)):
            self._listing.leave_out(kept_back)
        else:
            self._take(path, "symlinks", info)

    def _read(self, path: bytes, size: int, *, whole: bool = True) -> Optional[bytes]:
        """Return what can be judged of a file; opened even when that is nothing, since rsync will have to."""

        def read(handle: int) -> Optional[bytes]:
            if size > self.text_limit:
                return None
            head = os.read(handle, _SNIFF_BYTES)
            if not whole or is_binary(head) or len(head) < _SNIFF_BYTES:
                return head
            return os.pread(handle, size + _SNIFF_BYTES, 0)

        return self.folders.read(path, read)

    def _write_linked(self) -> None:
        """Take files with several names; one that is secret under any of its names stays behind under all."""
        for inode, names in self._linked.items():
            family = self.kept_back.get(inode)
            size = names[0][1].st_size
            for path, info, allowed, is_text in names:
                if family and not allowed:
                    self._listing.leave_out(family)
                elif self._take(path, "files", info, size, is_text=is_text):
                    size = 0

    def _take(self, path: bytes, kind: str, info: os.stat_result, size: int = 0, *, is_text: bool = False) -> bool:
        if not self._listing.take(path, kind, info, size):
            return False
        self._text_bytes += size if is_text else 0
        self._hole_bytes += max(0, size - info.st_blocks * _BLOCK_BYTES)
        return True
