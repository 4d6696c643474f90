"""Reads rsync's pattern language, because the list that is scanned is the list that is sent.

rsync itself is given no filter at all. What is matched here can only ever leave a file out: there is no
include, merge or clear rule to reach, whatever a pattern begins with.
"""

# Runs on the source, on Python 3.6: no newer typing, and byte paths, which pathlib cannot hold.
# ruff: noqa: UP006, UP035

import re
from typing import Iterable, List, Pattern, Tuple

_FLAGS = re.DOTALL | re.IGNORECASE
_PLAIN = re.compile(rb"(?:[A-Za-z0-9_]|\\[^A-Za-z0-9])*\Z", re.DOTALL)


class Patterns:
    """A set of patterns, asked about one path at a time; a quick look at the last name answers most."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._full: List[Pattern[bytes]] = []
        lasts: List[bytes] = []
        for pattern in patterns:
            last, full = _compile(pattern.encode("utf-8", "surrogateescape"))
            lasts.append(last)
            self._full.append(re.compile(full, _FLAGS))
        # Most patterns end in a plain name: looking it up is cheaper than trying them one by one.
        self._names = frozenset(_unescaped(last).lower() for last in lasts if _PLAIN.match(last))
        shapes = [last for last in lasts if not _PLAIN.match(last)]
        self._shapes = re.compile(rb"(?:%s)\Z" % b"|".join(shapes), _FLAGS).match if shapes else None

    def may_match(self, path: bytes) -> bool:
        """Return whether the last name alone leaves it open that a pattern means this path."""
        last = path[path.rfind(b"/") + 1 :]
        return last.lower() in self._names or (self._shapes is not None and self._shapes(last) is not None)

    def match(self, path: bytes, *, is_directory: bool = False) -> bool:
        """Return whether the path (relative to the home) or the directory itself is meant by a pattern."""
        if not self.may_match(path):
            return False
        subject = b"/" + path + (b"/" if is_directory else b"")
        return any(full.match(subject) for full in self._full)


def _unescaped(plain: bytes) -> bytes:
    return re.sub(rb"\\(.)", rb"\1", plain, flags=re.DOTALL)


def _compile(pattern: bytes) -> Tuple[bytes, bytes]:
    """Return one expression for the last name alone and one for the whole path."""
    directory_only = pattern.endswith(b"/")
    body = pattern.rstrip(b"/") if directory_only else pattern
    everything_below = body.endswith(b"/***")
    anchored = body.startswith(b"/")
    body = (body[:-4] if everything_below else body).lstrip(b"/")
    end = b"/" if directory_only else b"(?:/.*)?" if everything_below else b"/?"
    full = (b"/" if anchored else b"(?:.*)/") + _translate(body) + end + rb"\Z"
    last = b".*" if everything_below or b"**" in body else _translate(body.rsplit(b"/", 1)[-1])
    return last, full


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
