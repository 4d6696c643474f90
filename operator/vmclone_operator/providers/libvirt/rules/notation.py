"""The notation of the table: how a row names elements, attributes, values and conditions, and how one is looked up.

A row names paths below the element of its section, separated by spaces:

    .                       the section's own element
    driver                  the element, with its text
    driver(name cache)      the element and two of its attributes
    source@(dir path)       the attributes alone; (device) those of the section's own element
    @type=udp|mcast         an attribute that has one of these values
    backend#=/dev/urandom   an element whose text is this
    shareable[!readonly]    where the element beside it does not stand; [readonly] where it does
    entry[@name=serial]     where the element itself has this attribute; [@name!=serial] where it has another

A row on an element that is dropped, refused or made anew decides for everything in it. The first row that fits wins.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import xml.etree.ElementTree as ET
    from collections.abc import Iterator, Sequence

_NAME = re.compile(r"(?P<element>[^@#(\[=\s]*)(?P<more>@?\([^)]*\)|[@#][^\[\s]*)?(?P<when>(\[[^\]]*\])*)(?:\s+|$)")
_CONDITION = re.compile(r"\[(!?)(@?)([^!=\]]+)(!?=)?([^\]]*)\]")
_AGAIN = re.compile(r"backingStore(?:/backingStore)+")
"""The one element that stands in itself: what holds for one layer of a chain holds for all."""
REMOVE = "remove it from the source"


class Verdict(StrEnum):
    """What becomes of an element or attribute."""

    KEPT = "kept"
    MADE_ANEW = "made anew"
    DROPPED = "dropped"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A decision about some paths of a section."""

    names: str
    verdict: Verdict
    reason: str
    remedy: str = REMOVE
    """What to do about a refusal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """The rows about one element, and all that is in it."""

    path: str
    """Where it stands below `domain`; empty for the domain itself."""
    title: str
    rows: Sequence[Row]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A decision about one path: `devices/disk/driver@cache`, or `...#` for the text of an element."""

    path: str
    verdict: Verdict
    reason: str
    remedy: str
    values: frozenset[str] = frozenset()
    """The values it is about; empty: all."""
    when: str = ""

    @property
    def conditional(self) -> bool:
        """Whether it decides only in some cases."""
        return bool(self.when or self.values)

    def fits(self, value: str, own: ET.Element, parent: ET.Element) -> bool:
        """Return whether it is about this value of this element in its parent."""
        if self.values and value not in self.values:
            return False
        # An attribute is seen from its element: what stands beside it, stands in that element.
        beside = own if "@" in self.path else parent
        return all(_holds(match, own, beside) for match in _CONDITION.finditer(self.when))


def _holds(condition: re.Match[str], own: ET.Element, beside: ET.Element) -> bool:
    negated, attribute, name, relation, value = condition.groups()
    if attribute:
        return (own.get(name) == value) is (relation == "=")
    return (beside.find(name) is not None) is not bool(negated)


def kept(names: str, reason: str) -> Row:
    """Take what these names say along as it is."""
    return Row(names=names, verdict=Verdict.KEPT, reason=reason)


def made_anew(names: str, reason: str) -> Row:
    """Give the clone its own in the same place."""
    return Row(names=names, verdict=Verdict.MADE_ANEW, reason=reason)


def dropped(names: str, reason: str) -> Row:
    """Leave it out."""
    return Row(names=names, verdict=Verdict.DROPPED, reason=reason)


def refused(names: str, reason: str, remedy: str = REMOVE) -> Row:
    """Refuse a source that has it."""
    return Row(names=names, verdict=Verdict.REFUSED, reason=reason, remedy=remedy)


def named(row: Row) -> list[str]:
    """Return the names of a row one by one, as they are written."""
    return [name for match in _NAME.finditer(" ".join(row.names.split())) if (name := match.group().strip())]


class Table:
    """All rules by path."""

    def __init__(self, sections: Sequence[Section]) -> None:
        self._rules: dict[str, list[Rule]] = defaultdict(list)
        for section in sections:
            for rule in rules_of(section):
                self._rules[rule.path].append(rule)

    def rules(self, path: str) -> Sequence[Rule]:
        """Return the rules about a path, in their order."""
        return self._rules.get(_AGAIN.sub("backingStore", path), ())

    def decide(self, path: str, value: str, own: ET.Element, parent: ET.Element) -> Rule | None:
        """Return the rule about an element, or about an attribute or text with this value; None: nobody knows it."""
        return next((rule for rule in self.rules(path) if rule.fits(value, own, parent)), None)


def rules_of(section: Section) -> Iterator[Rule]:
    """Yield a section's rules; the section's own element is kept where no row says something else."""
    own = [rule for row in section.rows for rule in _rules_of(section.path, row)]
    yield from own
    if not any(rule.path == section.path and not rule.conditional for rule in own):
        yield Rule(path=section.path, verdict=Verdict.KEPT, reason=section.title, remedy=REMOVE)


def _rules_of(above: str, row: Row) -> Iterator[Rule]:
    for match in _NAME.finditer(" ".join(row.names.split())):
        if not match.group():
            continue
        element = match["element"].removeprefix(".")
        base = "/".join(part for part in (above, element) if part)
        more = match["more"] or ""
        if more.endswith(")"):
            names = [base] if element and more.startswith("(") else []
            names += [f"{base}@{name}" for name in more.strip("@()").split()]
            values: frozenset[str] = frozenset()
        else:
            name, _, listed = more.partition("=")
            names, values = [base + name], frozenset(listed.split("|")) if listed else frozenset()
        for path in names:
            yield Rule(
                path=path, verdict=row.verdict, reason=row.reason, remedy=row.remedy, values=values, when=match["when"]
            )
