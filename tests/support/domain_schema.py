"""What libvirt's own schema (RELAX NG) lets stand in a domain: every element and attribute by path, and its values.

References are followed, namespaces inherited, and what stands in itself (`backingStore`) is gone through once:

    devices/disk/driver@cache -> {"default", "none", ...}; a path with free values has an empty set
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SCHEMAS = Path("/usr/share/libvirt/schemas")
_RNG = "{http://relaxng.org/ns/structure/1.0}"
_DOMAIN = "http://libvirt.org/schemas/domain/"
ANY = "*"
_Found = Iterator[tuple[str, ET.Element]]


@dataclass
class Place:
    """An element or attribute that the schema allows."""

    values: set[str] = field(default_factory=set)
    free: bool = False
    """Whether it may have values that are not listed."""


@dataclass
class _Grammar:
    defines: dict[str, list[ET.Element]] = field(default_factory=lambda: defaultdict(list))
    namespaces: dict[ET.Element, str] = field(default_factory=dict)
    loaded: set[str] = field(default_factory=set)

    def load(self, name: str) -> None:
        if name not in self.loaded:
            self.loaded.add(name)
            self._read(ET.parse(SCHEMAS / name).getroot(), "")  # noqa: S314 - installed with libvirt

    def _read(self, element: ET.Element, namespace: str) -> None:
        namespace = element.get("ns", namespace)
        self.namespaces[element] = namespace
        if element.tag == f"{_RNG}include":
            self.load(element.get("href", ""))
        if element.tag == f"{_RNG}define":
            self.defines[element.get("name", "")].append(element)
        for child in element:
            self._read(child, namespace)

    def names(self, element: ET.Element) -> list[str]:
        """Return the names that an element or attribute pattern stands for."""
        if element.get("name"):
            return [self._prefixed(element, element.get("name", ""))]
        first = element[0]
        listed = first.findall(f"{_RNG}name") if first.tag == f"{_RNG}choice" else [first]
        return [self._prefixed(element, (one.text or "").strip() or ANY) for one in listed]

    def _prefixed(self, element: ET.Element, name: str) -> str:
        namespace = self.namespaces[element] if element.tag == f"{_RNG}element" else ""
        return f"{namespace.removeprefix(_DOMAIN).partition('/')[0]}:{name}" if namespace else name


def places() -> dict[str, Place]:
    """Return all that can stand in a `<domain>`, by its path below that."""
    grammar = _Grammar()
    grammar.load("domain.rng")
    found: dict[str, Place] = defaultdict(Place)
    for path, pattern in _defined(grammar, "domain", "", frozenset()):
        place = found[path.removeprefix("domain/").removeprefix("domain")]
        if "@" in path:
            _values(grammar, pattern, place, frozenset())
    return dict(found)


def _defined(grammar: _Grammar, name: str, path: str, above: frozenset[tuple[str, str]]) -> _Found:
    if (name, path) in above:
        return
    for define in grammar.defines[name]:
        for pattern in define:
            yield from _pattern(grammar, pattern, path, above | {(name, path)})


def _pattern(grammar: _Grammar, pattern: ET.Element, path: str, above: frozenset[tuple[str, str]]) -> _Found:
    if pattern.tag == f"{_RNG}ref":
        yield from _defined(grammar, pattern.get("name", ""), path, above)
    elif pattern.tag == f"{_RNG}attribute":
        yield from ((f"{path}@{name}", pattern) for name in grammar.names(pattern))
    elif pattern.tag == f"{_RNG}element":
        for name in grammar.names(pattern):
            if path.endswith(f"/{name}"):  # a layer of a chain in a layer
                continue
            here = f"{path}/{name}" if path else name
            yield here, pattern
            for child in pattern:
                yield from _pattern(grammar, child, here, above)
    else:
        for child in pattern:
            yield from _pattern(grammar, child, path, above)


def _values(grammar: _Grammar, pattern: ET.Element, place: Place, above: frozenset[str]) -> None:
    children = [child for child in pattern if child.tag not in {f"{_RNG}name", f"{_RNG}anyName"}]
    if not children and pattern.tag == f"{_RNG}attribute":
        place.free = True
    for child in children:
        if child.tag == f"{_RNG}value":
            place.values.add((child.text or "").strip())
        elif child.tag in {f"{_RNG}data", f"{_RNG}text"}:
            place.free = True
        elif child.tag == f"{_RNG}ref":
            name = child.get("name", "")
            for define in grammar.defines[name] if name not in above else ():
                _values(grammar, define, place, above | {name})
        else:
            _values(grammar, child, place, above)
