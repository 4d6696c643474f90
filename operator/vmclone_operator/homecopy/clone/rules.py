"""Says what goes: in homes what the filter would keep back, elsewhere what the list of places names."""

# Runs in the clone, on Python 3.6: no newer typing, and byte paths, which pathlib cannot hold.
# ruff: noqa: UP006, UP035, UP045, PTH113, PTH114, PTH118, PTH208

import fnmatch
import os
import re
from typing import Any, Dict, FrozenSet, Iterator, List, Optional, Tuple

from vmclone_operator.homecopy.clone.alarm import Alarm, NoEnd
from vmclone_operator.homecopy.clone.erase import is_overwritten
from vmclone_operator.homecopy.clone.places import Section
from vmclone_operator.homecopy.clone.walk import Entry, Mounts, Rules
from vmclone_operator.homecopy.source.git_index import TrackedFiles
from vmclone_operator.homecopy.source.judge import EXTRA, Judge
from vmclone_operator.homecopy.source.patterns import Patterns
from vmclone_operator.homecopy.source.published import PublishedFiles

_MAGIC = re.compile(rb"[*?[]")
_SYSTEM = re.compile(rb"/(?:bin|sbin|lib\w*|usr|boot|dev|proc|sys)/")
_FILES_ONLY = ("files", "here", "containing", "masked", "emptied", "older")
_TEXT_BYTES = 1024 * 1024


class Filter:
    """The filter of the home copy, read once for all homes; which home is asked about is set for each question."""

    def __init__(self, rules: Dict[str, Any], names: List[str], allow: List[str], alarm: Alarm) -> None:
        self.alarm = alarm
        self.without_end: Dict[Tuple[int, int], bytes] = {}
        """Files that no verdict was reached on, each by what it is."""
        self.tracked: Optional[TrackedFiles] = None
        self.published: Optional[PublishedFiles] = None
        self.published_rules = rules["published"]
        self.judge = Judge(
            rules, names, allow, self._is_tracked, self._is_published, self._is_by_others, self._is_as_packed
        )
        self.text_limit = int(rules["textLimitBytes"])

    def _is_tracked(self, path: bytes) -> bool:
        return self.tracked is not None and self.tracked.has(path)

    def _is_published(self, path: bytes) -> bool:
        return self.published is not None and self.published.has(path)

    def _is_by_others(self, path: bytes) -> bool:
        return self.tracked is not None and self.tracked.has(path, home_itself=False)

    def _is_as_packed(self, path: bytes) -> bool:
        return self.published is not None and self.published.has_as_packed(path)


class HomeRules(Rules):
    """What the home copy would keep back goes, but for the owner's exceptions."""

    def __init__(self, home: bytes, shared: Filter) -> None:
        self._home = home
        self._filter = shared
        self._judge = shared.judge
        self._tracked = TrackedFiles(home, may_say=self._judge.git_may_say)
        self._published = PublishedFiles(home, shared.published_rules)
        self._clean: Dict[Tuple[int, int], Tuple[int, int]] = {}

    def takes(self, entry: Entry, *, above: bool) -> bool:
        """Return whether the filter keeps this entry back."""
        family = self._judge.family_above(entry.path) if above else None
        if entry.is_file():
            return self._takes_below(entry, family) if above else self._takes_file(entry)
        named = self._named(entry)
        if EXTRA in (family, named):
            return True
        return (above or named is not None) and not self._judge.allows(entry.path, is_directory=entry.is_folder())

    def _takes_below(self, entry: Entry, family: Optional[str]) -> bool:
        """Return whether a file goes with the folder that it lies in, which is of this family."""
        if self._judge.below(family, entry.path) == EXTRA:
            return True
        if self._judge.allows(entry.path):
            return False
        self._filter.tracked, self._filter.published = self._tracked, self._published
        return not self._judge.is_by_others(entry.path)

    def _named(self, entry: Entry) -> Optional[str]:
        """Return the family that takes it by name; a link stands for the folder that it may lead to, too."""
        named = self._judge.by_name(entry.path) if entry.is_link() else None
        folder = entry.is_folder() or entry.is_link()
        return named or (self._judge.by_name(entry.path, is_directory=True) if folder else None)

    def _takes_file(self, entry: Entry) -> bool:
        # A second look at what was found clean and has one name, unchanged, can say nothing else.
        state = entry.info.st_mtime_ns, entry.info.st_ctime_ns
        if self._clean.get(entry.inode) == state:
            return False
        if entry.inode in self._filter.without_end:
            return False
        try:
            with self._filter.alarm:
                goes = self._keeps_back(entry)
        except FileNotFoundError:
            return False
        except NoEnd:
            self._filter.without_end[entry.inode] = os.path.join(self._home, entry.path)
            return False
        if not goes and entry.info.st_nlink == 1:
            self._clean[entry.inode] = state
        return goes

    def _keeps_back(self, entry: Entry) -> bool:
        left_by_us: List[bool] = []

        def read() -> Optional[bytes]:
            data = entry.read(self._filter.text_limit)
            left_by_us.append(data is not None and is_overwritten(data))
            return data

        self._filter.tracked, self._filter.published = self._tracked, self._published
        return self._judge.file(entry.path, read).family is not None or any(left_by_us)


