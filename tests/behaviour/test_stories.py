"""Stories of users and admins, told to the whole engine over a simulated hypervisor and API server."""

from __future__ import annotations

from tests.crash.lives import begin, wait_ready
from tests.support import manifests
from tests.support.restoring import machines
from tests.support.simulation import Simulation
from tests.support.stories import DEV, change, condition, named, ready, replica, sessions, vmclone, wipe

from vmclone_operator.domain.backend import Power
from vmclone_operator.domain.naming import clone_uuid
from vmclone_operator.kube.cluster import Key, Kind
from vmclone_operator.providers.fake import Fault, FaultKind, FaultSchedule


def test_one_to_three_to_one_keeps_the_first_session_and_its_vm() -> None:
    sim = ready(1)
    first = replica(sim, 1)["metadata"]["uid"]
    change(sim, replicas=3)
    wait_ready(sim, 3)
    assert sessions(sim) == ["dev", "dev-2", "dev-3"]
    change(sim, replicas=1)
    wait_ready(sim, 1)
    assert sessions(sim) == ["dev"]
    assert replica(sim, 1)["metadata"]["uid"] == first
    assert len(sim.world.inventory().clones) == 1


def test_scale_up_clones_from_the_newest_point_and_does_not_touch_the_source_again() -> None:
    sim = ready(1)
    change(sim, replicas=3)
    wait_ready(sim, 3)
    assert sum(sim.world.effects.copies.values()) == 1
    assert len(vmclone(sim)["status"]["frozenPoints"]) == 1


def test_a_clone_deleted_by_hand_comes_back_as_another_vm() -> None:
    sim = ready(2)
    old = replica(sim, 2)["metadata"]["uid"]
    sim.world.remove_by_hand(sim.world.state.machines[clone_uuid(old)])
    sim.run(300)
    wait_ready(sim, 2)
    fresh = replica(sim, 2)
    assert fresh["metadata"]["uid"] != old
    assert fresh["status"]["intent"]["uuid"] != clone_uuid(old)
    assert fresh["spec"]["session"] == "dev-2"


def test_deleting_a_replica_object_rebuilds_that_replica() -> None:
    sim = ready(2)
    old = replica(sim, 1)["metadata"]["uid"]
    sim.cluster.remove(Key(Kind.REPLICA, "team-a", "dev-1"))
    sim.run(300)
    wait_ready(sim, 2)
    assert replica(sim, 1)["metadata"]["uid"] != old
    assert len(sim.world.inventory().clones) == 2


def test_a_foreign_vm_under_our_name_is_left_alone_and_said_so() -> None:
    sim = begin(FaultSchedule(), replicas=1)
    sim.run(60, until=lambda: "intent" in (sim.get(Kind.REPLICA, "dev-1", "team-a") or {}).get("status", {}))
    name = replica(sim, 1)["status"]["intent"]["vmName"]
    foreign = sim.world.add_foreign(name)
    sim.run(300)
    assert condition(replica(sim, 1), "Stalled") == ("True", "TargetConflict")
    assert condition(vmclone(sim), "Stalled") == ("True", "TargetConflict")
    assert sim.world.effects.foreign_touched == []
    sim.world.remove_by_hand(foreign)
    wait_ready(sim, 1)


def test_a_source_granted_later_is_cloned_within_seconds() -> None:
    sim = Simulation(FaultSchedule())
    sim.world.add_source("golden-dev")
    sim.cluster.apply(Kind.BACKEND, manifests.backend())
    sim.cluster.apply(Kind.SOURCE, manifests.source(allowedNamespaces={"from": "Names", "names": ["other"]}))
    sim.cluster.apply(Kind.VMCLONE, manifests.vmclone(replicas=1))
    sim.run(100)
    assert condition(vmclone(sim), "Stalled") == ("True", "SourceNotGranted")
    assert sim.world.effects.writes == 0
    sim.cluster.apply(Kind.SOURCE, manifests.source())
    sim.run(5)
    assert condition(vmclone(sim), "Reconciling")[0] == "True"
    wait_ready(sim, 1)


def test_a_revoked_grant_keeps_the_clones_and_makes_no_more() -> None:
    sim = ready(1)
    sim.cluster.apply(Kind.SOURCE, manifests.source(allowedNamespaces={"from": "Names", "names": ["other"]}))
    sim.run(30)
    assert condition(vmclone(sim), "Ready") == ("True", "AllReady")
    assert condition(vmclone(sim), "SourceReady") == ("False", "SourceNotGranted")
    change(sim, replicas=3)
    sim.run(300)
    assert condition(vmclone(sim), "Stalled") == ("True", "SourceNotGranted")
    assert len(sim.world.inventory().clones) == 1


def test_an_unknown_source_names_only_what_this_namespace_may_use() -> None:
    sim = Simulation(FaultSchedule())
    sim.cluster.apply(Kind.SOURCE, manifests.source("usable"))
    sim.cluster.apply(Kind.SOURCE, manifests.source("secret", allowedNamespaces={"from": "Names", "names": ["other"]}))
    sim.cluster.apply(Kind.VMCLONE, manifests.vmclone(replicas=1))
    sim.run(60)
    told = next(c for c in vmclone(sim)["status"]["conditions"] if c["type"] == "Stalled")
    assert told["reason"] == "SourceNotFound"
    assert "usable" in told["message"]
    assert "secret" not in told["message"]


def test_paused_begins_nothing_and_goes_on_when_lifted() -> None:
    sim = ready(1)
    change(sim, replicas=3, paused=True)
    sim.run(200)
    assert condition(vmclone(sim), "Stalled") == ("True", "Paused")
    assert len(sim.world.inventory().clones) == 1
    change(sim, replicas=3)
    wait_ready(sim, 3)
    assert condition(vmclone(sim), "Paused")[0] == "absent"


