"""Says in POSIX extended expressions what Python's say, for guests whose only engine is `grep -z`.

Whole files are searched there, so a line's end is a letter like others; it can not be written in a file of expressions,
and any blank stands for it. What must not follow somewhere, `://(?!x@)y`, is told beside: an expression that finds
`://y`, and one that finds what is to be passed over of it, `://x@`. Else what can not be said is left out, so that
more is found, never less.
"""

# ruff: noqa: ANN401 - the parser's nodes have no types

from __future__ import annotations

import string
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any, NamedTuple

# The standard library's own parser: what it reads is what the other engine runs.
_parser: Any = import_module("re._parser")
_ALL = frozenset(range(256))
_SPACE = frozenset(b"\t\n\v\f\r ")
_DIGIT = frozenset(string.digits.encode())
_WORD = frozenset((string.ascii_letters + string.digits + "_").encode())
_CATEGORIES = {"SPACE": _SPACE, "DIGIT": _DIGIT, "WORD": _WORD}
_SPECIAL = frozenset(b"[]^-")
_NEWLINE = 10
_UNSAYABLE = frozenset({_NEWLINE, 0})
_IGNORE_CASE, _DOT_ALL = 2, 16
_UNLIMITED = int(_parser.MAXREPEAT)
_MOST = 16
"""How often something may repeat at most and still be counted: grep builds a state for each time, and a text in which
a part of a secret is longer than it may be is not worth that."""
_LEAST_RANGE = 3


class Extended(NamedTuple):
    """An extended expression."""

    text: bytes
    unless: tuple[bytes, ...]
    """How a text begins that it finds and that was not meant."""
    exact: bool
    """Whether both together find what was meant, and nothing more."""


def extended(pattern: str) -> Extended:
    """Return the extended expression of a Python one; raises re.error for what is none."""
    parsed = _parser.parse(pattern.encode())
    writer = _Writer()
    text = writer.whole(list(parsed), int(parsed.state.flags))
    return Extended(text, tuple(writer.unless), writer.exact)


class _Writer:
    def __init__(self) -> None:
        self.exact = True
        self.unless: list[bytes] = []

    def whole(self, nodes: list[Any], flags: int) -> bytes:
        """Return all of it; only outside of groups it is known what stood before something that must not follow."""
        text = b""
        for code, value in nodes:
            if str(code) == "ASSERT_NOT" and value[0] > 0 and len(value[1]) > 1:
                self.unless.append(b"^" + text + b"(" + self.sequence(value[1], flags) + b")")
            else:
                text += self._node(str(code), value, flags)
        return text

    def sequence(self, nodes: Iterable[Any], flags: int) -> bytes:
        return b"".join(self._node(str(code), value, flags) for code, value in nodes)

    def _node(self, code: str, value: Any, flags: int) -> bytes:
        if code in ("LITERAL", "NOT_LITERAL", "ANY", "IN"):
            return _set(_letters(code, value, flags))
        if code in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            return self._repeat(value, flags)
        if code == "BRANCH":
            return b"(" + b"|".join(self.sequence(one, flags) for one in value[1]) + b")"
        if code == "SUBPATTERN":
            _, added, taken, inner = value
            return b"(" + self.sequence(inner, (flags | added) & ~taken) + b")"
        if code == "ATOMIC_GROUP":
            return b"(" + self.sequence(value, flags) + b")"
        return self._position(code, value, flags)

    def _repeat(self, value: Any, flags: int) -> bytes:
        least, most, inner = value
        text = b"(" + self.sequence(inner, flags) + b")"
        if least == most:
            return text + b"{%d}" % least
        if most == _UNLIMITED or most > _MOST:
            return text + {0: b"*", 1: b"+"}.get(least, b"{%d,}" % least)
        return text + (b"?" if (least, most) == (0, 1) else b"{%d,%d}" % (least, most))

    def _position(self, code: str, value: Any, flags: int) -> bytes:
        if code == "AT":
            return _EDGES[str(value)]
        one_letter = code == "ASSERT_NOT" and len(value[1]) == 1 and str(value[1][0][0]) in ("LITERAL", "IN")
        if one_letter:
            others = _set(_ALL - _letters(*_named(value[1][0]), flags))
            return b"(^|" + others + b")" if value[0] < 0 else b"($|" + others + b")"
        self.exact = False
        return b""


_EDGES = {
    "AT_BEGINNING": b"(^|[[:cntrl:]])",
    "AT_BEGINNING_STRING": b"^",
    "AT_END": b"($|[[:cntrl:]])",
    "AT_END_STRING": b"$",
    "AT_BOUNDARY": rb"\b",
    "AT_NON_BOUNDARY": rb"\B",
}


def _named(node: Any) -> tuple[str, Any]:
    return str(node[0]), node[1]


def _letters(code: str, value: Any, flags: int) -> frozenset[int]:
    if code == "ANY":
        return _ALL if flags & _DOT_ALL else _ALL - {_NEWLINE}
    if code == "IN":
        meant = frozenset(letter for node in value for letter in _members(*_named(node)))
        negated = str(value[0][0]) == "NEGATE"
    else:
        meant, negated = frozenset({value}), code == "NOT_LITERAL"
    if flags & _IGNORE_CASE:
        meant = frozenset(other for letter in meant for other in _both_cases(letter))
    return _ALL - meant if negated else meant


def _members(code: str, value: Any) -> Iterable[int]:
    if code == "LITERAL":
        return (value,)
    if code == "RANGE":
        return range(value[0], value[1] + 1)
    if code == "CATEGORY":
        name = str(value).removeprefix("CATEGORY_")
        return _ALL - _CATEGORIES[name[4:]] if name.startswith("NOT_") else _CATEGORIES[name]
    return ()


def _both_cases(letter: int) -> Iterator[int]:
    yield letter
    character = chr(letter)
    if character.isascii() and character.isalpha():
        yield ord(character.swapcase())


def _set(letters: frozenset[int]) -> bytes:
    """Return one letter, or a bracket expression; `]` stands first in it, `-` last, and `^` not first."""
    if len(letters) == 1 and not letters & _UNSAYABLE:
        return _one(*letters)
    spaces = b"[:space:]" if _NEWLINE in letters else b""
    said = letters - _UNSAYABLE
    singles = said & _SPECIAL
    first = b"]" if ord("]") in singles else b""
    last = (b"^" if ord("^") in singles else b"") + (b"-" if ord("-") in singles else b"")
    bracket = b"[" if ord("[") in singles else b""
    ranges = b"".join(_ranges(sorted(said - _SPECIAL)))
    return b"[" + first + ranges + bracket + spaces + last + b"]"


def _one(letter: int) -> bytes:
    if letter == ord("^"):
        return rb"\^"
    return b"%c" % letter if letter in _WORD else b"[%c]" % letter


def _ranges(letters: list[int]) -> Iterator[bytes]:
    """Yield runs of letters; those that mean something in brackets are no part of them."""
    at = 0
    while at < len(letters):
        end = at
        while end + 1 < len(letters) and letters[end + 1] == letters[end] + 1:
            end += 1
        run = letters[at : end + 1]
        yield b"%c-%c" % (run[0], run[-1]) if len(run) >= _LEAST_RANGE else bytes(run)
        at = end + 1
