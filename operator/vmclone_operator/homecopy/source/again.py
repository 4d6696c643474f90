"""Looks once more at what did not arrive as it was judged, and makes ready what is sent instead.

Between judging and sending a text gets a token, a folder becomes a link to `~/.ssh`, a log goes on. So the files are
opened by handles and copied into our private folder, the copies are judged by the same rules, and the copies are sent:
nothing can come between. Files too large to be searched are judged by name alone; they are sent from where they are,
and taken as they come when they are still the file that was judged then, for a large log grows all the while.
"""

# Runs on the source, on Python 3.6: no newer typing, and byte paths, which pathlib cannot hold.
# ruff: noqa: UP006, UP035, UP045, PTH103, PTH118, PTH123

import base64
import os
import shutil
import stat
from typing import IO, Any, Dict, List, NamedTuple, Optional, Set, Tuple

from vmclone_operator.homecopy.source.folders import CHANGED, Entry, why_not
from vmclone_operator.homecopy.source.listing import Listing
from vmclone_operator.homecopy.source.scan import Scan

TREE = "again"
NAMES = "again-names"
LARGE_NAMES = "large-names"
JUDGED = "again-judged"
TREES = {"home": ("home", "list"), "again": (TREE, NAMES), "large": ("home", LARGE_NAMES)}
"""What rsync is run over: a folder and the list of what is sent from it."""
_BLOCK = 1 << 20
_KINDS = {b"f": stat.S_IFREG, b"d": stat.S_IFDIR, b"l": stat.S_IFLNK}
_COUNTS = {b"f": "files", b"d": "directories", b"l": "symlinks"}


class Listed(NamedTuple):
    """An entry as it was judged."""

    kind: bytes
    size: int
    inode: int


