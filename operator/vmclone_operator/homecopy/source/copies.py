"""Names under which people and programs keep another copy of a file: `.netrc~`, `clouds-prod.yaml`, `private_dot_ssh`.

What such a copy holds is what the file held, so a name that is a copy is asked about as the file itself. A name is read
as marks of a manager of configuration files, one mark before it, the name, one mark before its suffix, two after it.
"""

# Runs on the source, on Python 3.6: no newer typing, and byte paths, which pathlib cannot hold.
# ruff: noqa: UP006, UP035

import re
from typing import Dict, List, Match, Tuple

_DOT = re.compile(rb"dot[_-](?=.)", re.IGNORECASE)
_LONGEST_END = 32
_END_BEGINS = b"~#._- "


class Copies:
    """Takes from a name what makes it a copy's."""

    def __init__(self, marks: Dict[str, str]) -> None:
        managed, before, within, after = (
            b"(?:" + marks[key].encode() + b")" for key in ("managed", "before", "within", "after")
        )
        flags = re.DOTALL | re.IGNORECASE
        suffix = rb"\.[A-Za-z]{2,5}"
        self._managed = re.compile(managed + rb"+(?=.)", flags)
        self._before = re.compile(before + rb"(?=.)", flags)
        self._within = re.compile(within + rb"(?=" + suffix + rb"\Z)", flags)
        self._after = re.compile(after + rb"{1,2}\Z", flags)
        marked = rb"(?:%s|%s|dot[_-])|.*(?:%s|%s%s)\Z" % (managed, before, after, within, suffix)
        self._marked = re.compile(marked, flags)
        self._asked: Tuple[bytes, List[bytes]] = (b"", [b""])

    def originals(self, path: bytes) -> List[bytes]:
        """Return the paths of which this may be a copy, and the path itself first; who asks, asks several times."""
        if self._asked[0] != path:
            self._asked = path, self._read(path)
        return self._asked[1]

    def _read(self, path: bytes) -> List[bytes]:
        folder, slash, name = path.rpartition(b"/")
        folders = [folder]
        if b"dot" in folder.lower() or b"_" in folder:
            folders.append(b"/".join(_with_dot(self._unmanaged(part)) for part in folder.split(b"/")))
        names = self._names(name) if self._marked.match(name) else [name]
        return list(dict.fromkeys(folder + slash + name for folder in folders for name in names))

    def _names(self, name: bytes) -> List[bytes]:
        plain = self._unmanaged(name)
        begun = [plain]
        before = self._before.match(plain)
        if before:
            begun.append(plain[before.end() :])
        found = [name]
        for one in begun:
            for whole in (one, _with_dot(one)):
                found += self._less(whole)
        return found

    def _less(self, name: bytes) -> List[bytes]:
        ended = [name] + [name[:at] for at in self._ends(name)]
        return ended + [name[: cut.start()] + name[cut.end() :] for name in ended for cut in self._cuts(name)]

    def _ends(self, name: bytes) -> List[int]:
        starts = range(max(1, len(name) - _LONGEST_END), len(name))
        return [at for at in starts if name[at : at + 1] in _END_BEGINS and self._after.match(name, at)]

    def _cuts(self, name: bytes) -> List[Match[bytes]]:
        found = self._within.search(name, 1)
        return [found] if found else []

    def _unmanaged(self, name: bytes) -> bytes:
        found = self._managed.match(name)
        return name[found.end() :] if found else name


def _with_dot(name: bytes) -> bytes:
    return _DOT.sub(b".", name, count=1) if _DOT.match(name) else name
