"""Compares what arrived in a home with what was judged on the source, and removes what must not be there.

rsync opens files long after they were judged. What differs by then is not taken on trust: the source looks again, by
handles, and until it has answered what differs is removed. Before the first byte arrives the home is noted down as it
was, so that nothing of the clone's own is ever touched; the note, and what may have come, outlive a copy that is cut.

The relay's orders come on standard input, a JSON document each; answers are lines with its secret before them.
"""

# Runs in the clone, on Python 3.6: no newer typing, and byte paths, which pathlib cannot hold.
# ruff: noqa: UP006, UP031, UP035, PTH102, PTH109, PTH110, PTH112, PTH114, PTH118, PTH123, PTH208

import base64
import json
import os
import re
import shutil
import stat
import sys
import zlib
from typing import Any, Dict, Iterator, List, Set, Tuple

from vmclone_operator.homecopy.source.folders import Folders

MARK = "@vmclone-"
RECORD = ".vmclone-copy"
"""What is kept of copies that did not come to their end; removed when one does."""
WRITTEN = "written"
"""In there: what rsync says that it wrote; only in a refresh, where people work in the home meanwhile."""
_PARTIAL = b".vmclone-partial"
_NOT_OURS = (b".vmclone-copy", b".vmclone-backup")
_AT_ONCE = 2000
_LINE = re.compile(rb"[0-9/]+ [0-9:]+ \[[0-9]+\] (.+)")
_UNFINISHED = re.compile(rb"\.(.+)\.[A-Za-z0-9]{6}")


