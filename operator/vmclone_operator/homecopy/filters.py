"""The filter as data with a version and a digest, and the additions that its two kinds of authors may make.

Users of a namespace may only add exclusions. The source's owner may add exclusions and exceptions. There is no
notation for anything else: what an rsync filter file would read as include, merge or clear is refused by
name, and the scan on the source (`source/patterns.py`) has no such rules.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

_RULE_SYNTAX = re.compile(r"([-+.:!]|merge|dir-merge|include|exclude|clear|hide|show|protect|risk)(,\S*)?([ _].*)?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LONGEST = 1024
_MOST = 256


class PatternRefused(ValueError):  # noqa: N818  - named for what happened
    """An additional pattern or exception that cannot be taken; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """The built-in rules, which nobody can weaken but the owner's recorded exceptions."""

    version: str
    digest: str
    """`sha256:` and the hash of the rules in canonical form."""
    rules: dict[str, Any]


@cache
def floor() -> Floor:
    """Return the built-in rules."""
    rules = _document("filter.json")
    shapes = _document("shapes.json")
    rules.update({key: shapes[key] for key in ("harmless", "screens", "shapes")})
    canonical = json.dumps(rules, sort_keys=True, separators=(",", ":")).encode()
    digest = f"sha256:{hashlib.sha256(canonical).hexdigest()}"
    return Floor(version=rules["version"], digest=digest, rules=rules)


def _document(name: str) -> dict[str, Any]:
    """Return one file of rules: places are ours, key shapes are written by `hack/refresh-rules`."""
    content = json.loads(files(__package__).joinpath(name).read_text(encoding="utf-8"))
    return dict(content)


def checked_patterns(patterns: Sequence[str]) -> tuple[str, ...]:
    """Return additional exclusions or exceptions as they are, or raise PatternRefused with a sentence."""
    if len(patterns) > _MOST:
        raise PatternRefused(f"at most {_MOST} patterns, not {len(patterns)}")
    return tuple(_checked(pattern) for pattern in patterns)


def _checked(pattern: str) -> str:
    if not pattern.strip() or len(pattern) > _LONGEST:
        raise PatternRefused(f"a pattern has 1 to {_LONGEST} letters")
    if _CONTROL.search(pattern):
        raise PatternRefused("a pattern is one line without control characters; write ? for such a letter in a name")
    if pattern == "!" or (_RULE_SYNTAX.fullmatch(pattern) and " " in pattern):
        raise PatternRefused(
            f"{pattern!r} reads like a filter rule; only plain patterns are taken, and each leaves files out: "
            "put the first letter in brackets ([+] x) if a name really begins so"
        )
    return pattern


def checked_allow(patterns: Sequence[str]) -> tuple[str, ...]:
    """Return the owner's exceptions; each must name something, so that none opens the whole floor."""
    for pattern in checked_patterns(patterns):
        if not re.search(r"[^*?/.\[\]!^\\]", re.sub(r"\[[^]]*\]", "", pattern)):
            raise PatternRefused(f"{pattern!r} would let everything pass; name the file or folder to allow")
    return tuple(patterns)
