"""What Argo CD is to get: its form is checked here, and run by Argo CD's own tests in `hack/test argocd`."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import yaml
from pydantic import BaseModel
from tests.integration.truth_table import contribution, readers
from tests.integration.truth_table.contribution import FOLDER, HASH, KINDS, Actions
from tests.integration.truth_table.readers import ROOT

from vmclone_operator.api.replica import VMCloneReplicaSpec
from vmclone_operator.api.vmclone import VMCloneSpec

TIME = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ")
REQUESTS = {"retry": "vmclone.dev/retry-at", "sync-home": "vmclone.dev/sync-requested-at"}
CHART = ROOT / "charts" / "vmclone-operator" / "files" / "argocd"
VALUES = {"VMClone": CHART / "actions.yaml", "VMCloneReplica": CHART / "replica-actions.yaml"}
SPECS: dict[str, type[BaseModel]] = {"VMClone": VMCloneSpec, "VMCloneReplica": VMCloneReplicaSpec}


def given(kind: str, name: str) -> dict[str, Any]:
    path = FOLDER / KINDS[kind].folder / "testdata" / f"{name}.yaml"
    document: dict[str, Any] = yaml.safe_load(path.read_text())
    return document


def script(kind: str, action: str) -> str:
    """Return the script as people put it into `argocd-cm`."""
    value = yaml.safe_load(VALUES[kind].read_text())
    return str({one["name"]: one["action.lua"] for one in value["definitions"]}[action])


def rows(choose: Callable[[Actions], Iterable[Any]]) -> list[Any]:
    """Return the rows of every kind, each with its kind first."""
    return [(kind, *row) for kind, actions in KINDS.items() for row in choose(actions)]


def test_the_checked_in_tests_are_those_of_the_truth_table() -> None:
    texts = {path: (FOLDER / path).read_text() for path in contribution.contents()}
    assert texts == contribution.contents(), "python -m tests.integration.truth_table.contribution writes them"
    assert {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.yaml")} == texts.keys(), "one is left over"


@pytest.mark.parametrize(("kind", "name"), rows(lambda actions: [(name,) for name in actions.offered]))
def test_only_what_would_do_something_is_offered(kind: str, name: str) -> None:
    discovery = yaml.safe_load(VALUES[kind].read_text())["discovery.lua"]
    answer = readers.action(given(kind, name), discovery)
    offered = {action for action, how in answer.items() if not how["disabled"]}
    assert set(answer) == set(KINDS[kind].names)
    assert offered == KINDS[kind].offered[name][2]


@pytest.mark.parametrize(("kind", "action", "before", "after"), rows(lambda actions: actions.done))
def test_an_action_changes_one_field_and_leaves_a_valid_object(kind: str, action: str, before: str, after: str) -> None:
    changed = readers.action(given(kind, before), script(kind, action))
    SPECS[kind].model_validate(changed["spec"])
    if action in REQUESTS:
        annotations = changed["metadata"].pop("annotations")
        assert annotations.keys() == {REQUESTS[action]}
        assert TIME.fullmatch(annotations[REQUESTS[action]]), "the operator heeds any new value, people read a time"
    assert changed == given(kind, after)


def test_an_approval_names_the_plan_that_was_seen() -> None:
    changed = readers.action(given("VMClone", "vmclone-planned"), script("VMClone", "approve"))
    assert changed["metadata"]["annotations"] == {contribution.ANNOTATION: HASH}


@pytest.mark.parametrize(("kind", "action", "before", "message"), rows(lambda actions: actions.refused))
def test_an_action_that_can_not_work_says_why(kind: str, action: str, before: str, message: str) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        readers.action(given(kind, before), script(kind, action))
    assert message in refused.value.stderr
