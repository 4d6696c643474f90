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
    never = [*names, *(pattern for family in families for pattern in family.get("never", ()))]
    yield from _names("never", "folder", never)
    yield f"except={_any(pattern for family in families for pattern in family.get('except', ()))}"
    yield f"doubtful={_any(pattern for family in families for pattern in family.get('byContent', ()))}"
    yield f"git={_any(rules['gitStore'])}"
    yield f"package={_any(rules['packageTrees']['inside'])}"
    yield f"code={_any(rules['packageTrees']['code'])}"
    yield f"describing={_any(rules['describing'])}"
    yield f"armoured={_any(rules['armoured'])}"
    yield f"public={'|'.join(rules['publicBlocks'])}"
    yield from _names("within", "within_folder", within)
    for signature in rules["signatures"]:
        shape = extended(signature["pattern"])
        yield "shape=" + shape.text.decode(errors="surrogateescape")
        yield from ("harmless=" + text.decode(errors="surrogateescape") for text in shape.unless)


def _names(key: str, folder_key: str, patterns: Iterable[str]) -> Iterator[str]:
    """Yield the patterns for everything, and those that end in a slash, for folders."""
    every = list(patterns)
    yield f"{key}={_any(pattern for pattern in every if not pattern.endswith('/'))}"
    yield f"{folder_key}={_any(pattern for pattern in every if pattern.endswith('/'))}"


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