def test_paused_never_blocks_deletion() -> None:
    sim = ready(2)
    change(sim, replicas=2, paused=True)
    sim.run(30)
    sim.cluster.remove(DEV)
    sim.run(60)
    assert sim.get(Kind.VMCLONE, "dev", "team-a") is None
    assert sim.world.inventory().files == ()


def test_the_second_of_two_vmclones_with_one_session_waits_and_names_the_first() -> None:
    sim = ready(2)
    sim.cluster.apply(Kind.VMCLONE, manifests.vmclone("late", replicas=2, sessionPrefix="dev"))
    sim.run(120)
    told = next(c for c in vmclone(sim, "late")["status"]["conditions"] if c["type"] == "Stalled")
    assert told["reason"] == "SessionConflict"
    assert "VMClone dev" in told["message"]
    assert len(sim.world.inventory().clones) == 2


def test_two_vmclones_of_one_source_freeze_it_one_after_the_other() -> None:
    sim = begin(FaultSchedule(), replicas=1)
    sim.cluster.apply(Kind.VMCLONE, manifests.vmclone("second", "team-b", replicas=1))
    wait_ready(sim, 1)
    sim.run(120)
    assert condition(vmclone(sim, "second", "team-b"), "Ready")[0] == "True"
    assert sim.world.longest_freeze_seconds <= 5
    assert len(sim.world.inventory().frozen_points) == 2


def test_status_finalizers_and_labels_wiped_are_rebuilt_without_a_new_vm() -> None:
    sim = ready(2)
    made = dict(sim.world.effects.creates)

    for key in (DEV, Key(Kind.REPLICA, "team-a", "dev-1"), Key(Kind.REPLICA, "team-a", "dev-2")):
        wipe(sim, key, finalizers=[], labels={})
    sim.run(30)
    assert vmclone(sim)["status"]["readyReplicas"] == 2
    assert sim.world.effects.creates == made
    assert all(replica(sim, n)["metadata"]["finalizers"] == ["vmclone.dev/teardown"] for n in (1, 2))
    assert vmclone(sim)["metadata"]["finalizers"] == ["vmclone.dev/teardown"]
    assert replica(sim, 1)["metadata"]["labels"]["vmclone.dev/vmclone"] == "dev"
    assert named(sim) == sorted(machines(sim).values())


def test_a_backend_that_is_away_destroys_nothing_and_is_caught_up_with_in_a_minute() -> None:
    sim = ready(2)
    away = Fault(kind=FaultKind.FAIL)
    sim.schedule.choose = lambda point: away if point.verb != "kube" else None
    change(sim, replicas=3)
    sim.run(600)
    assert len(sim.world.inventory().clones) == 2
    sim.schedule.choose = lambda _: None
    back = sim.clock()
    wait_ready(sim, 3)
    assert sim.clock() - back <= 60 + 30 + 40  # a minute, a boot, and wait_ready's own rest


def test_deletion_of_a_vmclone_whose_backend_is_away_says_the_way_out() -> None:
    sim = ready(1)
    sim.schedule.choose = lambda point: Fault(kind=FaultKind.FAIL) if point.verb != "kube" else None
    sim.cluster.remove(DEV)
    sim.run(120)
    told = next(c for c in replica(sim, 1)["status"]["conditions"] if c["type"] == "Deleting")
    assert told["reason"] == "BackendUnreachable"
    assert "vmclone.dev/orphan-on-delete" in told["message"]
    wish = vmclone(sim)
    wish["metadata"]["annotations"] = {"vmclone.dev/orphan-on-delete": "true"}
    sim.cluster.apply(Kind.VMCLONE, wish)
    sim.run(120)
    assert sim.get(Kind.VMCLONE, "dev", "team-a") is None
    assert any(d["reason"] == "Orphaned" for key, d in sim.cluster.documents.items() if key.kind is Kind.EVENT)


def test_a_replica_that_no_vmclone_made_is_ignored() -> None:
    sim = ready(1)
    spec = {"ordinal": 9, "session": "x", "vmCloneUID": vmclone(sim)["metadata"]["uid"], "backend": "lab"}
    sim.cluster.apply(Kind.REPLICA, {"metadata": {"name": "dev-9", "namespace": "team-a"}, "spec": spec})
    sim.run(120)
    assert replica(sim, 9)["status"] == {"observedGeneration": -1}
    assert len(sim.world.inventory().clones) == 1


def test_a_clone_switched_off_by_hand_is_switched_on_again() -> None:
    sim = ready(1)
    machine = sim.world.state.machines[clone_uuid(replica(sim, 1)["metadata"]["uid"])]
    sim.world.set_power_by_hand(machine, Power.OFF)
    sim.run(120)
    assert machine.power is Power.ON
    wait_ready(sim, 1)


def test_settled_means_no_write_and_no_pass_that_changes_anything() -> None:
    sim = ready(3)
    before = len(sim.cluster.writes)
    sim.run(24 * 3600)
    assert sim.cluster.writes[before:] == []


def test_a_replica_costs_at_most_twelve_writes_and_three_events_in_its_life() -> None:
    sim = ready(3)
    sim.cluster.remove(DEV)
    sim.run(60)
    for ordinal in (1, 2, 3):
        assert sim.cluster.writes.count(f"VMCloneReplica/dev-{ordinal}") <= 12
    events = [d for key, d in sim.cluster.documents.items() if key.kind is Kind.EVENT]
    assert len(events) <= 9


def test_no_pass_spins_while_it_waits_for_what_was_just_written() -> None:
    """A live read remembered for a second must not outlive our own write: 200 passes a life once came of it."""
    sim = ready(2)
    assert sim.passes <= 80
