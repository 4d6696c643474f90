"""Stories of people who change their mind: another template, fewer replicas, machines that stay, an end."""

from __future__ import annotations

from typing import Any

import pytest
from tests.crash.lives import begin, wait_ready
from tests.support.simulation import Simulation
from tests.support.stories import DEV, change, condition, ready, replica, sessions, vmclone

from vmclone_operator.domain.backend import Power
from vmclone_operator.domain.naming import clone_uuid
from vmclone_operator.domain.source_values import Shape
from vmclone_operator.kube.cluster import Key, Kind
from vmclone_operator.providers.fake import Fault, FaultKind, FaultSchedule
from vmclone_operator.providers.fake.state import GIB, Machine

BIGGER = {"cpus": 4, "memory": "8Gi", "networks": ["lan", "storage"]}
RECREATE = {"rollout": {"update": "Recreate"}}
ORPHAN: dict[str, Any] = {"deletion": {"onDelete": "Orphan", "onScaleDown": "Orphan"}}


def uids(sim: Simulation, count: int) -> list[str]:
    """Return the incarnations of the first replicas."""
    return [replica(sim, ordinal)["metadata"]["uid"] for ordinal in range(1, count + 1)]


def machine(sim: Simulation, ordinal: int = 1) -> Machine:
    """Return the VM of a replica."""
    return sim.world.state.machines[clone_uuid(replica(sim, ordinal)["metadata"]["uid"])]


def annotate(sim: Simulation, key: Key, **annotations: str) -> None:
    """Set annotations of ours, as a user would."""
    ours = {f"vmclone.dev/{name.replace('_', '-')}": value for name, value in annotations.items()}
    sim.cluster.overwrite(key, lambda d: d["metadata"].update(annotations=ours))


def test_a_clone_has_the_shape_that_its_template_says() -> None:
    sim = ready(1, template=BIGGER)
    assert machine(sim).shape == Shape(cpus=4, memory_bytes=8 * GIB, networks=("lan", "storage"))


def test_labels_of_the_template_reach_replicas_and_a_change_of_them_remakes_nothing() -> None:
    sim = ready(1, template={"labels": {"example.com/team": "a"}}, **RECREATE)
    before = uids(sim, 1)
    change(sim, replicas=1, template={"labels": {"example.com/team": "b"}}, **RECREATE)
    sim.run(60)
    labels = replica(sim, 1)["metadata"]["labels"]
    assert (labels["example.com/team"], labels["vmclone.dev/ordinal"]) == ("b", "1")
    assert uids(sim, 1) == before


def test_a_clone_delivered_off_got_its_identity_and_never_was_on_the_network() -> None:
    sim = ready(1, template={"power": "Off"})
    made = machine(sim)
    assert (made.power, made.connected, made.guest.machine_id) == (Power.OFF, True, made.machine_id)
    assert "addresses" not in replica(sim, 1)["status"]["guest"]
    assert made.machine_id not in sim.world.state.leases
    writes = len(sim.cluster.writes)
    sim.run(24 * 3600)
    assert len(sim.cluster.writes) == writes
    assert list(sim.world.effects.boots.values()) == [1]


def test_a_clone_delivered_off_stays_as_people_switch_it() -> None:
    sim = ready(1, template={"power": "Off"})
    sim.world.set_power_by_hand(machine(sim), Power.ON)
    sim.run(600)
    assert machine(sim).power is Power.ON
    assert condition(vmclone(sim), "Ready") == ("True", "AllReady")
    sim.world.set_power_by_hand(machine(sim), Power.OFF)
    sim.run(600)
    assert machine(sim).power is Power.OFF


def test_a_changed_template_touches_no_clone_until_its_replica_is_deleted() -> None:
    sim = ready(2)
    before = uids(sim, 2)
    change(sim, replicas=2, template=BIGGER)
    sim.run(300)
    status = vmclone(sim)["status"]
    assert uids(sim, 2) == before
    assert (status.get("updatedReplicas", 0), status["summary"]) == (0, "2/2 ready, 2 of an older template")
    sim.cluster.remove(Key(Kind.REPLICA, "team-a", "dev-2"))
    sim.run(5)
    wait_ready(sim, 2)
    assert (machine(sim, 1).cpus, machine(sim, 2).cpus) == (1, 4)
    assert vmclone(sim)["status"]["updatedReplicas"] == 1


def test_a_replica_of_an_older_template_is_finished_as_it_was_begun() -> None:
    sim = begin(FaultSchedule(), replicas=1)
    sim.run(3)
    change(sim, replicas=1, template={"power": "Off"})
    wait_ready(sim, 1)
    assert machine(sim).power is Power.ON


