"""Makes text from a regular expression, so that a canary has its list's shape and no secret is written down here."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable
from typing import Any

parser: Any = re._parser  # type: ignore[attr-defined]
constants: Any = re._constants  # type: ignore[attr-defined]

_OFTEN = 0.5
"""How often what may be there is there; what may repeat repeats as often as it must, as people write it."""
_LETTERS = [chr(code) for code in range(33, 127)]
_CATEGORIES = {
    constants.CATEGORY_DIGIT: "0123456789",
    constants.CATEGORY_SPACE: " ",
    constants.CATEGORY_WORD: "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
    constants.CATEGORY_NOT_SPACE: "abcdefghijklmnopqrstuvwxyz0123456789",
    constants.CATEGORY_NOT_DIGIT: "abcdefghijklmnopqrstuvwxyz",
    constants.CATEGORY_NOT_WORD: " -",
}


class Sampler:
    """Draws texts; the same letters give the same texts."""

    def __init__(self, letters: random.Random) -> None:
        self._letters = letters
        self._makers: dict[Any, Callable[[Any], str]] = {
            constants.LITERAL: chr,
            constants.NOT_LITERAL: lambda code: self._letters.choice([c for c in _LETTERS if ord(c) != code]),
            constants.ANY: lambda _: ".",
            constants.IN: self._one_of,
            constants.BRANCH: lambda value: self._all(self._letters.choice(value[1])),
            constants.SUBPATTERN: lambda value: self._all(value[-1]),
            constants.ATOMIC_GROUP: self._all,
            constants.MAX_REPEAT: self._repeated,
            constants.MIN_REPEAT: self._repeated,
            constants.POSSESSIVE_REPEAT: self._repeated,
        }

    def text(self, shape: str) -> str:
        """Return a text of this shape; looks ahead and behind are not minded."""
        return self._all(parser.parse(shape))

    def _all(self, parts: Iterable[tuple[Any, Any]]) -> str:
        return "".join(self._makers[what](value) for what, value in parts if what in self._makers)

    def _repeated(self, value: tuple[int, Any, Any]) -> str:
        least, most, parts = value
        if most == 1:
            return self._all(parts) if least or self._letters.random() < _OFTEN else ""
        if parts[0][0] is constants.ANY:
            return "".join(self._letters.choice(_CATEGORIES[constants.CATEGORY_NOT_SPACE]) for _ in range(least))
        return "".join(self._all(parts) for _ in range(least))

    def _one_of(self, members: list[tuple[Any, Any]]) -> str:
        letters = "".join(self._members(what, value) for what, value in members)
        if members[0][0] is constants.NEGATE:
            letters = "".join(letter for letter in _LETTERS if letter not in letters)
        return self._letters.choice(letters)

    @staticmethod
    def _members(what: Any, value: Any) -> str:
        if what is constants.LITERAL:
            return chr(value)
        if what is constants.RANGE:
            return "".join(map(chr, range(value[0], min(value[1], 126) + 1)))
        return _CATEGORIES.get(value, "")
