"""Stories of wishes that a backup tool brought back: they find their VMs by stamp, and take nobody else's."""

from __future__ import annotations

from typing import Any

import pytest
from tests.crash.lives import begin, wait_ready
from tests.support import manifests
from tests.support.restoring import adopted, lose, machines, restore
from tests.support.simulation import Simulation
from tests.support.stories import (
    DEV,
    change,
    condition,
    copying,
    leftovers,
    named,
    ready,
    ready_clean,
    replica,
    sessions,
    vmclone,
)

from vmclone_operator.domain.backend import Power
from vmclone_operator.domain.naming import clone_uuid
from vmclone_operator.engine.objects.lineage import incarnation_of
from vmclone_operator.kube.cluster import Document, Key, Kind
from vmclone_operator.providers.fake import FaultSchedule
from vmclone_operator.providers.fake.state import Machine


def events(sim: Simulation, reason: str) -> list[Document]:
    return [d for key, d in sim.cluster.documents.items() if key.kind is Kind.EVENT and d["reason"] == reason]


def machine_of(sim: Simulation, ordinal: int) -> Machine:
    """Return the VM that a replica has, whoever it was made for."""
    return sim.world.state.machines[clone_uuid(incarnation_of(replica(sim, ordinal)))]


def restored(replicas: int = 3, **spec: Any) -> Simulation:
    """Return an operator whose VMClone was lost when it was ready, and restored."""
    sim = ready(replicas, **spec)
    lose(sim)
    restore(sim, replicas=replicas, **spec)
    return sim


def gone(sim: Simulation) -> bool:
    """Return whether nothing of ours is left at the hypervisor."""
    found = sim.world.inventory()
    return (found.clones, found.files, found.frozen_points) == ((), (), ())


@pytest.mark.parametrize("running", [True, False], ids=["a running operator", "one that was down"])
def test_a_restored_wish_finds_its_three_vms_and_makes_none(running: bool) -> None:
    sim = ready(3)
    before, effects, old = machines(sim), sim.world.effects, vmclone(sim)["metadata"]["uid"]
    lose(sim)
    restore(sim, replicas=3)
    if not running:
        sim.restart()
    wait_ready(sim, 3)
    assert machines(sim) == before
    assert (sum(effects.creates.values()), sum(effects.boots.values()), sum(effects.copies.values())) == (3, 3, 1)
    assert {adopted(sim, ordinal)["vmCloneUID"] for ordinal in (1, 2, 3)} == {old}
    assert condition(vmclone(sim), "Ready") == ("True", "AllReady")
    assert sessions(sim) == ["dev-1", "dev-2", "dev-3"]
    assert named(sim) == sorted(before.values())


def test_both_objects_tell_which_vm_was_found() -> None:
    sim = restored(1)
    wait_ready(sim, 1)
    told = events(sim, "Adopted")
    assert sorted(d["regarding"]["kind"] for d in told) == ["VMClone", "VMCloneReplica"]
    assert all(machine_of(sim, 1).name in d["note"] for d in told)
    assert not sim.world.state.machines[clone_uuid(replica(sim, 1)["spec"]["adopted"]["incarnation"])].foreign


def test_sessions_are_what_they_were_although_nobody_recorded_them_any_more() -> None:
    sim = ready(1)
    change(sim, replicas=3)
    wait_ready(sim, 3)
    before = machines(sim)
    lose(sim)
    restore(sim, replicas=3)
    wait_ready(sim, 3)
    assert (sessions(sim), machines(sim)) == (["dev", "dev-2", "dev-3"], before)


def test_a_paused_wish_remembers_the_sessions_and_finds_its_vms_when_the_pause_ends() -> None:
    sim = ready(1)
    lose(sim)
    restore(sim, replicas=3, paused=True)
    sim.run(120)
    change(sim, replicas=3, paused=False)
    wait_ready(sim, 3)
    assert (sessions(sim), sum(sim.world.effects.creates.values())) == (["dev", "dev-2", "dev-3"], 3)


def test_a_clean_clones_home_is_not_copied_a_second_time() -> None:
    sim = ready_clean(2)
    copies = len(sim.kubelet.runs)
    lose(sim)
    restore(sim, replicas=2)
    wait_ready(sim, 2)
    assert (copies, len(sim.kubelet.runs), sum(sim.world.effects.creates.values())) == (2, 2, 2)
    assert condition(replica(sim, 1), "HomeCopied") == ("True", "Copied")
    assert leftovers(sim) == []


def test_a_home_copy_that_ran_when_the_objects_were_lost_is_gone_on_with() -> None:
    sim = copying(1)
    lose(sim)
    sim.run(60)
    restore(sim, replicas=1)
    wait_ready(sim, 1)
    assert sum(sim.world.effects.creates.values()) == 1
    assert len(sim.kubelet.runs) == 1
    assert leftovers(sim) == []


def test_a_clone_that_was_not_finished_is_finished_under_the_restored_wish() -> None:
    sim = begin(FaultSchedule(), replicas=2)
    sim.run(600, until=lambda: any(m.power is Power.ON and m.stamp for m in sim.world.state.machines.values()))
    before = machines(sim)
    assert len(before) >= 1
    lose(sim)
    restore(sim, replicas=2)
    wait_ready(sim, 2)
    assert before.items() <= machines(sim).items()
    assert all("own_identity=True" in line for line in sim.world.inventory().clones)
    sim.cluster.remove(DEV)
    sim.run(300)
    assert gone(sim)


