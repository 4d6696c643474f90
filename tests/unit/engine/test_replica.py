"""A replica's document is believed only when it says the same twice; what it is made of is computed."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest

from vmclone_operator.api import API_VERSION
from vmclone_operator.api.replica import IntentStatus, StepStatus, VMCloneReplicaStatus
from vmclone_operator.domain.backend import Mode
from vmclone_operator.domain.conditions import Progress, is_true
from vmclone_operator.domain.steps import Decision, Do, Step
from vmclone_operator.engine.objects.replica import Replica, advanced, new_replica, read_replica, reported
from vmclone_operator.kube.cluster import Document

OWNER = "11111111-0000-4000-8000-000000000001"
ME = "4f1d2b3c-0000-4000-8000-000000000001"
VMCLONE: Document = {
    "metadata": {
        "namespace": "team-a",
        "name": "dev",
        "uid": OWNER,
        "labels": {"argocd.argoproj.io/instance": "app", "app.kubernetes.io/instance": "app"},
        "annotations": {"argocd.argoproj.io/tracking-id": "app:x"},
    },
    "spec": {"source": {"name": "golden-dev"}},
}


def document() -> Document:
    made = copy.deepcopy(new_replica(VMCLONE, ordinal=2, session="dev-2", backend="lab"))
    made["metadata"]["uid"] = ME
    return made


def read(made: Document) -> Replica:
    replica = read_replica(made, instance="i")
    assert replica is not None
    return replica


def test_a_replica_that_we_made_is_read_back() -> None:
    replica = read(document())
    assert (replica.stamp.vmclone, replica.stamp.vmclone_uid, replica.stamp.incarnation) == ("dev", OWNER, ME)
    assert (replica.stamp.instance, replica.stamp.namespace, replica.stamp.ordinal) == ("i", "team-a", 2)
    assert (str(replica.key), replica.vm_name) == ("VMCloneReplica/team-a/dev-2", "dev-2-4f1d2b")


MISMATCHES: dict[str, Callable[[Document], object]] = {
    "no owner": lambda d: d["metadata"].pop("ownerReferences"),
    "an empty list of owners": lambda d: d["metadata"].update(ownerReferences=[]),
    "an owner of another uid": lambda d: d["metadata"]["ownerReferences"][0].update(uid="other"),
    "a spec of another uid": lambda d: d["spec"].update(vmCloneUID="22222222"),
    "an owner that does not control it": lambda d: d["metadata"]["ownerReferences"][0].update(controller=False),
    "an owner of another kind": lambda d: d["metadata"]["ownerReferences"][0].update(kind="Deployment"),
    "an owner of another group": lambda d: d["metadata"]["ownerReferences"][0].update(apiVersion="apps/v1"),
}


@pytest.mark.parametrize("change", MISMATCHES.values(), ids=MISMATCHES.keys())
def test_a_replica_whose_owner_does_not_match_is_not_believed(change: Callable[[Document], object]) -> None:
    forged = document()
    change(forged)
    found = read_replica(forged, instance="i")
    assert found is not None
    assert not found.controlled


def test_a_replica_whose_name_no_vmclone_gives_is_nobodys() -> None:
    forged = document()
    forged["metadata"]["name"] = "something"
    assert read_replica(forged, instance="i") is None


def test_nothing_of_the_vmclones_own_labels_or_annotations_is_copied() -> None:
    """Argo CD would claim and prune a replica that bears its tracking label."""
    meta = new_replica(VMCLONE, ordinal=1, session="dev", backend="lab")["metadata"]
    assert not meta["labels"].keys() & VMCLONE["metadata"]["labels"].keys()
    assert "annotations" not in meta
    assert meta["ownerReferences"][0] == {
        "apiVersion": API_VERSION,
        "kind": "VMClone",
        "name": "dev",
        "uid": OWNER,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def test_the_status_is_not_asked_for_names_and_ids() -> None:
    lying = document()
    lying["status"] = {"intent": {"vmName": "golden-dev", "uuid": "someone-elses", "token": "t"}}
    ledger = IntentStatus(token="t", frozen_point="p", vm_name="golden-dev", uuid="someone-elses")
    seed = read(document()).seed()
    intent = read(lying).clone_intent(ledger, source_id="s", mode=Mode.DISK, seed=seed)
    honest = read(document()).clone_intent(
        IntentStatus(token="t", frozen_point="p"), source_id="s", mode=Mode.DISK, seed=seed
    )
    assert intent == honest
    assert (intent.vm_name, intent.seed.instance_id) == ("dev-2-4f1d2b", f"vmclone-{ME}")


def decision(step: Step, progress: Progress = Progress.WORKING, message: str = "at it") -> Decision:
    return Decision(do=Do.NOTHING, step=step, reason="Reason", message=message, progress=progress)


def history(*steps: Step) -> tuple[StepStatus, ...]:
    """Go through steps, one a minute."""
    rows: tuple[StepStatus, ...] = ()
    for minute, step in enumerate(steps):
        rows = advanced(rows, decision(step), now=f"t{minute}")
    return rows


def test_a_step_keeps_the_time_it_began() -> None:
    rows = history(Step.CLONE, Step.CLONE, Step.BOOT, Step.BOOT, Step.IDENTITY)
    began = {row.name: (row.start_time, row.completion_time) for row in rows}
    assert began["Clone"] == ("t0", "t2")
    assert began["Boot"] == ("t2", "t4")
    assert began["Identity"] == ("t4", "")


def test_what_is_the_same_is_not_written_anew() -> None:
    rows = history(Step.RESERVE, Step.CLONE)
    assert advanced(rows, decision(Step.CLONE), now="t9") == rows


@pytest.mark.parametrize("step", list(Step))
def test_ready_is_never_a_step_and_only_the_last_one_is_open(step: Step) -> None:
    rows = advanced((), decision(step), now="t0")
    assert "Ready" not in [row.name for row in rows]
    assert [row.name for row in rows] == [
        s.value for s in list(Step)[: list(Step).index(step) + 1] if s.value != "Ready"
    ]
    states = [row.state for row in rows]
    assert states == ["Done"] * len(rows) if step is Step.READY else [*["Done"] * (len(rows) - 1), "Running"]


def test_a_step_that_fails_counts_its_attempts_once_each() -> None:
    rows: tuple[StepStatus, ...] = ()
    for progress in (Progress.STALLED, Progress.STALLED, Progress.WORKING, Progress.STALLED):
        rows = advanced(rows, decision(Step.RESERVE, progress), now="t")
    assert (rows[0].attempt, rows[0].state, rows[0].message) == (2, "Failed", "at it")


def test_going_back_a_step_opens_it_again() -> None:
    rows = advanced(history(Step.BOOT, Step.READY), decision(Step.BOOT), now="t9")
    assert (rows[-1].name, rows[-1].state, rows[-1].completion_time) == ("Boot", "Running", "")


def test_a_long_message_is_cut_to_what_the_schema_takes() -> None:
    (row,) = advanced((), decision(Step.RESERVE, message="m\n" * 1000), now="t")
    assert len(row.message) == 256


REPORTS = {
    "at work": (decision(Step.BOOT), "Boot", {"Reconciling"}),
    "needs a person": (decision(Step.BOOT, Progress.STALLED), "Failed", {"Stalled"}),
    "ready": (decision(Step.READY, Progress.SETTLED), "Ready", {"Ready"}),
}


@pytest.mark.parametrize(("made", "state", "true"), REPORTS.values(), ids=REPORTS.keys())
def test_state_and_conditions_say_the_same(made: Decision, state: str, true: set[str]) -> None:
    status = reported(VMCloneReplicaStatus(), made, generation=3, now="t")
    assert (status.state, status.observed_generation, status.percent) == (state, 3, made.step.percent)
    assert {k for k in ("Ready", "Reconciling", "Stalled") if is_true(status.conditions, k)} == true
