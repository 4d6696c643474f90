"""Knows which files are of a source tree that somebody published and that was unpacked here without its git.

Such a tree has a licence at its top. Two things are told of it, the second with more proof:

- Values in its sources, tests and documents are examples: `token: "783bde.3f89s0fje9f38fhf"` in kubeadm's comments.
- A file of its tests, examples or documents is as it was packed, keys included: the licence is an open one, and the
  file has a time that its packer gave it: the licence's own, as git and npm pack, or one from before the PKG-INFO of a
  Python package. Times alone prove little: a service of one's own may be packed so, with the settings it runs with.

What git has a say about is left to git. A file that came here or was changed later than the licence came is its user's.
"""

# Runs on the source, on Python 3.6: no newer typing, and byte paths, which pathlib cannot hold.
# ruff: noqa: UP006, UP035, UP045, PTH118

import os
import re
import stat
from typing import Any, Dict, List, NamedTuple, Optional

from vmclone_operator.homecopy.source.patterns import Patterns

_UNPACKED_SECONDS = 300.0
_SAME_SECONDS = 2.0
_OLDER_SECONDS = 3600.0
"""What a person or program writes has the time of its coming here; what was unpacked is older than that."""
_LICENCE_BYTES = 2048
"""Where a licence says which it is; deep in a text of another kind it may only be named."""
_PACKED = b"PKG-INFO"
_LICENCE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Tree(NamedTuple):
    """One unpacked tree, in seconds since 1970."""

    came: float
    """When its licence came here: nobody can set that."""
    dated: float
    """Of when the licence is."""
    packed: Optional[float]
    """When a Python package was packed."""
    is_open: bool
    """Whether its licence is one of those that let everybody have it."""
    folder: bytes = b""
    """Where it lies, relative to the home."""

    def inside(self, path: bytes) -> bytes:
        """Return a path of the tree relative to it: a `test` above it says nothing of what it is."""
        return path[len(self.folder) + 1 :] if self.folder else path

    def has(self, dated: float, changed: float) -> bool:
        """Return whether a file of this time, whose inode changed then, came with the tree."""
        return max(dated, changed) <= self.came + _UNPACKED_SECONDS

    def has_as_packed(self, dated: float, changed: float) -> bool:
        """Return whether such a file is as its packer left it."""
        if not self.is_open or not self.has(dated, changed) or dated > changed - _OLDER_SECONDS:
            return False
        by_packer = self.packed is not None and dated <= self.packed + _SAME_SECONDS
        return by_packer or abs(dated - self.dated) <= _SAME_SECONDS


class PublishedFiles:
    """Answers whether a file came with an unpacked tree; looks at each folder once."""

    def __init__(self, home: bytes, rules: Dict[str, Any]) -> None:
        self._home = home
        self._licences = Patterns(rules["licences"])
        self._sources = Patterns([*rules["sources"], *rules["tests"]])
        self._tests = Patterns(rules["tests"])
        self._open = re.compile(b"|".join(re.escape(words.encode()) for words in rules["openLicences"]), re.IGNORECASE)
        self._trees: Dict[bytes, Optional[Tree]] = {}

    def has(self, path: bytes) -> bool:
        """Return whether this path (relative to the home) is a source, test or document of a tree, as it came here."""
        if not self._sources.match(path):
            return False
        tree, info = self._tree_above(path), self._look(path)
        if tree is None or info is None or not self._sources.match(tree.inside(path)):
            return False
        return tree.has(info.st_mtime, info.st_ctime)

    def has_as_packed(self, path: bytes) -> bool:
        """Return whether this path is of the tests or documents of an open tree, untouched since it was packed."""
        if not self._tests.match(path):
            return False
        tree, info = self._tree_above(path), self._look(path)
        if tree is None or info is None or not stat.S_ISREG(info.st_mode) or not self._tests.match(tree.inside(path)):
            return False
        return tree.has_as_packed(info.st_mtime, info.st_ctime)

    def _look(self, path: bytes) -> Optional[os.stat_result]:
        try:
            return os.lstat(os.path.join(self._home, path))
        except OSError:
            return None

    def _tree_above(self, path: bytes) -> Optional[Tree]:
        """Return the outermost tree above; nothing when there is none, or git has its say."""
        folder = os.path.dirname(path)  # noqa: PTH120  - bytes
        if folder not in self._trees:
            self._trees[folder] = self._found_above(folder)
        return self._trees[folder]

    def _found_above(self, folder: bytes) -> Optional[Tree]:
        tree = None
        try:
            while folder:
                names = os.listdir(os.path.join(self._home, folder))  # noqa: PTH208  - bytes
                if b".git" in names:
                    return None
                tree = self._tree_in(folder, names) or tree
                folder = os.path.dirname(folder)  # noqa: PTH120  - bytes
            return None if os.path.lexists(os.path.join(self._home, b".git")) else tree
        except OSError:
            return None

    def _tree_in(self, folder: bytes, names: List[bytes]) -> Optional[Tree]:
        for name in sorted(names):
            if self._licences.match(name):
                path = os.path.join(self._home, folder, name)
                info = os.lstat(path)
                if stat.S_ISREG(info.st_mode) and info.st_size:
                    packed = self._look(os.path.join(folder, _PACKED)) if _PACKED in names else None
                    is_open = self._open.search(_head(path)) is not None
                    return Tree(info.st_ctime, info.st_mtime, packed.st_mtime if packed else None, is_open, folder)
        return None


def _head(path: bytes) -> bytes:
    """Return the beginning of a file, its blanks and line breaks as one blank each."""
    handle = os.open(path, _LICENCE)
    try:
        return b" ".join(os.read(handle, _LICENCE_BYTES).split())
    finally:
        os.close(handle)
