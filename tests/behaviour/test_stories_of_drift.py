"""Stories of clones that somebody changed, took, or left behind: told to people, never destroyed unasked."""

from __future__ import annotations

from dataclasses import replace

from tests.crash.lives import begin, wait_ready
from tests.support import manifests
from tests.support.simulation import Simulation
from tests.support.stories import DEV, condition, ready, replica, vmclone

from vmclone_operator.domain.naming import clone_uuid, vm_name
from vmclone_operator.kube.cluster import Document, Key, Kind
from vmclone_operator.providers.fake import FaultSchedule
from vmclone_operator.providers.fake.state import Machine

LAB = Key(Kind.BACKEND, "", "lab")


def machine(sim: Simulation, ordinal: int) -> Machine:
    return sim.world.state.machines[clone_uuid(replica(sim, ordinal)["metadata"]["uid"])]


def backend(sim: Simulation) -> Document:
    found = sim.get(Kind.BACKEND, "lab")
    assert found is not None
    return found


def annotate(sim: Simulation, key: Key, name: str, value: str) -> None:
    sim.cluster.overwrite(key, lambda d: d["metadata"].update(annotations={f"vmclone.dev/{name}": value}))


def events(sim: Simulation, reason: str) -> list[Document]:
    return [d for key, d in sim.cluster.documents.items() if key.kind is Kind.EVENT and d["reason"] == reason]


def left_behind(sim: Simulation) -> Machine:
    """Give a VMClone up, as its message says one can; its VM and frozen point stay, with our stamp."""
    kept = machine(sim, 1)
    annotate(sim, DEV, "orphan-on-delete", "true")
    sim.cluster.remove(DEV)
    sim.run(30)
    assert sim.get(Kind.VMCLONE, "dev", "team-a") is None
    return kept


def test_a_reconfigured_clone_is_reported_and_stays_ready() -> None:
    sim = ready(2)
    sim.world.reconfigure_by_hand(machine(sim, 1), cpus=8, memory_bytes=4 * 1024**3)
    sim.run(120)
    assert condition(replica(sim, 1), "Drifted") == ("True", "Reconfigured")
    assert condition(vmclone(sim), "Drifted") == ("True", "Reconfigured")
    assert condition(vmclone(sim), "Ready") == ("True", "AllReady")
    told = next(c for c in vmclone(sim)["status"]["conditions"] if c["type"] == "Drifted")
    assert "1 CPU became 8; 1024 MiB of memory became 4096 MiB" in told["message"]
    assert len(events(sim, "Reconfigured")) == 1


def test_a_clone_that_is_put_back_as_it_was_is_no_longer_drifted() -> None:
    sim = ready(1)
    sim.world.reconfigure_by_hand(machine(sim, 1), networks=("other",))
    sim.run(120)
    assert condition(replica(sim, 1), "Drifted") == ("True", "Reconfigured")
    sim.world.reconfigure_by_hand(machine(sim, 1), networks=("default",))
    sim.run(120)
    assert condition(replica(sim, 1), "Drifted")[0] == "absent"
    assert condition(vmclone(sim), "Drifted")[0] == "absent"


def test_with_action_recreate_reconfigured_clones_are_made_anew_one_at_a_time() -> None:
    sim = ready(3)
    old = {replica(sim, n)["metadata"]["uid"] for n in (1, 2, 3)}
    sim.cluster.apply(Kind.BACKEND, manifests.backend(drift={"action": "Recreate"}))
    for ordinal in (1, 2):
        sim.world.reconfigure_by_hand(machine(sim, ordinal), cpus=8)
    fewest = 3

    def rebuilt() -> bool:
        nonlocal fewest
        fewest = min(fewest, vmclone(sim)["status"]["readyReplicas"])
        return condition(vmclone(sim), "Drifted")[0] == "absent" and vmclone(sim)["status"]["readyReplicas"] == 3

    sim.run(5)
    sim.run(900, until=rebuilt)
    new = {replica(sim, n)["metadata"]["uid"] for n in (1, 2, 3)}
    assert fewest == 2
    assert len(old & new) == 1
    assert all(machine(sim, n).cpus == 1 for n in (1, 2, 3))


def test_a_clone_that_lost_its_stamp_is_left_alone_and_said_so() -> None:
    sim = ready(1)
    taken = machine(sim, 1)
    stamp, taken.stamp, taken.foreign = taken.stamp, None, True
    sim.run(300)
    assert condition(replica(sim, 1), "Drifted") == ("True", "Foreign")
    assert condition(vmclone(sim), "Stalled") == ("True", "Foreign")
    assert sim.world.effects.foreign_touched == []
    taken.stamp, taken.foreign = stamp, False
    wait_ready(sim, 1)
    assert condition(vmclone(sim), "Drifted")[0] == "absent"
    assert sum(sim.world.effects.creates.values()) == 1


def test_a_lost_event_about_drift_is_found_by_the_comparison() -> None:
    sim = ready(1)
    sim.cluster.apply(Kind.BACKEND, manifests.backend(drift={"interval": "30s"}))
    sim.run(5)
    machine(sim, 1).cpus = 8
    sim.run(120)
    assert condition(replica(sim, 1), "Drifted") == ("True", "Reconfigured")