class PlaceRules(Rules):
    """What lies in a place of the list goes; some only by content, some only if this boot did not make it."""

    def __init__(self, section: Section, boot_seconds: float, *, files_only: bool) -> None:
        self._containing = re.compile(section.argument.encode(), re.MULTILINE) if section.kind == "containing" else None
        self._made_before = boot_seconds if section.kind == "older" else None
        self._here = section.kind == "here"
        self._files_only = files_only or section.kind in _FILES_ONLY

    def takes(self, entry: Entry, *, above: bool) -> bool:  # noqa: ARG002 - each file is asked about itself
        """Return whether this entry is one that is meant."""
        if self._made_before is not None and entry.info.st_ctime >= self._made_before:
            return False
        if (entry.is_folder() and self._files_only) or (self._here and b"/" in entry.path):
            return False
        if self._containing is None:
            return True
        if not entry.is_file():
            return False
        data = entry.read(_TEXT_BYTES)
        return data is not None and (self._containing.search(data) is not None or is_overwritten(data))


class NameRules(Rules):
    """What bears one of these names goes, wherever below a folder it lies, and all that is in it."""

    def __init__(self, names: List[str]) -> None:
        self._names = Patterns(names)

    def takes(self, entry: Entry, *, above: bool) -> bool:
        """Return whether this entry is one that is meant."""
        return above or self._names.match(entry.path, is_directory=entry.is_folder())


class Overwritten(Rules):
    """What was overwritten, under whatever name."""

    def __init__(self) -> None:
        self.inodes: Dict[Tuple[int, int], bool] = {}

    def takes(self, entry: Entry, *, above: bool) -> bool:  # noqa: ARG002 - each entry is known by itself
        """Return whether this entry is one that was found before."""
        return entry.inode in self.inodes


class Expansion:
    """Finds what absolute patterns name; `**` is any number of folders.

    There are more than a thousand patterns, most of them for a few folders: each folder is listed once a look.
    """

    def __init__(self, root: bytes, mounts: Mounts) -> None:
        self._root = root
        self._mounts = mounts
        self._names: Dict[bytes, FrozenSet[bytes]] = {}

    def look_again(self) -> None:
        """Forget what lies in the folders."""
        self._names.clear()

    def paths(self, pattern: bytes) -> Iterator[bytes]:
        """Yield what a pattern names, by real folders, and the file that a link among them leads to."""
        parts = [part for part in pattern[len(self._root) :].split(b"/") if part]
        for path in self._below(self._root + b"/", parts):
            yield path
            target = os.path.realpath(path) if os.path.islink(path) else path
            if target != path and self._is_inside(target) and os.path.isfile(target):
                yield target

    def _is_inside(self, path: bytes) -> bool:
        return path.startswith(self._root + b"/") and not _SYSTEM.match(path[len(self._root) :])

    def _below(self, folder: bytes, parts: List[bytes]) -> Iterator[bytes]:
        first, rest = parts[0], parts[1:]
        if first == b"**":
            yield from self._below(folder, rest or [b"*"])
            for inner in _folders(folder) if rest else ():
                if not self._mounts.closed(inner):
                    yield from self._below(inner, parts)
            return
        for name in self._matching(folder, first):
            inner = os.path.join(folder, name)
            if rest and os.path.islink(inner):
                inner = self._led_to(inner, first)
            if not inner or self._mounts.closed(inner):
                continue
            if rest:
                yield from self._below(inner, rest)
            elif os.path.lexists(inner):
                yield inner

    def _led_to(self, link: bytes, part: bytes) -> bytes:
        """Return where a link leads that the pattern names, as /var/mail; one that is only matched leads nowhere."""
        target = b"" if _MAGIC.search(part) else os.path.realpath(link)
        return target if target.startswith(self._root + b"/") else b""

    def _matching(self, folder: bytes, pattern: bytes) -> List[bytes]:
        if folder not in self._names:
            self._names[folder] = _listed(folder)
        names = self._names[folder]
        if not _MAGIC.search(pattern):
            return [pattern] if pattern in names else []
        return sorted(fnmatch.filter(names, pattern))


def _listed(folder: bytes) -> FrozenSet[bytes]:
    try:
        return frozenset(os.listdir(folder))
    except OSError:
        return frozenset()


def _folders(folder: bytes) -> List[bytes]:
    try:
        with os.scandir(folder) as entries:
            return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []
