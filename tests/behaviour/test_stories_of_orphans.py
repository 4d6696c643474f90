"""Stories of VMs and files that belonged to nobody when the sweeper looked, while their owners may yet come back."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.crash.lives import wait_ready
from tests.support.restoring import adopted, lose, machines, restore
from tests.support.simulation import Simulation
from tests.support.stories import DEV, condition, reads, ready, replica

from vmclone_operator.domain import naming
from vmclone_operator.domain.naming import clone_uuid
from vmclone_operator.kube.cluster import Document, Key, Kind
from vmclone_operator.providers.fake import Fault, FaultKind, at_call
from vmclone_operator.providers.fake.state import Machine

LAB = Key(Kind.BACKEND, "", "lab")


def machine(sim: Simulation, ordinal: int) -> Machine:
    return sim.world.state.machines[clone_uuid(replica(sim, ordinal)["metadata"]["uid"])]


def told(sim: Simulation) -> list[str]:
    """Return the ids of what the CloneBackend says belongs to nobody."""
    return [row["externalID"] for row in sim.cluster.documents[LAB]["status"].get("orphans", [])]


def name_for_removal(sim: Simulation, *names: str) -> None:
    annotations = {"vmclone.dev/remove-orphans": ",".join(names)}
    sim.cluster.overwrite(LAB, lambda d: d["metadata"].update(annotations=annotations))


def ids(document: Document) -> tuple[str, str]:
    """Return what a replica's VM, or else its files, are named by."""
    uid = document["metadata"]["uid"]
    return clone_uuid(uid), naming.volume_prefix("instance-1", uid).rstrip("-")


def claimed(sim: Simulation, old: Document) -> Callable[[], None]:
    """Return what makes a replica that adopts another one's VM, and lets the operator hear of it at once."""
    uids = {"vmCloneUID": old["spec"]["vmCloneUID"], "incarnation": old["metadata"]["uid"]}
    spec = {"ordinal": 2, "session": "dev-2", "vmCloneUID": "0" * 8, "backend": "lab", "adopted": uids}
    meta = {"name": "dev-2", "namespace": "team-a"}

    def claim() -> None:
        sim.cluster.apply(Kind.REPLICA, {"metadata": meta, "spec": spec})
        sim.hear_again(listed=True)

    return claim


@pytest.mark.parametrize("has_vm", [True, False], ids=["VMs", "files without a VM"])
def test_what_found_an_owner_while_others_were_removed_is_not_removed(has_vm: bool) -> None:
    sim = ready(2)
    both, files = [replica(sim, 1), replica(sim, 2)], dict(sim.world.state.volumes)
    for one in () if has_vm else [machine(sim, 1), machine(sim, 2)]:
        sim.world.pool.remove(one)
    lose(sim)
    sim.run(180)
    first, other = told(sim)
    (second,) = [document for document in both if other in ids(document)]
    claim = Fault(kind=FaultKind.MEANWHILE, meanwhile=claimed(sim, second))
    sim.schedule.choose = at_call("delete volume", claim, verb="delete_clone")
    name_for_removal(sim, first, other)
    sim.run(180)
    assert len(sim.schedule.struck) == 1
    assert (clone_uuid(second["metadata"]["uid"]) in sim.world.state.machines) is has_vm
    gone = files.keys() - sim.world.state.volumes.keys()
    assert gone
    assert not [name for name in gone if ids(second)[1] in name]
    assert told(sim) == []


def test_drift_is_found_although_the_sweep_fails_every_time() -> None:
    sim = ready(2)
    sim.schedule.choose = at_call("list files", Fault(kind=FaultKind.FAIL), verb="find_leftovers", times=1000)
    machine(sim, 1).cpus = 8  # nothing says so
    sim.run(180)
    assert condition(replica(sim, 1), "Drifted") == ("True", "Reconfigured")


def test_what_was_found_last_stays_told_while_the_sweep_fails() -> None:
    sim = ready(1)
    lose(sim)
    sim.run(180)
    before = told(sim)
    sim.schedule.choose = at_call("list files", Fault(kind=FaultKind.FAIL), verb="find_leftovers", times=1000)
    sim.run(600)
    assert before
    assert told(sim) == before


def test_an_orphan_that_nobody_decides_on_costs_the_api_server_nothing() -> None:
    sim = ready(1)
    lose(sim)
    sim.run(180)
    assert told(sim)
    left = reads(sim, 1800)
    name_for_removal(sim, *told(sim))
    sim.run(180)
    assert told(sim) == []
    assert left == reads(sim, 1800)


def test_an_orphan_that_has_an_owner_again_is_told_no_longer() -> None:
    sim = ready(2)
    before = machines(sim)
    lose(sim)
    sim.run(180)
    assert sorted(told(sim)) == sorted(before)
    restore(sim, replicas=2)
    wait_ready(sim, 2)
    sim.run(120)
    assert (machines(sim), told(sim)) == (before, [])
    assert condition(sim.cluster.documents[LAB], "OrphansFound")[0] == "absent"


def test_who_was_named_once_and_found_an_owner_is_not_removed_when_he_is_left_behind_later() -> None:
    sim = ready(1)
    lose(sim)
    sim.run(180)
    (named,) = told(sim)
    restore(sim, replicas=1)
    wait_ready(sim, 1)
    name_for_removal(sim, named)
    sim.run(180)
    assert adopted(sim, 1)
    sim.cluster.overwrite(DEV, lambda d: d["metadata"].update(annotations={"vmclone.dev/orphan-on-delete": "true"}))
    sim.cluster.remove(DEV)
    sim.run(600)
    assert told(sim) == [named]
    name_for_removal(sim)
    sim.run(120)
    name_for_removal(sim, named)
    sim.run(180)
    assert (told(sim), named in sim.world.state.machines) == ([], False)