class Home:
    """One home, and what is known of it."""

    def __init__(self, home: str, *, refresh: bool) -> None:
        self._home, self._refresh = os.fsencode(home), refresh
        self._device = os.lstat(home).st_dev
        self._record = os.path.join(home, RECORD)
        self._folders = Folders(self._home)
        self._before: Dict[bytes, bytes] = {}
        self._asked: Set[bytes] = set()
        self._judged: Dict[bytes, bytes] = {}

    def begin(self, judged: List[bytes]) -> None:
        """Note how the home is, unless an earlier copy did and was cut, and what may come into it."""
        if os.path.islink(self._record) or not os.path.isdir(self._record):
            self._remove_record()
            os.mkdir(self._record, 0o700)
        before = os.path.join(self._record, "before")
        if not os.path.exists(before):
            noted = b"".join(_state(info) + b" ./" + path + b"\0" for path, info in self._walk())
            _write(before, noted)
        self._before = _parsed(_read(before))
        for name in os.listdir(self._record):
            if name.startswith("asked"):
                self._asked.update(_parsed(zlib.decompress(_read(os.path.join(self._record, name)))))
        text = b"".join(judged)
        self._judged = {path: state.rpartition(b" ")[0] for path, state in _parsed(text).items()}
        number = len(os.listdir(self._record))
        _write(os.path.join(self._record, "asked%d" % number), zlib.compress(text, 1))

    def check(self) -> Tuple[int, List[bytes]]:
        """Return how many entries are as they were judged, and what differs or is missing."""
        self._folders.forget()
        missing = dict(self._judged)
        written = self._written()
        good, suspects = 0, []  # type: int, List[bytes]
        strangers = []
        for path, info in self._walk():
            wanted = missing.pop(path, None)
            if wanted is None:
                strangers.append((path, info))
            elif _is_as_judged(wanted, info) or self._is_the_clones_own(path, info, written):
                good += 1
            else:
                suspects.append(path)
        for path, info in strangers:
            if self._came_unasked(path, info, written):
                self._remove(path)
        for path in missing:
            self._remove_behind_links(path)
        return good, suspects + list(missing)

    def check_again(self, judged: List[bytes]) -> Tuple[int, List[bytes]]:
        """Return the same for what was sent once more."""
        self._folders.forget()
        good, suspects = 0, []  # type: int, List[bytes]
        for path, state in _parsed(b"".join(judged)).items():
            wanted = state.rpartition(b" ")[0]
            self._judged[path] = wanted
            try:
                fits = _is_as_judged(wanted, self._folders.look(path))
            except OSError:
                fits = False
            good += 1 if fits else 0
            suspects += [] if fits else [path]
        return good, suspects

    def remove(self, paths: List[bytes]) -> None:
        """Remove what came and may not stay; what is as it was before the first copy began is the clone's own."""
        for path in sorted(paths, reverse=True):
            self._judged.pop(path, None)
            self._remove(path)

    def finish(self) -> None:
        """Give folders their times back, which removing changed, and leave nothing of ours."""
        for path, info in list(self._walk()):
            if stat.S_ISDIR(info.st_mode) and path.rpartition(b"/")[2] == _PARTIAL:
                shutil.rmtree(os.path.join(self._home, path), ignore_errors=True)
        for path, wanted in self._judged.items():
            if wanted[:1] == b"d":
                self._set_time(path, int(wanted.split(b" ")[2]))
        self._remove_record()

    def space(self) -> Dict[str, Any]:
        """Return what is free on the home's file system."""
        free = os.statvfs(self._home)
        return {"freeBytes": free.f_bavail * free.f_frsize, "freeFiles": free.f_favail, "files": free.f_files}

    def _walk(self) -> Iterator[Tuple[bytes, os.stat_result]]:
        waiting = [b""]
        while waiting:
            folder = waiting.pop()
            try:
                entries = self._folders.entries(folder)
            except OSError:
                continue
            for path, info, _ in entries:
                if info is None or path in _NOT_OURS:
                    continue
                yield path, info
                if stat.S_ISDIR(info.st_mode) and info.st_dev == self._device and not path.endswith(_PARTIAL):
                    waiting.append(path)

    def _is_the_clones_own(self, path: bytes, info: os.stat_result, written: Set[bytes]) -> bool:
        """Return whether a refresh left a file as it is: rsync takes what is newer in the clone for better."""
        if not self._refresh or not stat.S_ISREG(info.st_mode):
            return False
        return self._before.get(path) == _state(info) or path not in written or info.st_mtime_ns == info.st_ctime_ns

    def _came_unasked(self, path: bytes, info: os.stat_result, written: Set[bytes]) -> bool:
        """Return whether an earlier copy that was cut brought this, or left it unfinished."""
        if stat.S_ISDIR(info.st_mode) or self._before.get(path) == _state(info):
            return False
        if path in self._asked:
            return not self._refresh or path in written
        folder, _, name = path.rpartition(b"/")
        found = _UNFINISHED.match(name)
        return found is not None and (folder + b"/" + found.group(1)).lstrip(b"/") in self._judged

    def _remove_behind_links(self, path: bytes) -> None:
        """Remove what went through a link that stands where a folder was listed."""
        folder, _, name = path.rpartition(b"/")
        real = os.path.join(os.path.realpath(os.path.join(self._home, folder)), name)
        base = os.path.realpath(self._home) + b"/"
        if real.startswith(base) and real[len(base) :] != path and real[len(base) :] not in self._judged:
            self._remove(real[len(base) :])

    def _remove(self, path: bytes) -> None:
        try:
            info = self._folders.look(path)
            if self._before.get(path) != _state(info):
                self._folders.remove(path, is_folder=stat.S_ISDIR(info.st_mode))
        except OSError:
            return  # it is gone, or a folder that is not empty: what is in it is looked at by itself

    def _set_time(self, path: bytes, nanoseconds: int) -> None:
        try:
            if self._folders.look(path).st_mtime_ns != nanoseconds:
                os.utime(self._folders.folder(path), ns=(nanoseconds, nanoseconds))
        except OSError:
            return

    def _written(self) -> Set[bytes]:
        try:
            lines = _read(os.path.join(self._record, WRITTEN)).split(b"\n")
        except OSError:
            return set()
        found = (_LINE.fullmatch(line) for line in lines)
        return {_unescaped(match.group(1)).rstrip(b"/") for match in found if match}

    def _remove_record(self) -> None:
        try:
            os.unlink(self._record)  # noqa: PTH108
        except OSError:
            shutil.rmtree(self._record, ignore_errors=True)


def _is_as_judged(wanted: bytes, info: os.stat_result) -> bool:
    if wanted[:1] != b"f":
        return wanted[:1] == _kind(info)
    return wanted == b"f %d %d" % (info.st_size, info.st_mtime_ns) and stat.S_ISREG(info.st_mode)


def _kind(info: os.stat_result) -> bytes:
    kinds = {stat.S_IFREG: b"f", stat.S_IFDIR: b"d", stat.S_IFLNK: b"l"}
    return kinds.get(stat.S_IFMT(info.st_mode), b"s")


def _state(info: os.stat_result) -> bytes:
    times = (info.st_mtime_ns, info.st_ctime_ns) if not stat.S_ISDIR(info.st_mode) else (0, 0)
    return b"%s %d %d %d %d" % (_kind(info), info.st_size if times[0] else 0, times[0], times[1], info.st_ino)


def _parsed(text: bytes) -> Dict[bytes, bytes]:
    found = (record.partition(b" ./") for record in text.split(b"\0")[:-1])
    return {path: state for state, _, path in found}


def _unescaped(name: bytes) -> bytes:
    return re.sub(rb"\\#([0-7]{3})", lambda found: bytes([int(found.group(1), 8)]), name)


def _write(path: str, data: bytes) -> None:
    with open(path + ".new", "wb") as file:
        file.write(data)
    os.rename(path + ".new", path)  # noqa: PTH104


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


class _Orders:
    """Carries out the relay's orders, one after the other."""

    def __init__(self) -> None:
        first = json.loads(sys.stdin.buffer.readline().decode())
        self._mark = MARK + first["secret"]
        self._home = Home(os.getcwd(), refresh=first["refresh"])
        self._data: List[bytes] = []
        self._paths: List[bytes] = []

    def run(self) -> None:
        """Read until there is no more."""
        for line in iter(sys.stdin.buffer.readline, b""):
            order = json.loads(line.decode())
            if "data" in order:
                self._data.append(base64.b64decode(order["data"]))
            elif "paths" in order:
                self._paths += [base64.b64decode(path) for path in order["paths"]]
            else:
                self._try(order["do"])

    def _try(self, what: str) -> None:
        try:
            self._carry_out(what)
        except BrokenPipeError:
            raise
        except OSError as error:
            self._say({"event": "failed", "message": str(error)})

    def _carry_out(self, what: str) -> None:
        if what == "begin":
            self._home.begin(self._judged())
        elif what == "check":
            self._tell(*self._home.check())
        elif what == "checkAgain":
            self._tell(*self._home.check_again(self._judged()))
        elif what == "remove":
            self._home.remove(self._paths)
            self._paths = []
        elif what == "finish":
            self._home.finish()
        self._say(dict(self._home.space(), event=what))

    def _judged(self) -> List[bytes]:
        judged, self._data = [zlib.decompress(data) for data in self._data], []
        return judged

    def _tell(self, good: int, suspects: List[bytes]) -> None:
        for start in range(0, len(suspects), _AT_ONCE):
            part = [base64.b64encode(path).decode() for path in suspects[start : start + _AT_ONCE]]
            self._say({"event": "suspects", "paths": part})
        self._say({"event": "good", "number": good})

    def _say(self, document: Dict[str, Any]) -> None:
        sys.stdout.write("%s %s\n" % (self._mark, json.dumps(document)))
        sys.stdout.flush()


def main() -> int:
    """Serve one relay; our place is the home, where the forced command put us."""
    os.umask(0o077)
    sys.setrecursionlimit(20_000)  # standard functions remove folders in one another by recursion
    try:
        _Orders().run()
    except BrokenPipeError:
        return 1
    return 0