@pytest.mark.parametrize("copy", ["Linked", "Full"])
def test_deleting_a_restored_wish_leaves_nothing_behind_not_even_the_old_frozen_point(copy: str) -> None:
    sim = restored(2, disk={"copy": copy})
    wait_ready(sim, 2)
    sim.cluster.remove(DEV)
    sim.run(300)
    assert sim.get(Kind.VMCLONE, "dev", "team-a") is None
    assert gone(sim)
    assert sim.world.effects.foreign_touched == []


def test_scaling_down_keeps_the_old_frozen_point_until_the_last_that_stands_on_it_goes() -> None:
    sim = restored(2)
    wait_ready(sim, 2)
    change(sim, replicas=1)
    wait_ready(sim, 1)
    assert len(sim.world.inventory().frozen_points) == 1
    sim.cluster.remove(Key(Kind.REPLICA, "team-a", "dev-1"))
    sim.run(120)
    wait_ready(sim, 1)
    assert adopted(sim, 1) == {}
    assert len(sim.world.inventory().frozen_points) == 1
    sim.cluster.remove(DEV)
    sim.run(300)
    assert gone(sim)


def test_a_restored_wish_for_more_makes_what_is_missing_and_no_more() -> None:
    sim = ready(2)
    before = machines(sim)
    lose(sim)
    restore(sim, replicas=3)
    wait_ready(sim, 3)
    assert before.items() <= machines(sim).items()
    assert len(machines(sim)) == 3
    assert (adopted(sim, 3), sum(sim.world.effects.creates.values())) == ({}, 3)


def test_a_vm_that_is_gone_when_its_replica_goes_on_with_it_is_made_anew() -> None:
    sim = ready(2)
    taken = machine_of(sim, 2)
    lose(sim)
    restore(sim, replicas=2)
    sim.run(600, until=lambda: Key(Kind.REPLICA, "team-a", "dev-2") in sim.cluster.documents)
    sim.world.remove_by_hand(taken)
    wait_ready(sim, 2)
    assert (adopted(sim, 2), adopted(sim, 1) != {}) == ({}, True)
    assert sum(sim.world.effects.creates.values()) == 3


def test_a_source_is_not_frozen_for_a_wish_that_has_its_vms() -> None:
    sim = restored(2)
    wait_ready(sim, 2)
    sim.run(3600)
    assert sum(sim.world.effects.copies.values()) == 1
    assert "frozenPoints" not in vmclone(sim)["status"]


def test_finalizers_that_are_wiped_from_adopted_replicas_come_back() -> None:
    sim = restored(1)
    wait_ready(sim, 1)
    sim.cluster.overwrite(Key(Kind.REPLICA, "team-a", "dev-1"), lambda d: d["metadata"].update(finalizers=[]))
    sim.run(60)
    assert replica(sim, 1)["metadata"]["finalizers"] == ["vmclone.dev/teardown"]


def test_restored_twice_it_finds_old_and_newer_vms_alike() -> None:
    sim = restored(2)
    wait_ready(sim, 2)
    sim.cluster.remove(Key(Kind.REPLICA, "team-a", "dev-2"))
    sim.run(30)
    wait_ready(sim, 2)
    before = machines(sim)
    lose(sim)
    restore(sim, replicas=2)
    wait_ready(sim, 2)
    assert machines(sim) == before
    assert adopted(sim, 1)["vmCloneUID"] != adopted(sim, 2)["vmCloneUID"]
    sim.cluster.remove(DEV)
    sim.run(300)
    assert gone(sim)


def test_a_clone_of_a_session_is_found_once_its_source_is_ready_again() -> None:
    sim = ready(2)
    sim.cluster.apply(Kind.SOURCE, manifests.source(cloneOfClones=True))
    second: dict[str, Any] = {"source": {"session": "dev-2"}, "replicas": 1}
    sim.cluster.apply(Kind.VMCLONE, manifests.vmclone("second", **second))
    sim.run(600)
    before = machines(sim)
    assert len(before) == 3
    lose(sim)
    restore(sim, "second", **second)
    sim.run(60)
    restore(sim, replicas=2)
    wait_ready(sim, 2)
    sim.run(300)
    assert machines(sim) == before
    assert condition(vmclone(sim, "second"), "Ready") == ("True", "AllReady")
    assert adopted(sim, 1, "second") != {}


def test_an_operator_that_heard_nothing_of_the_loss_finds_the_vms_all_the_same() -> None:
    """Its cache still has the old replicas, which claim the VMs: what counts is whose they are now."""
    sim = ready(2)
    before = machines(sim)
    sim.silence()
    lose(sim)
    restore(sim, replicas=2)
    sim.hear_again(listed=True)
    wait_ready(sim, 2)
    assert machines(sim) == before
    sim.run(300)
    assert sim.engine.claimable["lab"].clones == ()


def test_a_clone_that_people_work_in_is_not_scrubbed_again_although_the_rules_have_changed() -> None:
    sim = ready(1)
    guest = machine_of(sim, 1).guest
    resets, guest.secrets = guest.resets, 3  # theirs, by now
    sim.cluster.apply(Kind.SOURCE, manifests.source(scrub={"paths": ["/srv/app/secret"]}))
    lose(sim)
    restore(sim, replicas=1)
    wait_ready(sim, 1)
    assert (guest.resets, guest.secrets, adopted(sim, 1) != {}) == (resets, 3, True)
