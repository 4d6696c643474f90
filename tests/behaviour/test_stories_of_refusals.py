"""What the API server refuses is read on the VMClone, as the server said it, and as one Event; the others go on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.crash.lives import begin, begin_clean, wait_ready
from tests.support import manifests
from tests.support.simulation import Simulation
from tests.support.stories import DEV, change, condition, ready, replica, vmclone, wait_copying

from vmclone_operator.domain.errors import BackendUnreachable
from vmclone_operator.kube.cluster import Document, HookDown, Key, Kind, Refused
from vmclone_operator.providers.fake import Fault, FaultKind, FaultSchedule

QUOTA = (
    'vmclonereplicas.vmclone.dev "dev-3" is forbidden: exceeded quota: few, requested:'
    " count/vmclonereplicas.vmclone.dev=1, used: count/vmclonereplicas.vmclone.dev=2,"
    " limited: count/vmclonereplicas.vmclone.dev=2"
)
POLICY = (
    "vmclonereplicas.vmclone.dev \"dev-1\" is forbidden: ValidatingAdmissionPolicy 'need-team' with binding"
    " 'need-team' denied request: every object needs the label team"
)
HOOK = (
    'Internal error occurred: failed calling webhook "check.example.test": failed to call webhook: Post'
    ' "https://check.default.svc:443/?timeout=2s": service "check" not found'
)
ENDING = (
    'vmclonereplicas.vmclone.dev "dev-1" is forbidden: unable to create new content in namespace team-a because it'
    " is being terminated"
)


def refuse(sim: Simulation, write: str, error: Exception, *, allowed: int = 0) -> Callable[[], None]:
    """Have the API server refuse a kind of write, once so many replicas are there; return what ends it."""
    inner = sim.cluster.around

    def around(name: str, act: Callable[[], Document]) -> Document:
        if name == write and sum(key.kind is Kind.REPLICA for key in sim.cluster.documents) >= allowed:
            raise error
        return inner(name, act)

    def end() -> None:
        sim.cluster.around = inner

    sim.cluster.around = around
    return end


def events(sim: Simulation, kind: Kind = Kind.VMCLONE) -> list[str]:
    """Return the reasons of the Events about objects of a kind."""
    found = [d for key, d in sim.cluster.documents.items() if key.kind is Kind.EVENT]
    return [d["reason"] for d in found if d["regarding"]["kind"] == kind.kind]


def message(document: Document, kind: str) -> str:
    """Return a condition's message."""
    return str(next(c["message"] for c in document["status"]["conditions"] if c["type"] == kind))


def test_a_quota_for_two_of_four_replicas_leaves_two_ready_and_is_told() -> None:
    sim = begin(FaultSchedule(), replicas=4)
    end = refuse(sim, "create VMCloneReplica", Refused(QUOTA), allowed=2)
    sim.run(300)
    dev = vmclone(sim)
    assert dev["status"]["readyReplicas"] == 2
    assert condition(dev, "Stalled") == ("True", "QuotaExceeded")
    assert condition(dev, "Planned") == ("False", "QuotaExceeded")
    assert condition(dev, "SourceReady") == ("True", "SourceReady")
    assert "exceeded quota: few, requested" in message(dev, "Ready")
    assert "raise the ResourceQuota" in message(dev, "Ready")
    assert dev["status"]["summary"].startswith("2/4 ready: QuotaExceeded, the API server refuses: ")
    assert events(sim).count("QuotaExceeded") == 1
    end()
    wait_ready(sim, 4)
    assert vmclone(sim)["status"]["summary"] == "4/4 ready"


@pytest.mark.parametrize(
    ("error", "reason", "stalled", "remedy"),
    [
        pytest.param(Refused(POLICY), "AdmissionDenied", True, "let objects of the vmclone", id="a policy denies it"),
        pytest.param(HookDown(HOOK), "AdmissionUnavailable", False, "has to be repaired", id="a webhook is down"),
        pytest.param(Refused(ENDING), "NamespaceTerminating", True, "in another one", id="its namespace is deleted"),
        pytest.param(Refused("etcd: too\nlong"), "RequestRefused", True, "etcd: too\\nlong", id="a sentence we miss"),
    ],
)
def test_whatever_refuses_a_replica_is_told_within_a_minute(
    error: Exception, reason: str, stalled: bool, remedy: str
) -> None:
    sim = begin(FaultSchedule(), replicas=1)
    end = refuse(sim, "create VMCloneReplica", error)
    sim.run(60)
    dev = vmclone(sim)
    assert condition(dev, "Ready") == ("False", reason)
    assert condition(dev, "Stalled" if stalled else "Reconciling") == ("True", reason)
    assert remedy in message(dev, "Ready")
    assert events(sim).count(reason) == 1
    end()
    wait_ready(sim, 1)


