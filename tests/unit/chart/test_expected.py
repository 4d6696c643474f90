"""A row of expected.yaml is kept or named, so that no value of the chart can lose its effect unseen."""

from __future__ import annotations

from typing import Any

import pytest

from vmclone_chart.expected import MISSING, Row, compare, merged, table, unset

POD = {"labels": {"a": "b", "c": "d"}, "env": [{"name": "X", "value": "1"}, {"name": "Y"}]}
DOCUMENTS: list[dict[str, Any]] = [
    {"kind": "Deployment", "metadata": {"name": "x-operator"}, "spec": POD},
    {"kind": "Role", "metadata": {"name": "x-view", "labels": {"a.b/c": "d"}}},
]


def row(kind: str, path: str, expected: object, name: str = "") -> Row:
    return Row({"value": 1}, kind, path, expected, name)


KEPT = {
    "a part of a map": row("Deployment", "spec.labels", {"a": "b"}),
    "an item of a list": row("Deployment", "spec.env", {"name": "X"}),
    "an item by its place": row("Deployment", "spec.env.1.name", "Y"),
    "a name with dots": row("Role", r"metadata.labels.a\.b/c", "d"),
    "nothing where nothing may be": row("Deployment", "spec.args", MISSING),
    "no document of a kind": row("Job", "", MISSING),
    "no document of a name": row("Role", "", MISSING, "-edit"),
}
BROKEN = {
    "another value": row("Deployment", "spec.labels", {"a": "c"}),
    "no such item": row("Deployment", "spec.env", {"name": "Z"}),
    "a list with more in it": row("Deployment", "spec.env", [{"name": "X"}]),
    "an item that is not there": row("Deployment", "spec.env.7", {"name": "X"}),
    "something where nothing may be": row("Deployment", "spec.labels.a", MISSING),
    "a document that may not be": row("Role", "", MISSING, "-view"),
    "no document to hold it": row("Job", "spec.labels", {}),
}


@pytest.mark.parametrize("kept", KEPT.values(), ids=KEPT.keys())
def test_a_row_that_holds_is_silent(kept: Row) -> None:
    assert not list(compare(kept, DOCUMENTS))


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
def test_a_row_that_does_not_hold_is_named(broken: Row) -> None:
    assert [sentence for sentence in compare(broken, DOCUMENTS) if '{"value": 1}' in sentence]


def test_rows_that_want_different_things_are_not_rendered_together() -> None:
    assert merged([{"a": {"b": 1}}, {"a": {"c": 2}}]) == {"a": {"b": 1, "c": 2}}
    with pytest.raises(ValueError, match="two rows set b differently: 1 and 2"):
        merged([{"a": {"b": 1}}, {"a": {"b": 2}}])


def test_a_value_without_a_row_is_named() -> None:
    assert unset(["replicaCount", "homeCopy.image.tag", "forgotten.value"]) == ["forgotten.value"]


def test_every_row_has_one_document_or_none_to_look_at() -> None:
    together, apart = table()
    assert len(together) > 60
    assert all(entry.kind for entry in (*together, *apart))
