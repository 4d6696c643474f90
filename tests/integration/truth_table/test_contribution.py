"""What Argo CD is to get: its form is checked here, and run by Argo CD's own tests in `hack/test argocd`."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import pytest
import yaml
from tests.integration.truth_table import contribution, readers
from tests.integration.truth_table.contribution import ACTIONS, DONE, FOLDER, HASH, OFFERED, REFUSED
from tests.integration.truth_table.readers import ROOT

from vmclone_operator.api.vmclone import VMCloneSpec

TIME = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ")
REQUESTS = {"retry": "vmclone.dev/retry-at", "sync-home": "vmclone.dev/sync-requested-at"}
VALUE = ROOT / "charts" / "vmclone-operator" / "files" / "argocd" / "actions.yaml"


def given(name: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((FOLDER / ACTIONS / "testdata" / f"{name}.yaml").read_text())
    return document


def script(action: str) -> str:
    """Return the script as people put it into `argocd-cm`."""
    value = yaml.safe_load(VALUE.read_text())
    return str({one["name"]: one["action.lua"] for one in value["definitions"]}[action])


def test_the_checked_in_tests_are_those_of_the_truth_table() -> None:
    texts = {path: (FOLDER / path).read_text() for path in contribution.contents()}
    assert texts == contribution.contents(), "python -m tests.integration.truth_table.contribution writes them"
    assert {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.yaml")} == texts.keys(), "one is left over"


@pytest.mark.parametrize("name", OFFERED)
def test_only_what_would_do_something_is_offered(name: str) -> None:
    discovery = yaml.safe_load(VALUE.read_text())["discovery.lua"]
    answer = readers.action(given(name), discovery)
    offered = {action for action, how in answer.items() if not how["disabled"]}
    assert set(answer) == set(contribution.ACTION_NAMES)
    assert offered == OFFERED[name][2]


@pytest.mark.parametrize(("action", "before", "after"), DONE)
def test_an_action_changes_one_field_and_leaves_a_valid_object(action: str, before: str, after: str) -> None:
    changed = readers.action(given(before), script(action))
    VMCloneSpec.model_validate(changed["spec"])
    if action in REQUESTS:
        annotations = changed["metadata"].pop("annotations")
        assert annotations.keys() == {REQUESTS[action]}
        assert TIME.fullmatch(annotations[REQUESTS[action]]), "the operator heeds any new value, people read a time"
    assert changed == given(after)


def test_an_approval_names_the_plan_that_was_seen() -> None:
    changed = readers.action(given("vmclone-planned"), script("approve"))
    assert changed["metadata"]["annotations"] == {contribution.ANNOTATION: HASH}


@pytest.mark.parametrize(("action", "before", "message"), REFUSED)
def test_an_action_that_can_not_work_says_why(action: str, before: str, message: str) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        readers.action(given(before), script(action))
    assert message in refused.value.stderr