def test_a_refusal_costs_a_few_requests_a_minute_and_one_event_an_hour() -> None:
    sim = begin(FaultSchedule(), replicas=20)
    asked = []
    inner = sim.cluster.around

    def around(name: str, act: Callable[[], Document]) -> Document:
        if name == "create VMCloneReplica":
            asked.append(sim.clock())
            raise Refused(QUOTA)
        return inner(name, act)

    sim.cluster.around = around
    sim.run(1800)
    assert len(asked) <= 3 * 2 * 31
    assert events(sim) == ["QuotaExceeded"]  # also the one that the story tells of


def test_a_policy_that_refuses_the_status_too_is_told_as_an_event() -> None:
    sim = begin(FaultSchedule(), replicas=1)
    end = refuse(sim, "finalizers VMClone", Refused(POLICY))
    refuse(sim, "status VMClone", Refused(POLICY))
    sim.run(90)
    assert "AdmissionDenied" in events(sim)
    end()
    wait_ready(sim, 1)


def test_a_replica_of_that_name_that_belongs_to_another_uid_is_named_and_left_alone() -> None:
    sim = begin(FaultSchedule(), replicas=2)
    owner: dict[str, Any] = {
        "apiVersion": "vmclone.dev/v1alpha1",
        "kind": "VMClone",
        "name": "dev",
        "uid": "0ddba11-f00d",
        "controller": True,
    }
    restored = {
        "metadata": {"namespace": "team-a", "name": "dev-1", "ownerReferences": [owner]},
        "spec": {"ordinal": 1, "session": "dev-1", "vmCloneUID": "0ddba11-f00d", "backend": "lab"},
    }
    sim.cluster.apply(Kind.REPLICA, restored)
    sim.run(120)
    dev = vmclone(sim)
    assert condition(dev, "Stalled") == ("True", "NameTaken")
    assert "belongs to VMClone dev with uid 0ddba11-f00d" in message(dev, "Ready")
    assert dev["status"]["readyReplicas"] == 1
    sim.cluster.remove(Key(Kind.REPLICA, "team-a", "dev-1"))
    wait_ready(sim, 2)


def test_a_deletion_that_waits_for_a_backend_names_it_on_the_vmclone_with_the_way_out() -> None:
    sim = ready(2)
    away = Fault(kind=FaultKind.FAIL, error=BackendUnreachable("no route to lab"))
    sim.schedule.choose = lambda point: away if point.verb != "kube" else None
    sim.cluster.remove(DEV)
    sim.run(60)
    dev = vmclone(sim)
    assert condition(dev, "Deleting") == ("True", "BackendUnreachable")
    assert "dev-1: no route to lab" in message(dev, "Deleting")
    assert "vmclone.dev/orphan-on-delete=true" in message(dev, "Deleting")
    assert dev["status"]["summary"].startswith("deleting: BackendUnreachable, 2 replicas are being removed; dev-1: ")
    assert events(sim).count("DeletionBlocked") == 1


def test_a_replica_that_somebody_elses_finalizer_keeps_is_named_on_its_vmclone() -> None:
    sim = ready(2)
    key = Key(Kind.REPLICA, "team-a", "dev-2")
    sim.cluster.overwrite(key, lambda d: d["metadata"]["finalizers"].append("backup.example.test/hold"))
    sim.cluster.remove(DEV)
    sim.run(60)
    assert condition(vmclone(sim), "Deleting") == ("True", "HeldBy")
    assert "dev-2 is kept by the finalizer backup.example.test/hold" in message(vmclone(sim), "Deleting")
    assert sim.world.inventory().clones == ()
    sim.cluster.overwrite(key, lambda d: d["metadata"].update(finalizers=[]))
    sim.run(60)
    assert sim.get(Kind.VMCLONE, "dev", "team-a") is None