class SecondLook:
    """One home, its first scan, and a private folder."""

    def __init__(self, scan: Scan, home: bytes, parameters: Dict[str, Any], folder: str) -> None:
        self._scan, self._home, self._parameters, self._folder = scan, home, parameters, folder
        self._tree = os.fsencode(os.path.join(folder, TREE))
        self._listed = {}  # type: Dict[bytes, Listed]

    def run(self, paths: List[bytes], *, last: bool) -> Dict[str, Any]:
        """Stage and judge these paths; return what is to be sent, what is good as it is, and what was left out."""
        shutil.rmtree(self._tree, ignore_errors=True)
        os.makedirs(self._tree)
        self._scan.folders.forget()
        unknown = set(paths) - set(self._listed)
        if unknown:
            self._listed.update(_listed(os.path.join(self._folder, "judged"), unknown))
        with open(self._file(LARGE_NAMES), "wb") as names, open(self._file(JUDGED), "wb") as judged:
            large = Listing(names, judged)
            accepted = self._stage(paths, large, last=last)
            staged = self._judge_staged(set(paths), judged)
        taken = dict(self._taken())
        left = set(paths) - set(taken) - set(accepted)
        document = _left_out([self._listed[path] for path in left if path in self._listed])
        document.update(
            accepted=[base64.b64encode(path).decode() for path in accepted],
            left=len(left),
            excluded=_sum(large.excluded, staged["excluded"]),
            skipped=_sum(large.skipped, staged["skipped"]),
            first=dict(staged["first"], **large.first),
            found=staged["found"],
            staged=staged["listed"],
            large=large.counts["files"],
        )
        self._listed.update(taken)
        return document

    def _stage(self, paths: List[bytes], large: Listing, *, last: bool) -> List[bytes]:
        """Copy what is there into the tree; return the large files that are good as they came."""
        accepted = []
        linked = self._kept_back_by_another_name(paths)
        for path in paths:
            try:
                info = self._scan.folders.look(path)
                family = self._scan.kept_back.get(info.st_ino) or linked.get(info.st_ino)
                if family is not None:
                    large.leave_out(family)
                elif not self._is_of_its_kind(path, info):
                    large.skip(path, CHANGED)
                elif stat.S_ISREG(info.st_mode) and info.st_size > self._scan.text_limit:
                    accepted += self._large(path, info, large, last=last)
                else:
                    self._copy(path, info)
            except OSError as error:
                large.skip(path, why_not(error))
        return accepted

    def _is_of_its_kind(self, path: bytes, info: os.stat_result) -> bool:
        listed = self._listed.get(path)
        return (
            listed is not None and stat.S_IFMT(info.st_mode) == _KINDS[listed.kind] and info.st_dev == self._scan.device
        )

    def _large(self, path: bytes, info: os.stat_result, large: Listing, *, last: bool) -> List[bytes]:
        if info.st_ino == self._listed[path].inode:
            return [path]
        family = self._scan.family_of(path, info.st_size)
        if family is not None:
            large.leave_out(family)
        elif last:
            large.skip(path, CHANGED)
        else:
            large.take(path, "files", info, info.st_size)
        return []

    def _copy(self, path: bytes, info: os.stat_result) -> None:
        target = os.path.join(self._tree, path)
        os.makedirs(os.path.dirname(target), exist_ok=True)  # noqa: PTH120  - bytes
        if stat.S_ISDIR(info.st_mode):
            os.makedirs(target, exist_ok=True)
        elif stat.S_ISLNK(info.st_mode):
            folder, _, name = path.rpartition(b"/")
            os.symlink(os.readlink(name, dir_fd=self._scan.folders.folder(folder)), target)  # noqa: PTH211
            os.utime(target, ns=(info.st_atime_ns, info.st_mtime_ns), follow_symlinks=False)
        else:
            self._copy_file(path, target)

    def _copy_file(self, path: bytes, target: bytes) -> None:
        handle = self._scan.folders.open(path)
        try:
            info = os.fstat(handle)
            with open(target, "wb") as file:
                room = self._scan.text_limit  # what grows beyond is cut where it is not searched any more
                while room:
                    block = os.read(handle, min(_BLOCK, room))
                    if not block:
                        break
                    file.write(block)
                    room -= len(block)
                os.fchmod(file.fileno(), stat.S_IMODE(info.st_mode) & 0o777)
            os.utime(target, ns=(info.st_atime_ns, info.st_mtime_ns))
        finally:
            os.close(handle)

    def _judge_staged(self, wanted: Set[bytes], judged: IO[bytes]) -> Dict[str, Any]:
        """Judge the copies as if they were a home; of what passes only what is wanted is listed."""
        names, found = self._file("tree-names"), self._file("tree-judged")
        with open(names, "wb") as names_out, open(found, "wb") as judged_out:
            scan = Scan(self._tree, self._parameters, names_out, judged_out, repositories=self._home)
            scan.run(["."])
            scan.folders.close()
        listed = 0
        with open(self._file(NAMES), "wb") as names_out:
            for record in _records(found):
                _, _, path = record.partition(b" ./")
                if path in wanted:
                    names_out.write(b"./" + path + b"\0")
                    judged.write(record + b"\0")
                    listed += 1
        return dict(scan.summary(), listed=listed)

    def _taken(self) -> List[Tuple[bytes, Listed]]:
        return [(record.partition(b" ./")[2], _parsed(record)) for record in _records(self._file(JUDGED))]

    def _kept_back_by_another_name(self, paths: List[bytes]) -> Dict[int, str]:
        """Return the files among these that are a secret under one of their other names: a walk, when there are any."""
        wanted = set()
        for path in paths:
            try:
                info = self._scan.folders.look(path)
            except OSError:
                continue
            if info.st_nlink > 1 and stat.S_ISREG(info.st_mode):
                wanted.add(info.st_ino)
        found = {}  # type: Dict[int, str]

        def visit(entry: Entry, family: Optional[str]) -> List[Tuple[bytes, Optional[str]]]:
            if entry.info is None or entry.info.st_dev != self._scan.device:
                return []
            if stat.S_ISDIR(entry.info.st_mode):
                return [(entry.path, self._scan.judge.below(family, entry.path, is_directory=True))]
            if entry.info.st_ino in wanted:
                own = family or self._scan.family_of(entry.path, entry.info.st_size)
                if own is not None:
                    found[entry.info.st_ino] = own
            return []

        if wanted:
            self._scan.walk(b"", visit)
        return found

    def _file(self, name: str) -> str:
        return os.path.join(self._folder, name)


def _listed(judged: str, wanted: Set[bytes]) -> Dict[bytes, Listed]:
    found = {}
    for record in _records(judged):
        path = record.partition(b" ./")[2]
        if path in wanted:
            found[path] = _parsed(record)
    return found


def _records(name: str) -> List[bytes]:
    with open(name, "rb") as file:
        return file.read().split(b"\0")[:-1]


def _parsed(record: bytes) -> Listed:
    kind, size, _, inode = record.partition(b" ./")[0].split(b" ")
    return Listed(kind, int(size), int(inode))


def _left_out(entries: List[Listed]) -> Dict[str, Any]:
    counts = {"files": 0, "directories": 0, "symlinks": 0, "bytes": 0}  # type: Dict[str, Any]
    for entry in entries:
        counts[_COUNTS[entry.kind]] += 1
        counts["bytes"] += entry.size if entry.kind == b"f" else 0
    return {"fewer": counts}


def _sum(one: Dict[str, int], other: Dict[str, int]) -> Dict[str, int]:
    return {key: one.get(key, 0) + other.get(key, 0) for key in sorted(set(one) | set(other))}
