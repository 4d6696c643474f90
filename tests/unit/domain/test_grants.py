"""Who may use a source or a backend, as a table: whatever does not say yes says no."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from vmclone_operator.api.base import AllowedNamespaces, LabelSelector
from vmclone_operator.domain.grants import allows, needs_labels

ALL = AllowedNamespaces.model_validate({"from": "All"})
NAMES = AllowedNamespaces.model_validate({"from": "Names", "names": ["team-a", "team-b"]})
SELECTOR = AllowedNamespaces.model_validate(
    {"from": "Selector", "selector": {"matchLabels": {"team": "a", "env": "dev"}}}
)
EMPTY_VALUE = AllowedNamespaces.model_validate({"from": "Selector", "selector": {"matchLabels": {"team": ""}}})

# What the API server refuses may still be in etcd from before: built without validation.
NO_NAMES = AllowedNamespaces.model_validate({"from": "Names"})
EMPTY_NAMES = AllowedNamespaces.model_construct(from_="Names", names=())
NO_SELECTOR = AllowedNamespaces.model_validate({"from": "Selector"})
EMPTY_SELECTOR = AllowedNamespaces.model_construct(
    from_="Selector", selector=LabelSelector.model_construct(match_labels={})
)
UNKNOWN = AllowedNamespaces.model_construct(from_="Everybody", names=("team-a",))  # type: ignore[arg-type]
NAMES_UNUSED = AllowedNamespaces.model_construct(from_="Selector", names=("team-a",))

BOTH = {"team": "a", "env": "dev", "more": "x"}

TABLE: dict[str, tuple[AllowedNamespaces | None, Mapping[str, str], bool]] = {
    "absent is nobody": (None, BOTH, False),
    "All is everybody": (ALL, {}, True),
    "a named namespace may": (NAMES, {}, True),
    "Names without names is nobody": (NO_NAMES, BOTH, False),
    "an empty list is nobody": (EMPTY_NAMES, BOTH, False),
    "all labels match": (SELECTOR, BOTH, True),
    "one label is missing": (SELECTOR, {"team": "a"}, False),
    "one label differs": (SELECTOR, {**BOTH, "env": "prod"}, False),
    "a namespace without labels matches no selector": (SELECTOR, {}, False),
    "an empty value is not an absent label": (EMPTY_VALUE, {}, False),
    "an empty value matches an empty label": (EMPTY_VALUE, {"team": ""}, True),
    "Selector without selector is nobody": (NO_SELECTOR, BOTH, False),
    "an empty selector is nobody": (EMPTY_SELECTOR, BOTH, False),
    "an unknown word is nobody": (UNKNOWN, BOTH, False),
    "names beside Selector count for nothing": (NAMES_UNUSED, BOTH, False),
}


@pytest.mark.parametrize(("allowed", "labels", "expected"), TABLE.values(), ids=TABLE.keys())
def test_team_a_may_use_it_only_when_it_says_so(
    allowed: AllowedNamespaces | None, labels: Mapping[str, str], expected: bool
) -> None:
    assert allows(allowed, "team-a", labels) is expected


OTHERS = {
    "another name": "team-c",
    "a name that begins the same": "team-a-2",
    "a part of the name": "team",
    "no name": "",
    "another case": "Team-A",
}


@pytest.mark.parametrize("namespace", OTHERS.values(), ids=OTHERS.keys())
def test_names_mean_exactly_these_namespaces(namespace: str) -> None:
    assert not allows(NAMES, namespace, BOTH)


def test_labels_are_read_only_for_a_selector() -> None:
    assert [needs_labels(a) for a in (None, ALL, NAMES, SELECTOR, UNKNOWN)] == [False, False, False, True, False]
