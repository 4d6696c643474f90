"""Says the filter's rules for the engine of guests without python3: names for `find -iregex`, shapes for `grep -zE`.

    {"never": [".aws/"]}    ->    folder=[.]/(.*/)?([.]aws)

Both are made from the data that the other engine reads, so that they cannot part.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from vmclone_operator.homecopy.ere import extended

_SPECIAL = re.compile(r"([].+(){}|^$\\[*?])")
_TOKEN = re.compile(r"\*\*|\*|\?|\[[^]]+\]|\\\\.|.", re.DOTALL)
_ANYWHERE = "[.]/(.*/)?"
NOTHING = "nothing"
"""An expression that finds no path: each of find's begins with a dot."""


def posix_rules(rules: dict[str, Any], names: Iterable[str], within: Iterable[str]) -> Iterator[str]:
    """Yield `key=expression` lines for all that the filter's data say; a line's expression is for a whole path."""
    families = list(rules["families"].values())
    copies = Copies(rules["copies"])
    never = [*names, *(pattern for family in families for pattern in family.get("never", ()))]
    yield f"never={copies.expression(pattern for pattern in never if not pattern.endswith('/'))}"
    yield f"folder={copies.expression(pattern for pattern in never if pattern.endswith('/'))}"
    yield f"except={copies.expression(pattern for family in families for pattern in family.get('except', ()))}"
    yield f"doubtful={copies.expression(pattern for family in families for pattern in family.get('byContent', ()))}"
    yield f"git={_any(rules['gitStore'])}"
    yield f"package={_any(rules['packageTrees']['inside'])}"
    yield f"code={_any(rules['packageTrees']['code'])}"
    yield f"describing={copies.expression(rules['describing'])}"
    yield f"armoured={copies.expression(rules['armoured'])}"
    yield f"public={'|'.join(rules['publicBlocks'])}"
    within = list(within)
    yield f"within={_any(pattern for pattern in within if not pattern.endswith('/'))}"
    yield f"within_folder={_any(pattern for pattern in within if pattern.endswith('/'))}"
    for signature in rules["signatures"]:
        shape = extended(signature["pattern"])
        yield "shape=" + shape.text.decode(errors="surrogateescape")
        yield from ("harmless=" + text.decode(errors="surrogateescape") for text in shape.unless)


class Copies:
    """Names of copies of what patterns mean, as `source/copies.py` reads them."""

    def __init__(self, marks: dict[str, str]) -> None:
        written = {key: "(" + mark.replace("(?:", "(") + ")" for key, mark in marks.items()}
        self._managed = written["managed"] + "*"
        self._before, self._within, self._after = written["before"] + "?", written["within"], written["after"]

    def expression(self, patterns: Iterable[str]) -> str:
        """Return an expression for paths that are meant by one of these patterns, or are copies' of such."""
        found = [pattern.rstrip("/").split("/") for pattern in patterns]
        alone = "|".join(self._last(parts[0]) for parts in found if len(parts) == 1) or NOTHING
        below = "|".join(self._path(parts) for parts in found if len(parts) > 1) or NOTHING
        return (
            f"{_ANYWHERE}{self._managed}({self._before}({alone})|{below})({self._after}){{0,2}}" if found else NOTHING
        )

    def _path(self, parts: list[str]) -> str:
        folders = [_with_dot(_expression(part)) for part in parts[:-1]]
        return f"/{self._managed}".join([*folders, self._before + self._last(parts[-1])])

    def _last(self, name: str) -> str:
        stem, dot, suffix = name.rpartition(".")
        if not stem or stem.endswith("*") or not (suffix == "*" or re.fullmatch("[A-Za-z]{2,5}", suffix)):
            return _with_dot(_expression(name))
        end = "[A-Za-z]{2,5}" if suffix == "*" else suffix
        return _with_dot(f"{_expression(stem)}({_expression(dot + suffix)}|{self._within}[.]{end})")


def _with_dot(expression: str) -> str:
    return "([.]|dot[_-])" + expression[3:] if expression.startswith("[.]") else expression


def _any(patterns: Iterable[str]) -> str:
    found = "|".join(_expression(pattern.rstrip("/")) for pattern in patterns)
    return f"{_ANYWHERE}({found})" if found else NOTHING


def _expression(pattern: str) -> str:
    return "".join(_token(token) for token in _TOKEN.findall(pattern))


def _token(token: str) -> str:
    if token in _GLOBS:
        return _GLOBS[token]
    if len(token) > 1 and token.startswith("["):
        return token.replace("[!", "[^", 1)
    return _SPECIAL.sub(r"[\1]", token[-1]) if token[-1] != "^" else "\\^"


_GLOBS = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
