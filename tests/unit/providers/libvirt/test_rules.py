"""The table of rules is closed: it decides all that libvirt's own schema allows, and nothing in it is unreachable."""

from __future__ import annotations

import re

import pytest
from tests.support.domain_schema import Place, places

from vmclone_operator.providers.libvirt.rules import SECTIONS, TABLE, Verdict
from vmclone_operator.providers.libvirt.rules.notation import rules_of

SCHEMA = places()


def _decided_above(path: str) -> bool:
    """Return whether an element above is dropped, refused or made anew in every case: what is in it goes with it."""
    parts = path.partition("@")[0].split("/")
    above = ["/".join(parts[:end]) for end in range(1, len(parts) + (1 if "@" in path else 0))]
    return any(
        (rules := TABLE.rules(element)) and all(rule.verdict is not Verdict.KEPT for rule in rules) for element in above
    )


def _undecided(path: str, place: Place) -> bool:
    rules = TABLE.rules(path)
    if any(not rule.conditional for rule in rules):
        return False
    listed = {value for rule in rules if not rule.when for value in rule.values}
    owner, _, attribute = path.partition("@")
    listed |= {value for rule in TABLE.rules(owner) for value in re.findall(rf"\[@{attribute}=([^\]]*)\]", rule.when)}
    return not rules or not place.values <= listed or (not place.values and not listed)


def test_every_element_and_attribute_of_libvirts_schema_is_decided() -> None:
    assert len(SCHEMA) > 1500, "the schema was not read"
    undecided = [path for path, place in SCHEMA.items() if not _decided_above(path) and _undecided(path, place)]
    assert undecided == []


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("devices/disk/transient", id="an element"),
        pytest.param("devices/interface/filterref/parameter@value", id="an attribute in depth"),
        pytest.param("devices/disk/backingStore/source/slices/slice@offset", id="of a layer of a chain"),
        pytest.param("qemu:override/qemu:device/qemu:frontend/qemu:property@name", id="of another namespace"),
        pytest.param("devices/rng/backend/source@host", id="of a character device"),
    ],
)
def test_the_walk_of_the_schema_finds(path: str) -> None:
    assert path in SCHEMA


def test_the_walk_of_the_schema_finds_values() -> None:
    assert {"udp", "mcast", "hostdev", "bridge"} <= SCHEMA["devices/interface@type"].values


def test_a_path_that_nobody_decided_is_found() -> None:
    assert _undecided("devices/disk/no-such-element", Place())
    assert _undecided("devices/interface@type", Place(values={"udp", "carrier-pigeon"}))


def test_no_rule_stands_behind_one_that_always_fits() -> None:
    unreachable, closed = [], set()
    for section in SECTIONS:
        for rule in rules_of(section):
            if rule.path in closed and rule.verdict is not Verdict.KEPT:
                unreachable.append((rule.path, rule.reason))
            if not rule.conditional:
                closed.add(rule.path)
    assert unreachable == []


def test_every_reason_is_a_sentence_for_a_reader() -> None:
    assert [row for section in SECTIONS for row in section.rows if len(row.reason) < 8] == []