def test_the_status_column_says_why_for_each_that_needs_a_person() -> None:
    sim = begin(FaultSchedule(), replicas=1)
    change(sim, replicas=1, paused=True)
    sim.cluster.apply(Kind.VMCLONE, manifests.vmclone("lost", replicas=1, source={"name": "nowhere"}))
    sim.cluster.apply(Kind.VMCLONE, manifests.vmclone("asks", replicas=1, plan={"mode": "Manual"}))
    sim.run(60)
    assert vmclone(sim)["status"]["summary"] == "0/1 ready: Paused"
    assert vmclone(sim, "lost")["status"]["summary"].startswith("0/1 ready: SourceNotFound, ")
    assert vmclone(sim, "asks")["status"]["summary"].startswith("0/1 ready: AwaitingApproval, ")


def test_what_a_policy_refuses_a_replica_is_told_on_it_and_on_its_vmclone() -> None:
    sim = begin(FaultSchedule(), replicas=1)
    key = Key(Kind.REPLICA, "team-a", "dev-1")
    sim.run(60, until=lambda: "intent" in ((sim.get(Kind.REPLICA, "dev-1", "team-a") or {}).get("status") or {}))
    sim.cluster.overwrite(key, lambda d: d["metadata"].update(finalizers=[]))  # it is put back, which is refused
    refuse(sim, "finalizers VMCloneReplica", Refused(POLICY))
    sim.run(60)
    assert condition(replica(sim, 1), "Stalled") == ("True", "AdmissionDenied")
    assert condition(vmclone(sim), "Stalled") == ("True", "AdmissionDenied")
    assert events(sim, Kind.REPLICA) == ["AdmissionDenied"]


def hold_back(sim: Simulation, change: Callable[[Document], None], *, pod: bool = True) -> str:
    """Have a copy's pod not start, and without a pod have its Job say so by an Event; return the pod's or Job's uid."""
    run = wait_copying(sim)[0]
    sim.kubelet.copy_seconds = 10_000
    key = next(key for key in sim.cluster.documents if key.kind is Kind.POD)
    if pod:
        sim.cluster.overwrite(key, change)
        return str(sim.cluster.documents[key]["metadata"]["uid"])
    sim.cluster.remove(key)
    return str(sim.cluster.documents[run.key]["metadata"]["uid"])


def test_a_home_copy_whose_pod_a_quota_refuses_is_told_within_a_minute() -> None:
    sim = begin_clean(FaultSchedule(), replicas=1)
    uid = hold_back(sim, lambda _: None, pod=False)
    note = 'Error creating: pods "x" is forbidden: failed quota: compute: must specify limits.cpu for: home-copy'
    event: dict[str, Any] = {"type": "Warning", "reason": "FailedCreate", "note": note, "regarding": {"uid": uid}}
    event["regarding"]["kind"] = "Job"
    sim.cluster.apply(Kind.EVENT, {"metadata": {"name": "e", "namespace": "vmclone-system"}, **event})
    sim.run(60)
    assert condition(vmclone(sim), "Stalled") == ("True", "CopyPodRefused")
    assert "must specify limits.cpu" in message(vmclone(sim), "Ready")
    assert condition(replica(sim, 1), "HomeCopied") == ("False", "CopyPodRefused")
    assert events(sim, Kind.REPLICA).count("CopyPodRefused") == 1


def test_a_home_copy_whose_pod_fits_no_node_is_told_and_goes_on_once_it_does() -> None:
    sim = begin_clean(FaultSchedule(), replicas=1)
    pending = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes: no cpu"}
    hold_back(sim, lambda pod: pod.update(status={"phase": "Pending", "conditions": [pending]}))
    sim.run(60)
    assert condition(vmclone(sim), "Reconciling")[0] == "True"
    assert "0/3 nodes: no cpu" in message(vmclone(sim), "Ready")
    assert events(sim, Kind.REPLICA) == ["CopyPodUnschedulable"]
    sim.kubelet.copy_seconds = 1
    wait_ready(sim, 1)


def test_a_life_is_told_in_at_most_three_events_a_replica() -> None:
    sim = ready(2)
    sim.cluster.remove(DEV)
    sim.run(120)
    assert events(sim) == ["SourceFrozen", "FirstReady", "AllReady"] or events(sim) == ["SourceFrozen", "AllReady"]
    assert len(events(sim)) + len(events(sim, Kind.REPLICA)) <= 3 * 2
