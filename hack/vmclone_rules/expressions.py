r"""Writes an expression of a scanner's (Go, RE2) anew: bounded for Python.

Go's engine is linear whatever it is given, Python's is not: every repetition gets an end here, and what stands before
the keyword and only widens the match is dropped. `[\w.-]{0,50}?(?:adafruit)...` becomes `(?:adafruit)...`.
"""

# What the parser yields has no types.
# ruff: noqa: ANN401

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

parser: Any = re._parser  # type: ignore[attr-defined]  # noqa: SLF001  - the standard library's own reader of expressions
constants: Any = re._constants  # type: ignore[attr-defined]  # noqa: SLF001

MOST_MORE = 64
"""How often what may repeat without end is repeated at most beyond its least."""
LONGEST_REPEAT = 512
_CASE = re.compile(r"\(\?i\)")
_CATEGORIES = {
    constants.CATEGORY_DIGIT: r"\d",
    constants.CATEGORY_NOT_DIGIT: r"\D",
    constants.CATEGORY_SPACE: r"\s",
    constants.CATEGORY_NOT_SPACE: r"\S",
    constants.CATEGORY_WORD: r"\w",
    constants.CATEGORY_NOT_WORD: r"\W",
}


def read(expression: str) -> tuple[Any, bool]:
    """Return the parsed expression of a Go program, and whether it is read without regard to case."""
    text = expression.replace(r"\z", r"\Z").replace("[[:alnum:]]", "[0-9A-Za-z]")
    start = _CASE.match(text)
    text = text[start.end() :] if start else text
    while found := _CASE.search(text):
        text = text[: found.start()] + "(?i:" + _closed(text[found.end() :])
    return parser.parse(text), start is not None


def _closed(rest: str) -> str:
    """Return what follows a `(?i)` within a group, with the group that it becomes closed before the outer one."""
    depth, at, in_class = 0, 0, False
    while at < len(rest):
        letter = rest[at]
        if letter == "\\":
            at += 1
        elif in_class:
            in_class = letter != "]"
        elif letter == "[":
            in_class = True
        elif letter == "(":
            depth += 1
        elif letter == ")":
            if not depth:
                break
            depth -= 1
        at += 1
    return rest[:at] + ")" + rest[at:]


def without_lead(parts: Any) -> list[Any]:
    """Return the expression without a leading repetition that only makes the match longer."""
    found = list(parts)
    while found and found[0][0] in (constants.MIN_REPEAT, constants.MAX_REPEAT) and found[0][1][0] == 0:
        found = found[1:]
    if not found:
        return found
    what, value = found[0]
    if what is constants.BRANCH:
        found[0] = what, (value[0], [without_lead(branch) for branch in value[1]])
    elif what is constants.SUBPATTERN:
        found[0] = what, (*value[:-1], without_lead(value[-1]))
    return found


def for_python(parts: Iterable[Any]) -> str:
    """Return the expression for Python's re on bytes; every repetition has an end."""
    return "".join(_python(what, value) for what, value in parts)


def _python(what: Any, value: Any) -> str:  # noqa: PLR0911  - one line for each kind
    if what is constants.LITERAL:
        return _literal(value)
    if what is constants.NOT_LITERAL:
        return f"[^{_in_class(value)}]"
    if what is constants.ANY:
        return "."
    if what is constants.IN:
        return "[" + "".join(_python_member(*member) for member in value) + "]"
    if what is constants.BRANCH:
        return "(?:" + "|".join(for_python(branch) for branch in value[1]) + ")"
    if what is constants.SUBPATTERN:
        return _python_group(value)
    if what in (constants.MAX_REPEAT, constants.MIN_REPEAT):
        lazy = "?" if what is constants.MIN_REPEAT else ""
        return _repeated(for_python(value[2]), value[0], value[1]) + lazy
    if what is constants.AT:
        return {constants.AT_BOUNDARY: r"\b", constants.AT_NON_BOUNDARY: r"\B"}.get(
            value, "^" if "BEGINNING" in str(value) else r"$"
        )
    raise ValueError(f"no rule for {what} in an expression")


def _python_group(value: Any) -> str:
    number, added, removed, parts = value
    inside = for_python(parts)
    if added & re.IGNORECASE:
        return f"(?i:{inside})"
    if removed & re.IGNORECASE:
        return f"(?-i:{inside})"
    return f"({inside})" if number is not None else f"(?:{inside})"


def _repeated(what: str, least: int, most: Any) -> str:
    if most is constants.MAXREPEAT:
        most = max(least + MOST_MORE, 2 * least)
    most = min(int(most), max(least, LONGEST_REPEAT))
    if (least, most) == (0, 1):
        return f"(?:{what})?"
    return f"(?:{what}){{{least},{most}}}" if least != most else f"(?:{what}){{{least}}}"


def _literal(code: int) -> str:
    letter = chr(code)
    if letter in "\n\r\t":
        return {"\n": r"\n", "\r": r"\r", "\t": r"\t"}[letter]
    return re.escape(letter)


def _in_class(code: int) -> str:
    return _literal(code) if chr(code).isspace() else re.sub(r"([\\\]\[^&~|-])", r"\\\1", chr(code))


def _python_member(what: Any, value: Any) -> str:
    if what is constants.NEGATE:
        return "^"
    if what is constants.LITERAL:
        return _in_class(value)
    if what is constants.RANGE:
        return f"{_in_class(value[0])}-{_in_class(value[1])}"
    return str(_CATEGORIES[value])
