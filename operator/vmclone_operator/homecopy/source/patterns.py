"""Reads rsync's pattern language, because the list that is scanned is the list that is sent.

rsync itself is given no filter at all. What is matched here can only ever leave a file out: there is no
include, merge or clear rule to reach, whatever a pattern begins with.
"""

# Runs on the source, on Python 3.6: no newer typing, and byte paths, which pathlib cannot hold.
# ruff: noqa: UP006, UP035

import re
from typing import Callable, Dict, FrozenSet, Iterable, List, Set, Tuple

_FLAGS = re.DOTALL | re.IGNORECASE
_MOST_STARS = 1
"""Two stars and more make an expression try every way to part a name among them: such patterns are walked instead."""
_MOST_STARS_OF_A_NAME = 2
"""A name has 255 letters at most, and two stars make that many ways. An expression for any name has all files tried."""
_ANY = frozenset(range(256))
_SLASH = 47
_ANY_BUT_SLASH = _ANY - {_SLASH}
Step = Tuple[FrozenSet[int], bool]
_SPECIAL = re.compile(rb"[*?[]")


class Patterns:
    """A set of patterns, asked about one path at a time; a quick look at the last name answers most."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._texts = [pattern.encode("utf-8", "surrogateescape") for pattern in patterns]
        self._full: Dict[int, Callable[[bytes], object]] = {}
        self._plain: Dict[bytes, List[int]] = {}
        self._shaped: List[int] = []
        shapes: List[bytes] = []
        for number, text in enumerate(self._texts):
            # Most patterns end in a plain name: looking it up is cheaper than trying them one by one.
            plain = _plain_last(text)
            if plain:
                self._plain.setdefault(plain.lower(), []).append(number)
            else:
                self._shaped.append(number)
                shapes.append(_last(text))
        self._shapes = re.compile(rb"(?:%s)\Z" % b"|".join(shapes), _FLAGS).match if shapes else None

    def may_match(self, path: bytes) -> bool:
        """Return whether the last name alone leaves it open that a pattern means this path."""
        last = path[path.rfind(b"/") + 1 :]
        return last.lower() in self._plain or (self._shapes is not None and self._shapes(last) is not None)

    def match(self, path: bytes, *, is_directory: bool = False) -> bool:
        """Return whether the path (relative to the home) or the directory itself is meant by a pattern."""
        last = path[path.rfind(b"/") + 1 :]
        numbers = self._plain.get(last.lower(), ())  # type: Iterable[int]
        if self._shapes is not None and self._shapes(last) is not None:
            numbers = [*numbers, *self._shaped]
        subject = b"/" + path + (b"/" if is_directory else b"")
        return any(self._matches(number, subject) for number in numbers)

    def match_any(self, paths: Iterable[bytes], *, is_directory: bool = False) -> bool:
        """Return whether one of these, which are names of one entry, is meant."""
        return any(self.match(path, is_directory=is_directory) for path in paths)

    def _matches(self, number: int, subject: bytes) -> bool:
        if number not in self._full:
            text = self._texts[number]
            self._full[number] = Walk(text).matches if _has_stars(text) else re.compile(_whole(text), _FLAGS).match
        return bool(self._full[number](subject))


def _has_stars(pattern: bytes) -> bool:
    """Return whether there are so many that an expression could try too many ways."""
    return b"***" in pattern or len(re.findall(rb"\*+", pattern)) > _MOST_STARS


def _plain_last(pattern: bytes) -> bytes:
    """Return the last name that a pattern means where every letter of it means itself; most do, and cost most."""
    final = pattern.rstrip(b"/").rsplit(b"/", 1)[-1]
    return b"" if _SPECIAL.search(final) else _unescaped(final)


def _last(pattern: bytes) -> bytes:
    """Return an expression for the last name of what a pattern means, looser where the pattern has several stars."""
    body = _body(pattern)
    final = body.rsplit(b"/", 1)[-1]
    several = len(re.findall(rb"\*+", final)) > _MOST_STARS_OF_A_NAME
    loose = pattern.rstrip(b"/").endswith(b"/***") or b"**" in final or several
    return b".*" if loose else _translate(final)


def _body(pattern: bytes) -> bytes:
    body = pattern.rstrip(b"/") if pattern.endswith(b"/") else pattern
    return (body[:-4] if body.endswith(b"/***") else body).lstrip(b"/")


class Walk:
    """A pattern of several stars, walked through once: its time grows with the length of the path alone."""

    def __init__(self, pattern: bytes) -> None:
        directory_only = pattern.endswith(b"/")
        body = pattern.rstrip(b"/") if directory_only else pattern
        self._below = body.endswith(b"/***")
        anchored = body.startswith(b"/")
        body = (body[:-4] if self._below else body).lstrip(b"/")
        self._directory_only = directory_only
        lead = [(frozenset((47,)), False)]
        self._steps = ([] if anchored else [(_ANY, True)]) + lead + _steps(body)
        stars = sum(1 << at for at, (_, star) in enumerate(self._steps) if star)
        self._stars = stars
        self._next = [
            sum(1 << at for at, (letters, star) in enumerate(self._steps) if byte in letters and not star)
            for byte in range(256)
        ]
        self._same = [
            sum(1 << at for at, (letters, star) in enumerate(self._steps) if byte in letters and star)
            for byte in range(256)
        ]

    def matches(self, subject: bytes) -> bool:
        """Return whether the subject, a path with a slash before it and after a directory, is meant."""
        if self._directory_only and not subject.endswith(b"/"):
            return False
        path = subject[:-1] if subject.endswith(b"/") else subject
        done = 1 << len(self._steps)
        states = self._closed(1)
        for byte in path:
            if self._below and byte == _SLASH and states & done:
                return True
            states = self._closed((states & self._next[byte]) << 1 | states & self._same[byte])
            if not states:
                return False
        return bool(states & done)

    def _closed(self, states: int) -> int:
        return states | (states & self._stars) << 1


def _steps(body: bytes) -> List[Step]:
    """Return what each token of a pattern takes, and whether it may take any number; stars in a row are one."""
    steps: List[Step] = []
    at = 0
    while at < len(body):
        start = at
        token, at = _token(body, at)
        star = body[start : start + 1] == b"*"
        taken = _ANY if token == b".*" else _ANY_BUT_SLASH if star else _letters(token)
        if star and steps and steps[-1][1]:
            steps[-1] = steps[-1][0] | taken, True
        else:
            steps.append((taken, star))
    return steps


def _letters(token: bytes) -> FrozenSet[int]:
    expression = re.compile(token + rb"\Z", _FLAGS)
    found: Set[int] = {byte for byte in range(256) if expression.match(bytes((byte,)))}
    return frozenset(found)


def _unescaped(plain: bytes) -> bytes:
    return re.sub(rb"\\(.)", rb"\1", plain, flags=re.DOTALL)


def _whole(pattern: bytes) -> bytes:
    """Return an expression for the whole path."""
    directory_only = pattern.endswith(b"/")
    everything_below = pattern.rstrip(b"/").endswith(b"/***")
    end = b"/" if directory_only else b"(?:/.*)?" if everything_below else b"/?"
    return (b"/" if pattern.startswith(b"/") else b"(?:.*)/") + _translate(_body(pattern)) + end + rb"\Z"


def _translate(body: bytes) -> bytes:
    out: List[bytes] = []
    at = 0
    while at < len(body):
        token, at = _token(body, at)
        out.append(token)
    return b"".join(out)


def _token(body: bytes, at: int) -> Tuple[bytes, int]:
    letter = body[at : at + 1]
    if body[at : at + 2] == b"**":
        return b".*", at + 2
    if letter == b"*":
        return b"[^/]*", at + 1
    if letter == b"?":
        return b"[^/]", at + 1
    if letter == b"\\" and at + 1 < len(body):
        return re.escape(body[at + 1 : at + 2]), at + 2
    close = body.find(b"]", at + 2) if letter == b"[" else -1
    if close > 0:
        return _letter_set(body[at + 1 : close]), close + 1
    return re.escape(letter), at + 1


def _letter_set(inside: bytes) -> bytes:
    negated = inside[:1] in (b"!", b"^")
    letters = inside[1:] if negated else inside
    escaped = re.sub(rb"([\\\[\]^&~|])", rb"\\\1", letters)
    try:
        re.compile(b"[" + escaped + b"]")
    except re.error:
        return re.escape(b"[" + inside + b"]")
    return b"(?!/)[" + (b"^" if negated else b"") + escaped + b"]"
