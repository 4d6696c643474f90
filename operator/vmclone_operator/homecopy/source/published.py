"""Knows which files are of a source tree that somebody published and that was unpacked here without its git.

Values in its sources, tests and documents are examples: `token: "783bde.3f89s0fje9f38fhf"` in the comments of kubeadm.
Such a tree has a licence at its top. What git has a say about is left to git, a file that was changed later than
the licence came here is its user's, and settings (`conf/server.xml`) are judged like all others.
"""

# Runs on the source, on Python 3.6: no newer typing, and byte paths, which pathlib cannot hold.
# ruff: noqa: UP006, UP035, UP045, PTH118

import os
import stat
from typing import Any, Dict, List, Optional

from vmclone_operator.homecopy.source.patterns import Patterns

_UNPACKED_SECONDS = 300.0


class PublishedFiles:
    """Answers whether a file is a source, test or document of an unpacked tree; looks at each folder once."""

    def __init__(self, home: bytes, rules: Dict[str, Any]) -> None:
        self._home = home
        self._licences = Patterns(rules["licences"])
        self._sources = Patterns(rules["sources"])
        self._came: Dict[bytes, Optional[float]] = {}

    def has(self, path: bytes) -> bool:
        """Return whether this path (relative to the home) is such a file, as it came here."""
        if not self._sources.match(path):
            return False
        came = self._tree_came(os.path.dirname(path))  # noqa: PTH120  - bytes
        if came is None:
            return False
        try:
            return os.lstat(os.path.join(self._home, path)).st_mtime <= came + _UNPACKED_SECONDS
        except OSError:
            return False

    def _tree_came(self, folder: bytes) -> Optional[float]:
        """Return when the outermost tree above came here; nothing when there is none, or git has its say."""
        if folder not in self._came:
            self._came[folder] = self._found_above(folder)
        return self._came[folder]

    def _found_above(self, folder: bytes) -> Optional[float]:
        came = None
        try:
            while folder:
                names = os.listdir(os.path.join(self._home, folder))  # noqa: PTH208  - bytes
                if b".git" in names:
                    return None
                own = self._licence_came(folder, names)
                came = came if own is None else own
                folder = os.path.dirname(folder)  # noqa: PTH120  - bytes
            return None if os.path.lexists(os.path.join(self._home, b".git")) else came
        except OSError:
            return None

    def _licence_came(self, folder: bytes, names: List[bytes]) -> Optional[float]:
        for name in sorted(names):
            if self._licences.match(name):
                info = os.lstat(os.path.join(self._home, folder, name))
                if stat.S_ISREG(info.st_mode) and info.st_size:
                    return info.st_ctime
        return None
