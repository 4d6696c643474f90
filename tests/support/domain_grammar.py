"""Makes parts of domains from libvirt's own schema (RELAX NG): whatever the grammar lets stand there, by choices.

    grammar().make("disk", choices) -> <disk type="file" device="lun"><source file="/there/a"/>...</disk>

The schema says which words and shapes there are; where it leaves a value open (a path, a MAC address), it is taken
from what the caller offers, so that it can be known again.
"""

from __future__ import annotations

import functools
import re
import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

SCHEMAS = Path("/usr/share/libvirt/schemas")
_RNG = "{http://relaxng.org/ns/structure/1.0}"
_DEEPEST = 40
_OFTEN, _SELDOM = 3, 4
"""An optional part is there in one case of so many: the first for elements, the second for attributes."""

Choose = Callable[[int], int]
"""Returns a number from 0 to below the one given; 0 is the simplest."""
Values = Callable[[str, str], str | None]
"""Returns a value for an open place: by element and attribute (empty: its text); None: from the schema's pattern."""


class Impossible(Exception):  # noqa: N818 - a path of the grammar that leads nowhere
    """The grammar allows nothing here, or goes too deep."""


class Grammar:
    """The schema of domains, its definitions by name."""

    def __init__(self) -> None:
        self._defines: dict[str, list[ET.Element]] = defaultdict(list)
        self._loaded: set[str] = set()
        self._load("domain.rng")

    def _load(self, name: str) -> None:
        if name in self._loaded:
            return
        self._loaded.add(name)
        root = ET.parse(SCHEMAS / name).getroot()  # noqa: S314 - installed with libvirt
        for element in root.iter():
            if element.tag == f"{_RNG}include":
                self._load(element.get("href", ""))
            if element.tag == f"{_RNG}define":
                self._defines[element.get("name", "")].append(element)

    def make(self, name: str, choose: Choose, values: Values) -> ET.Element:
        """Return an element that a definition allows; raises Impossible."""
        holder = ET.Element("holder")
        _Making(self._defines, choose, values).children(self._defines[name][0], holder, 0)
        if len(holder) != 1:
            raise Impossible(name)
        return holder[0]


class _Making:
    """One element in the making."""

    def __init__(self, defines: dict[str, list[ET.Element]], choose: Choose, values: Values) -> None:
        self._defines, self._choose, self._values = defines, choose, values

    def children(self, pattern: ET.Element, parent: ET.Element, depth: int) -> None:
        for child in pattern:
            self._one(child, parent, depth)

    def _one(self, pattern: ET.Element, parent: ET.Element, depth: int) -> None:
        if depth > _DEEPEST:
            raise Impossible("too deep")
        kind = pattern.tag.removeprefix(_RNG)
        if kind in _KINDS:
            _KINDS[kind](self, pattern, parent, depth + 1)
        elif kind not in {"empty", "notAllowed", "anyName"}:
            raise Impossible(kind)

    def _group(self, pattern: ET.Element, parent: ET.Element, depth: int) -> None:
        self.children(pattern, parent, depth)

    def _ref(self, pattern: ET.Element, parent: ET.Element, depth: int) -> None:
        for define in self._defines[pattern.get("name", "")][:1]:
            self.children(define, parent, depth)

    def _choice(self, pattern: ET.Element, parent: ET.Element, depth: int) -> None:
        options = [option for option in pattern if option.tag != f"{_RNG}notAllowed"]
        self._one(options[self._choose(len(options))], parent, depth)

    def _optional(self, pattern: ET.Element, parent: ET.Element, depth: int) -> None:
        odds = _SELDOM if pattern[0].tag == f"{_RNG}attribute" else _OFTEN
        if self._choose(odds) == odds - 1:
            self.children(pattern, parent, depth)

    def _one_or_more(self, pattern: ET.Element, parent: ET.Element, depth: int) -> None:
        self.children(pattern, parent, depth)
        self._optional(pattern, parent, depth)

    def _element(self, pattern: ET.Element, parent: ET.Element, depth: int) -> None:
        name = pattern.get("name")
        if name is None:
            raise Impossible("an element of any name")
        self.children(pattern, ET.SubElement(parent, name), depth)

    def _attribute(self, pattern: ET.Element, parent: ET.Element, depth: int) -> None:
        name = pattern.get("name")
        if name is None:
            raise Impossible("an attribute of any name")
        holder = ET.Element(parent.tag)
        holder.set("@", name)
        if len(pattern):
            self.children(pattern, holder, depth)
        else:
            self._text(pattern, holder, depth)
        parent.set(name, holder.text or "")

    def _value(self, pattern: ET.Element, parent: ET.Element, _depth: int) -> None:
        parent.text = (pattern.text or "").strip()

    def _text(self, _pattern: ET.Element, parent: ET.Element, _depth: int) -> None:
        parent.text = self._values(parent.tag, parent.get("@", "")) or "text"

    def _data(self, pattern: ET.Element, parent: ET.Element, _depth: int) -> None:
        offered = self._values(parent.tag, parent.get("@", ""))
        expressions = [param.text or "" for param in pattern.findall(f"{_RNG}param[@name='pattern']")]
        if offered is not None and all(re.fullmatch(one.strip(), offered) for one in expressions if _is_plain(one)):
            parent.text = offered
        elif expressions:
            parent.text = self._choice_of(_SAMPLES, expressions[0])
        else:
            parent.text = str(self._choose(3) + 1)

    def _choice_of(self, samples: Sequence[str], expression: str) -> str:
        fitting = [sample for sample in samples if _is_plain(expression) and re.fullmatch(expression.strip(), sample)]
        if not fitting:
            raise Impossible(expression)
        return fitting[self._choose(len(fitting))]


_KINDS: dict[str, Callable[[_Making, ET.Element, ET.Element, int], None]] = {
    "group": _Making._group,
    "interleave": _Making._group,
    "ref": _Making._ref,
    "choice": _Making._choice,
    "optional": _Making._optional,
    "zeroOrMore": _Making._optional,
    "oneOrMore": _Making._one_or_more,
    "element": _Making._element,
    "attribute": _Making._attribute,
    "value": _Making._value,
    "text": _Making._text,
    "data": _Making._data,
}
_SAMPLES = (
    *(
        "1",
        "0",
        "2",
        "7",
        "0x1",
        "0x0",
        "0x02",
        "0x0000",
        "0x0001",
        "0x00",
        "1.5",
        "0-1",
        "on",
        "vda",
        "sdb",
        "hdc",
        "fda",
    ),
    *(
        "example",
        "a.b",
        "/nowhere/example",
        "52:54:00:00:00:01",
        "10.0.0.7",
        "fe80::1",
        "example.org",
        "0x1234",
        "5900",
    ),
    *("ua-example", "virtio", "1af4", "c0a8", "12345678-1234-4234-8234-123456789abc", "30:00:00:00:00:00:00:01"),
    *("iqn.2013-06.com.example:target", "pci_0000_00_1f_2", "naa.5000c50015ea71aa", "5000c50015ea71ac", "#ffffff"),
    *("rhel8", "system_u:object_r:x:s0", "64", "1024", "65536", "2026-11-30T00:00:00", "12345678-90ab-cdef", "eth0"),
)


def _is_plain(expression: str) -> bool:
    """Return whether Python reads a pattern of XML Schema as it is meant."""
    try:
        re.compile(expression.strip())
    except re.error:
        return False
    return "\\i" not in expression and "\\c" not in expression and "-[" not in expression


@functools.cache
def grammar() -> Grammar:
    """Return the grammar of the libvirt that is installed."""
    return Grammar()
