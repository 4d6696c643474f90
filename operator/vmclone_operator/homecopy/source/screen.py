"""Finds with the source's own grep the lines that may hold a secret: one reading of a home, faster than ours.

Nothing is kept back here. grep is asked for the lines that one of the screens finds something in (`signatures.py`);
a text of which it prints none has no secret, the printed lines of another are all that is judged. It has to answer
about two files of ours with the texts, one before and one after them, and must fail in nothing. A grep that is silent,
prints something else or fails says nothing about any text: each is read and judged as if there were no grep.
"""

# Runs on the source, on Python 3.6: no newer typing and no newer subprocess arguments.
# ruff: noqa: UP006, UP035, UP045

import subprocess
from typing import Any, Dict, Iterable, List, Optional, Sequence

_ENVIRONMENT = {"LC_ALL": "C", "PATH": "/usr/bin:/bin"}
_GREP = ["grep", "-a", "-D", "skip", "-d", "skip", "-H", "-Z", "-E"]
_FOUND_OR_NOT = (0, 1)
_PLAIN = b"a line without any\n"
_HOLDS = b"/proc/self/cmdline"
_HOLDS_TOO = b"/proc/self//cmdline"
"""Asked about before and after the texts: grep's own arguments, in which it has to find the mark."""
_HOLDS_NONE = b"/proc/self/comm"
"""Asked about with the texts: grep's own name, in which no screen finds anything."""
_MARK = b"://a:b@vmclone"
_ZERO = b"[^\x01-\xff]"
"""A text with a zero in it may be one of 16 bits a letter, or no text: it is read to be judged."""


class Screen:
    """Looks for what the screens find in many files at once."""

    def __init__(self, home: bytes, screens: Iterable[Dict[str, Any]]) -> None:
        self._home = home
        screens = list(screens)
        self._expression = b"|".join([screen["expression"].encode() for screen in screens] + [_ZERO])
        self._proof = [screen["finds"].encode() for screen in screens] + [b"\0", _MARK]
        self._works = None  # type: Optional[bool]

    def lines(self, paths: Sequence[bytes]) -> Dict[bytes, List[bytes]]:
        """Return what is to be judged of each text (relative to the home); of no text when grep cannot tell."""
        if self._works is None:
            self._works = self._proves_itself()
        if not self._works or not paths:
            return {}
        asked = {b"./" + path: path for path in paths}
        printed = _grep(
            ["-e", self._expression, "-e", _MARK, "--", _HOLDS, *asked, _HOLDS_NONE, _HOLDS_TOO], self._home
        )
        return _read(printed, asked) if printed else {}

    def _proves_itself(self) -> bool:
        """Have grep count lines in all but one of which something is found: it may be another program of that name."""
        text = _PLAIN + b"".join(line + b"\n" for line in self._proof)
        counted = _grep(["-h", "-c", "-e", self._expression], self._home, text)
        return counted is not None and counted.strip() == b"%d" % len(self._proof)


def _read(printed: bytes, asked: Dict[bytes, bytes]) -> Dict[bytes, List[bytes]]:
    """Return the printed lines by text, all of them having been asked about; nothing of what is not as it has to be."""
    found = {path: [] for path in asked.values()}  # type: Dict[bytes, List[bytes]]
    names = []  # type: List[bytes]
    at = 0
    while at < len(printed):
        middle = printed.find(b"\0", at)
        end = printed.find(b"\n", middle)
        if middle < 0 or end < 0:
            return {}
        name = printed[at:middle]
        if not names or names[-1] != name:
            names.append(name)
        if name in asked:
            found[asked[name]].append(printed[middle + 1 : end])
        at = end + 1
    order = [_HOLDS, *(name for name in asked if found[asked[name]]), _HOLDS_TOO]
    return found if names == order else {}


def _grep(arguments: List[Any], folder: bytes, text: bytes = b"") -> Optional[bytes]:
    """Return what grep printed, or nothing when there is no such program or it failed."""
    try:
        process = subprocess.Popen(
            _GREP + arguments,
            cwd=folder,
            env=_ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except OSError:
        return None
    printed, _ = process.communicate(text)
    return printed if process.returncode in _FOUND_OR_NOT else None
