"""`kubectl vmclone plan -f`: what is tried makes nothing, is owned by nobody else, and says what changes."""

from __future__ import annotations

import re
from typing import Any

import pytest
from tests.unit.plugin.objects import condition, vmclone

from vmclone_kubectl import lines, trial
from vmclone_kubectl.kubectl import KubectlError
from vmclone_operator.api.base import LABEL_VALUE_PATTERN, NAME_PATTERN
from vmclone_operator.api.vmclone import VMCloneSpec


def wish(labels: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "vmclone.dev/v1alpha1",
        "kind": "VMClone",
        "metadata": {"name": "dev", "namespace": "team-a", "labels": labels or {}, "annotations": {"a": "b"}},
        "spec": {"source": {"name": "golden"}, "replicas": 2, **spec},
    }


def test_a_trial_makes_nothing_and_has_the_sessions_of_the_wish() -> None:
    made = trial.trial_of(wish(plan={"mode": "Auto"}))
    spec = VMCloneSpec.model_validate(made["spec"])
    assert (spec.plan.mode, spec.session_prefix, spec.replicas) == ("DryRun", "dev", 2)
    assert made["metadata"]["generateName"] == "dev-plan-"
    assert "name" not in made["metadata"], "the wish itself may be applied meanwhile"
    assert trial.trial_of(wish(sessionPrefix="own"))["spec"]["sessionPrefix"] == "own"


def test_a_trial_is_owned_by_no_other_program_and_keeps_what_policies_ask_for() -> None:
    theirs = {"app.kubernetes.io/instance": "dev", "argocd.argoproj.io/instance": "dev", "helm.sh/chart": "dev"}
    meta = trial.trial_of(wish(theirs | {"cost-centre": "7"}))["metadata"]
    assert meta["labels"] == {"cost-centre": "7", "vmclone.dev/plan": "dev"}
    assert "annotations" not in meta


def test_a_long_name_still_makes_a_name_and_a_label() -> None:
    meta = trial.trial_of({**wish(), "metadata": {"name": "d" * 200}})["metadata"]
    assert len(meta["generateName"]) + 5 <= 63
    assert len(meta["labels"]["vmclone.dev/plan"]) <= 63


@pytest.mark.parametrize("cut", ["-", ".", "-.-", "b."])
def test_a_name_that_is_cut_at_a_hyphen_or_a_dot_still_makes_both(cut: str) -> None:
    name = f"{'a' * (40 - len(cut))}{cut}rest"
    meta = trial.trial_of({**wish(), "metadata": {"name": name}})["metadata"]
    short = meta["labels"]["vmclone.dev/plan"]
    assert re.fullmatch(LABEL_VALUE_PATTERN, short)
    assert re.fullmatch(NAME_PATTERN, meta["generateName"] + "x7k2p")
    assert meta["generateName"] == f"{short}-plan-"
    assert all(part.strip("-") == part for part in (meta["generateName"] + "x7k2p").split("."))


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ([], "has nothing"),
        ([wish(), wish()], "has VMClone dev, VMClone dev"),
        ([{"kind": "Namespace", "metadata": {"name": "x"}}], "has Namespace x"),
    ],
    ids=["an empty file", "two VMClones", "none"],
)
def test_a_file_has_one_vmclone_or_it_is_named_what_it_has(found: list[dict[str, Any]], told: str) -> None:
    with pytest.raises(KubectlError, match=told):
        trial.only_wish(found, "dev.yaml")


def test_other_objects_beside_the_vmclone_are_left_alone() -> None:
    other = {"kind": "Namespace", "metadata": {"name": "x"}}
    assert trial.only_wish([other, wish()], "dev.yaml") == wish()


DRY = condition("Ready", "True", "DryRun")
STATES: dict[str, tuple[dict[str, Any], bool, bool]] = {
    "not seen yet": (vmclone(seen=-1), False, True),
    "of an older generation": (vmclone(DRY, generation=2, seen=1), False, False),
    "still looked at": (vmclone(condition("Ready", "False", "Progressing")), False, True),
    "planned, and nothing is against it": (vmclone(DRY, plan={"hash": "a"}), True, False),
    "planned, with findings": (vmclone(DRY, plan={"blockers": ["no room"]}), True, True),
    "not to be planned": (vmclone(condition("Ready", "False", "SourceNotFound")), True, True),
}


@pytest.mark.parametrize(("state", "answered", "in_the_way"), STATES.values(), ids=STATES.keys())
def test_a_trial_is_over_when_the_operator_has_said_everything(
    state: dict[str, Any], answered: bool, in_the_way: bool
) -> None:
    assert trial.answered(state) is answered
    assert trial.stands_in_the_way(state) is in_the_way


def test_a_change_is_told_field_by_field_and_what_is_alike_is_not() -> None:
    now = wish(disk={"copy": "Linked"})
    then = wish(disk={"copy": "Full"}, paused=True)
    assert list(trial.changes(now, then)) == ["spec.disk.copy: Linked -> Full", "spec.paused: (absent) -> True"]
    assert list(trial.changes(now, now)) == []


MEANS: dict[str, tuple[dict[str, Any], dict[str, Any], list[str]]] = {
    "more replicas": ({}, {"replicas": 5}, ["3 more replicas are made"]),
    "fewer replicas": ({}, {"replicas": 1}, ["1 replicas are removed with their VMs, the highest numbers first"]),
    "another template": (
        {},
        {"template": {"cpus": 4}},
        ["clones that exist stay as they are; new ones are made from it"],
    ),
    "another template, and clones follow it": (
        {},
        {"template": {"cpus": 4}, "rollout": {"update": "Recreate"}},
        ["clones of the older template are given up, with all that is on them, and made anew"],
    ),
    "what concerns no clone": ({}, {"paused": True}, []),
}


@pytest.mark.parametrize(("now", "then", "told"), MEANS.values(), ids=MEANS.keys())
def test_what_a_change_means_for_the_clones_is_told(now: dict[str, Any], then: dict[str, Any], told: list[str]) -> None:
    assert list(trial.what_comes_of_it(wish(**now), wish(**then))) == told


def test_a_trial_goes_by_the_name_of_the_wish_and_its_hash_is_nobodys_to_approve() -> None:
    state = trial.named(vmclone(DRY, plan={"hash": "ab", "actions": [], "blockers": ["x"]}), "dev")
    assert state["metadata"]["name"] == "dev"
    assert list(lines.plan_lines(state, approvable=False)) == ["against it: x"]