def test_an_orphan_is_reported_within_five_minutes_and_not_touched() -> None:
    sim = ready(1)
    kept = left_behind(sim)
    sim.run(300)
    assert condition(backend(sim), "OrphansFound") == ("True", "OrphansFound")
    row = {"kind": "VM", "name": kept.name, "externalID": kept.uuid, "vmclone": "team-a/dev", "ordinal": 1}
    assert backend(sim)["status"]["orphans"] == [row]
    assert len(events(sim, "OrphansFound")) == 1
    assert condition(backend(sim), "Ready") == ("True", "Reachable")
    sim.run(3600)
    assert kept.uuid in sim.world.state.machines
    assert len(events(sim, "OrphansFound")) == 1


def test_an_orphan_goes_when_an_administrator_names_it_and_nothing_else_does() -> None:
    sim = begin(FaultSchedule(), replicas=1)
    sim.cluster.apply(Kind.VMCLONE, manifests.vmclone("other", replicas=1))
    wait_ready(sim, 1)
    sim.run(120)
    other = next(m for m in sim.world.state.machines.values() if m.stamp and m.stamp.vmclone == "other")
    kept = left_behind(sim)
    sim.run(120)
    annotate(sim, LAB, "remove-orphans", f" {kept.uuid},{other.uuid}, golden-dev")
    sim.run(120)
    assert kept.uuid not in sim.world.state.machines
    assert other.uuid in sim.world.state.machines
    assert condition(backend(sim), "OrphansFound")[0] == "absent"
    assert "orphans" not in backend(sim)["status"]
    assert len(sim.world.inventory().frozen_points) == 1
    assert sim.world.effects.foreign_touched == []


def test_another_installations_vms_are_nobodys_orphans() -> None:
    sim = ready(1)
    stamp = machine(sim, 1).stamp
    assert stamp is not None
    theirs = replace(stamp, instance="instance-2", incarnation="11111111-0000-4000-8000-000000000001")
    sim.world.add_foreign("theirs", machine_uuid=clone_uuid(theirs.incarnation), stamp=theirs)
    sim.run(600)
    assert condition(backend(sim), "OrphansFound")[0] == "absent"


def test_a_forged_status_makes_nothing_foreign_go() -> None:
    """Names are computed again before a removal: what status says of names and ids is for people."""
    sim = ready(1)
    victim = sim.world.add_foreign("victim")

    def forge(document: Document) -> None:
        document["status"]["externalID"] = victim.uuid
        document["status"]["intent"].update(uuid=victim.uuid, vmName="victim", token="0" * 8)
        document["status"]["clonedFrom"] = {"frozenPoint": "golden-dev", "fingerprint": ""}

    sim.cluster.overwrite(Key(Kind.REPLICA, "team-a", "dev-1"), forge)
    sim.cluster.remove(DEV)
    sim.run(120)
    assert sim.get(Kind.VMCLONE, "dev", "team-a") is None
    assert victim.uuid in sim.world.state.machines
    assert sim.world.effects.foreign_touched == []
    assert (sim.world.inventory().clones, sim.world.inventory().files) == ((), ())


def test_a_replica_that_claims_anothers_vmclone_uid_destroys_nothing_of_it() -> None:
    sim = ready(1)
    spec = {"ordinal": 9, "session": "dev", "vmCloneUID": vmclone(sim)["metadata"]["uid"], "backend": "lab"}
    meta = {"name": "evil-9", "namespace": "team-b", "finalizers": ["vmclone.dev/teardown"]}
    forged = {"metadata": meta, "spec": spec}
    sim.cluster.apply(Kind.REPLICA, forged)
    sim.run(30)
    sim.cluster.remove(Key(Kind.REPLICA, "team-b", "evil-9"))
    sim.run(120)
    assert sim.get(Kind.REPLICA, "evil-9", "team-b") is None
    assert machine(sim, 1).name == vm_name("dev", replica(sim, 1)["metadata"]["uid"])
    assert condition(vmclone(sim), "Ready") == ("True", "AllReady")


def test_every_replica_has_its_full_look_once_a_day_and_a_new_address_is_noticed() -> None:
    sim = ready(2)
    before = replica(sim, 1)["status"]["guest"]["addresses"]
    sim.world.state.leases[machine(sim, 1).guest.machine_id] = "10.9.9.9"
    writes = len(sim.cluster.writes)
    sim.run(25 * 3600)
    assert before != ["10.9.9.9"] == replica(sim, 1)["status"]["guest"]["addresses"]
    assert len(sim.cluster.writes) - writes <= 4


def test_back_off_counts_of_deleted_keys_do_not_stay() -> None:
    sim = ready(2)
    sim.queue.failures.update({DEV: 3, Key(Kind.REPLICA, "team-a", "dev-1"): 5})
    sim.cluster.remove(DEV)
    sim.run(120)
    assert sim.get(Kind.VMCLONE, "dev", "team-a") is None
    assert not {key for key in sim.queue.failures if key.kind in {Kind.VMCLONE, Kind.REPLICA}}
    assert not sim.engine.thorough