@pytest.mark.parametrize("most", [1, 2])
def test_recreate_replaces_all_and_keeps_the_rest_ready(most: int) -> None:
    sim = ready(3)
    before = uids(sim, 3)
    change(sim, replicas=3, template=BIGGER, rollout={"update": "Recreate", "maxUnavailable": most})
    fewest = 3

    def rolled_out() -> bool:
        nonlocal fewest
        fewest = min(fewest, sum(m.stamp is not None and m.connected for m in sim.world.state.machines.values()))
        wish = vmclone(sim)
        seen = wish["status"]["observedGeneration"] == wish["metadata"]["generation"]
        return seen and condition(wish, "Ready") == ("True", "AllReady")

    sim.run(3600, until=rolled_out)
    assert rolled_out()
    assert not {*before} & {*uids(sim, 3)}
    assert (fewest, len(sim.world.inventory().clones)) == (3 - most, 3)
    assert sessions(sim) == ["dev-1", "dev-2", "dev-3"]


def test_a_template_change_under_recreate_is_not_ready_before_it_has_begun() -> None:
    """`kubectl wait` right after `kubectl apply` must not see the clones of yesterday as those of today."""
    sim = ready(2)
    change(sim, replicas=2, template=BIGGER, **RECREATE)
    generation = vmclone(sim)["metadata"]["generation"]
    sim.run(60, until=lambda: vmclone(sim)["status"]["observedGeneration"] == generation)
    assert condition(vmclone(sim), "Ready") == ("False", "Progressing")


def test_a_template_that_does_not_work_stops_after_the_first() -> None:
    sim = ready(3)
    before = uids(sim, 3)
    golden = next(m for m in sim.world.state.machines.values() if m.name == "golden-dev")
    golden.has_agent = False
    change(sim, replicas=3, template=BIGGER, rollout={"update": "Recreate"}, disk={"consistency": "CrashConsistent"})
    for image in sim.world.state.images.values():
        image.has_agent = False
    sim.run(7200)
    assert uids(sim, 3)[:2] == before[:2]
    assert condition(replica(sim, 3), "Stalled") == ("True", "GuestAgentMissing")
    assert vmclone(sim)["status"]["readyReplicas"] == 2


def test_a_paused_vmclone_replaces_nothing() -> None:
    sim = ready(2)
    before = uids(sim, 2)
    change(sim, replicas=2, template=BIGGER, paused=True, **RECREATE)
    sim.run(600)
    assert uids(sim, 2) == before
    assert condition(vmclone(sim), "Stalled") == ("True", "Paused")


def test_the_marked_replica_goes_and_its_number_is_filled_again() -> None:
    sim = ready(3)
    annotate(sim, Key(Kind.REPLICA, "team-a", "dev-2"), remove="true")
    change(sim, replicas=2, rollout={"scaleDown": "Marked"})
    wait_ready(sim, 2)
    assert sessions(sim) == ["dev-1", "dev-3"]
    change(sim, replicas=3)
    wait_ready(sim, 3)
    assert sessions(sim) == ["dev-1", "dev-2", "dev-3"]


def test_the_newest_replica_goes_first_where_that_is_wished() -> None:
    sim = ready(2)
    sim.cluster.remove(Key(Kind.REPLICA, "team-a", "dev-1"))
    sim.run(5)
    wait_ready(sim, 2)
    change(sim, replicas=1, rollout={"scaleDown": "Newest"})
    wait_ready(sim, 1)
    assert sessions(sim) == ["dev-2"]


def test_an_orphan_stays_with_its_disks_and_is_nobodys() -> None:
    sim = ready(2, **ORPHAN)
    left = machine(sim, 2)
    change(sim, replicas=1, **ORPHAN)
    wait_ready(sim, 1)
    assert (left.stamp, left.power, left.uuid in sim.world.state.machines) == (None, Power.ON, True)
    sim.cluster.remove(DEV)
    sim.run(120)
    assert sim.get(Kind.VMCLONE, "dev", "team-a") is None
    assert all(name in sim.world.state.volumes for name in left.volumes)
    assert all(v.backing in sim.world.state.volumes for v in sim.world.state.volumes.values() if v.backing)
    assert sim.world.effects.foreign_touched == []
    events = [d["note"] for key, d in sim.cluster.documents.items() if key.kind is Kind.EVENT]
    assert sum("is nobody's from now on" in note for note in events) == 2
    assert any("a frozen point stays" in note for note in events)


def test_a_rebuild_is_no_scale_down_and_leaves_no_orphan() -> None:
    sim = ready(2, **ORPHAN)
    sim.cluster.remove(Key(Kind.REPLICA, "team-a", "dev-1"))
    sim.run(5)
    wait_ready(sim, 2)
    assert len([m for m in sim.world.state.machines.values() if m.name.startswith("dev")]) == 2


