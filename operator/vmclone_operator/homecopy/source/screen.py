"""Clears large texts of suspicion with the source's own grep, which reads them once and faster than we can.

Nothing is kept back here. A text in which grep finds no anchor of any key shape has no key shape; whatever it finds,
cannot read, or cannot be asked for is read and judged as if there were no grep. So it is asked for the texts without
any, by name: one that is silent, prints something else or fails clears nothing.
"""

# Runs on the source, on Python 3.6: no newer typing and no newer subprocess arguments.
# ruff: noqa: UP006, UP035, UP045

import re
import subprocess
from typing import Any, Dict, FrozenSet, Iterable, List, Optional, Sequence

_NOTHING: FrozenSet[bytes] = frozenset()
_ENVIRONMENT = {"LC_ALL": "C", "PATH": "/usr/bin:/bin"}
_GREP = ["grep", "-a", "-D", "skip", "-d", "skip", "-Z", "-E"]
_FOUND_OR_NOT = (0, 1)
_PLAIN = "a line without any\n"
_HOLDS = b"/proc/self/cmdline"
"""Asked about with every text: grep's own arguments hold the anchors, so that this name must not be printed."""
_HOLDS_NONE = b"/proc/self/comm"
"""Asked about with every text: grep's own name, which must be printed first, ended by a NUL."""
_LOOSER = {"@": "://[^[:space:]@]*@"}
"""For an anchor that is in half of all texts: what is in all that its shapes match, and in few texts besides."""


class Screen:
    """Looks for all anchors in many files at once."""

    def __init__(self, home: bytes, documents: Iterable[Dict[str, Any]]) -> None:
        self._home = home
        anchors = sorted({anchor for document in documents for anchor in document["anchors"]})
        looked_for = [_LOOSER.get(anchor, anchor if len(anchor) > 1 else None) for anchor in anchors]
        self._known = [what for what in looked_for if what is not None]
        self._works = None if len(self._known) == len(looked_for) else False  # type: Optional[bool]

    def clear(self, paths: Sequence[bytes]) -> FrozenSet[bytes]:
        """Return the texts (relative to the home) that hold no anchor; none when grep cannot tell."""
        if self._works is None:
            self._works = self._proves_itself()
        if not self._works or not paths:
            return _NOTHING
        asked = {b"./" + path: path for path in paths}
        printed = _grep(["-L", "-e", self._expression(), "--", _HOLDS_NONE, _HOLDS, *asked], self._home)
        names = (printed or b"").split(b"\0")
        if names[0] != _HOLDS_NONE or names[-1] != b"" or not asked.keys() >= set(names[1:-1]):
            return _NOTHING
        return frozenset(asked[name] for name in names[1:-1])

    def _expression(self) -> str:
        return "|".join(what if what in _LOOSER.values() else _escaped(what) for what in self._known)

    def _proves_itself(self) -> bool:
        """Have grep count lines of which all but one hold an anchor: it may be another program of that name."""
        lines = [b"\0" + what.encode() for what in self._known if what not in _LOOSER.values()]
        lines += [b"x://\xff\0y@z" for what in self._known if what in _LOOSER.values()]
        text = _PLAIN.encode() + b"".join(line + b"\n" for line in lines)
        counted = _grep(["-c", "-e", self._expression()], self._home, text)
        return counted is not None and counted.strip() == b"%d" % len(lines)


def _grep(arguments: List[Any], folder: bytes, text: bytes = b"") -> Optional[bytes]:
    """Return what grep prints; nothing when it is not there or something went wrong."""
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


def _escaped(anchor: str) -> str:
    return re.sub(r"([][(){}.*+?^$|\\])", r"\\\1", anchor)