def test_nobody_who_writes_labels_makes_a_vm_outlive_its_replica() -> None:
    """Users may delete VMCloneReplicas and write their labels; what stays is written where only the operator writes."""
    sim = ready(2)
    key, made = Key(Kind.REPLICA, "team-a", "dev-2"), machine(sim, 2).uuid
    sim.cluster.overwrite(key, lambda d: d["metadata"]["labels"].update({"vmclone.dev/left-behind": "true"}))
    sim.cluster.remove(key)
    sim.run(5)
    wait_ready(sim, 2)
    assert made not in sim.world.state.machines


def test_a_label_that_is_lost_costs_no_vm_that_was_to_stay() -> None:
    sim = ready(2, **ORPHAN)
    left = machine(sim, 2)
    change(sim, replicas=1, **ORPHAN)
    key = Key(Kind.REPLICA, "team-a", "dev-2")
    sim.run(60, until=lambda: "deletionTimestamp" in sim.cluster.documents[key]["metadata"])
    sim.cluster.overwrite(key, lambda d: d["metadata"].update(labels={}))
    wait_ready(sim, 1)
    assert (left.stamp, left.uuid in sim.world.state.machines) == (None, True)
    sim.run(120)
    assert "leftBehind" not in vmclone(sim)["status"]


def test_a_scale_down_that_is_taken_back_leaves_no_orphan_later() -> None:
    sim = ready(2, **ORPHAN)
    kept = machine(sim, 2)
    sim.schedule.choose = lambda point: Fault(kind=FaultKind.FAIL) if point.call == "delete VMCloneReplica" else None
    change(sim, replicas=1, **ORPHAN)
    sim.run(30, until=lambda: "leftBehind" in vmclone(sim)["status"])
    assert [row["ordinal"] for row in vmclone(sim)["status"]["leftBehind"]] == [2]
    change(sim, replicas=2, **ORPHAN)
    sim.schedule.choose = lambda _: None
    wait_ready(sim, 2)
    sim.cluster.remove(Key(Kind.REPLICA, "team-a", "dev-2"))
    sim.run(5)
    wait_ready(sim, 2)
    assert kept.uuid not in sim.world.state.machines


def test_a_clone_that_never_was_delivered_is_no_orphan() -> None:
    """Its disk holds the source's secrets still."""
    sim = begin(FaultSchedule(), replicas=1, **ORPHAN)
    sim.run(30, until=lambda: bool(sim.world.inventory().clones))
    sim.cluster.remove(DEV)
    sim.run(120)
    assert sim.get(Kind.VMCLONE, "dev", "team-a") is None
    assert (sim.world.inventory().clones, sim.world.inventory().files) == ((), ())


def test_a_namespace_that_goes_leaves_its_orphans_whichever_object_it_removes_first() -> None:
    sim = ready(1, **ORPHAN)
    left = machine(sim)
    sim.cluster.apply(Kind.NAMESPACE, {"metadata": {"name": "team-a", "namespace": ""}})
    gone = {"deletionTimestamp": "2026-01-01T01:00:00Z", "finalizers": ["kubernetes"]}
    sim.cluster.overwrite(Key(Kind.NAMESPACE, "", "team-a"), lambda d: d["metadata"].update(gone))
    sim.cluster.remove(Key(Kind.REPLICA, "team-a", "dev-1"))
    sim.run(2)
    sim.cluster.remove(DEV)
    sim.run(120)
    assert (left.stamp, left.uuid in sim.world.state.machines) == (None, True)


def test_clones_expire_after_a_warning_and_the_wish_stays() -> None:
    sim = ready(2, expireAfter="10h")
    sim.run(8 * 3600)
    assert not warnings_of_end(sim)
    sim.run(5400)
    assert (len(warnings_of_end(sim)), len(sim.world.inventory().clones)) == (1, 2)
    sim.run(3600)
    assert sim.world.inventory().clones == ()
    assert condition(vmclone(sim), "Ready") == condition(vmclone(sim), "Expired") == ("True", "Expired")
    assert (vmclone(sim)["status"]["summary"], vmclone(sim)["spec"]["replicas"]) == ("expired", 2)
    change(sim, replicas=2)
    wait_ready(sim, 2)
    assert condition(vmclone(sim), "Expired")[0] == "absent"


def warnings_of_end(sim: Simulation) -> list[str]:
    """Return the notes that say when the clones go."""
    events = [d for key, d in sim.cluster.documents.items() if key.kind is Kind.EVENT]
    return [d["note"] for d in events if d["reason"] == "ExpiresSoon"]
