"""Stories of who gets which VM: a restored wish gets its own, and nobody else's; and what that costs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.crash.lives import begin, begin_clean, wait_ready
from tests.support import manifests
from tests.support.restoring import adopted, lose, machines, restore
from tests.support.simulation import Simulation
from tests.support.stories import (
    DEV,
    condition,
    ready,
    ready_clean,
    replica,
    vmclone,
    wipe,
)

from vmclone_operator.domain.backend import Power
from vmclone_operator.domain.naming import clone_uuid
from vmclone_operator.engine.objects.lineage import incarnation_of
from vmclone_operator.kube.cluster import Key, Kind
from vmclone_operator.providers.fake import Fault, FaultKind, FaultSchedule, at_call
from vmclone_operator.providers.fake.state import Machine


def machine_of(sim: Simulation, ordinal: int) -> Machine:
    """Return the VM that a replica has, whoever it was made for."""
    return sim.world.state.machines[clone_uuid(incarnation_of(replica(sim, ordinal)))]


def test_what_a_restored_wish_does_not_want_stays_and_is_reported() -> None:
    sim = ready(3)
    before = machines(sim)
    lose(sim)
    restore(sim, replicas=2)
    wait_ready(sim, 2)
    sim.run(300)
    assert machines(sim) == before
    lab = sim.cluster.documents[Key(Kind.BACKEND, "", "lab")]
    assert [row["ordinal"] for row in lab["status"]["orphans"]] == [3]


def test_who_does_not_want_old_vms_gets_new_ones() -> None:
    sim = ready(2)
    before = machines(sim)
    lose(sim)
    restore(sim, replicas=2, annotations={"vmclone.dev/adopt": "false"})
    wait_ready(sim, 2)
    assert before.items() <= machines(sim).items()
    assert (len(machines(sim)), adopted(sim, 1)) == (4, {})


OTHER_WISHES: dict[str, dict[str, Any]] = {
    "another source": {"source": {"name": "golden-b"}},
    "another name for its sessions": {"sessionPrefix": "work"},
}


@pytest.mark.parametrize("spec", OTHER_WISHES.values(), ids=OTHER_WISHES.keys())
def test_another_wish_of_the_same_name_does_not_get_the_old_vms(spec: dict[str, Any]) -> None:
    sim = ready(1)
    before = machines(sim)
    sim.world.add_source("golden-b")
    sim.cluster.apply(Kind.SOURCE, manifests.source("golden-b", "golden-b"))
    lose(sim)
    restore(sim, replicas=1, **spec)
    wait_ready(sim, 1)
    assert (len(machines(sim)), adopted(sim, 1)) == (2, {})
    assert before.items() <= machines(sim).items()


def test_another_namespaces_wish_of_the_same_name_does_not_get_them() -> None:
    sim = ready(1)
    lose(sim)
    sim.cluster.apply(Kind.VMCLONE, manifests.vmclone("dev", "team-b", replicas=1))
    sim.run(600)
    assert len(machines(sim)) == 2


def test_a_living_owner_is_never_robbed() -> None:
    """A VM that a replica has is nobody else's, whatever a list that was made in between shows."""
    sim = ready(2)
    before = machines(sim)
    sim.cluster.apply(Kind.VMCLONE, manifests.vmclone("other", replicas=1, sessionPrefix="dev"))
    sim.run(600)
    assert machines(sim).items() >= before.items()
    assert all("adopted" not in d["spec"] for key, d in sim.cluster.documents.items() if key.kind is Kind.REPLICA)


def test_nothing_is_made_before_the_backend_could_be_asked() -> None:
    sim = ready(2)
    before = machines(sim)
    lose(sim)
    sim.restart()
    sim.schedule.choose = at_call("list VMs", Fault(kind=FaultKind.FAIL), verb="find_clones", times=5)
    restore(sim, replicas=2)
    wait_ready(sim, 2)
    assert machines(sim) == before


def test_a_plan_says_that_vms_are_adopted_and_waits_for_approval_like_any_other() -> None:
    sim = ready(1)
    before = machines(sim)
    lose(sim)
    restore(sim, replicas=2, plan={"mode": "Manual"})
    sim.run(120)
    plan = vmclone(sim)["status"]["plan"]
    assert [(a["op"], a["replica"]) for a in plan["actions"]] == [("Adopt", "dev"), ("Create", "dev-2")]
    assert machines(sim) == before
    restore(sim, replicas=2, plan={"mode": "Manual"}, annotations={"vmclone.dev/approved-plan": plan["hash"]})
    wait_ready(sim, 2)
    assert (len(machines(sim)), adopted(sim, 1) != {}) == (2, True)


def test_a_replica_that_says_it_adopted_anothers_vm_destroys_nothing() -> None:
    """The admission policy lets nobody write one; where it is switched off, the claim of who has the VM counts."""
    sim = ready(1)
    before, own = machines(sim), replica(sim, 1)
    stolen = {"vmCloneUID": vmclone(sim)["metadata"]["uid"], "incarnation": own["metadata"]["uid"]}
    spec = {"ordinal": 1, "session": "dev", "vmCloneUID": "0" * 8, "backend": "lab", "adopted": stolen}
    meta = {"name": "evil-1", "namespace": "team-b", "finalizers": ["vmclone.dev/teardown"]}
    sim.cluster.apply(Kind.REPLICA, {"metadata": meta, "spec": spec})
    sim.run(30)
    sim.cluster.remove(Key(Kind.REPLICA, "team-b", "evil-1"))
    sim.run(120)
    assert sim.get(Kind.REPLICA, "evil-1", "team-b") is None
    assert machines(sim) == before
    assert condition(vmclone(sim), "Ready") == ("True", "AllReady")


def test_of_two_vms_for_one_place_the_one_with_its_siblings_is_taken() -> None:
    sim = ready(2)
    stamp = machine_of(sim, 1).stamp
    assert stamp is not None
    lose(sim)
    lone = replace(
        stamp,
        vmclone_uid="0" * 8 + "-0000-4000-8000-000000000001",
        incarnation="f" * 8 + "-0000-4000-8000-000000000002",
    )
    twin = sim.world.add_foreign("dev-1-ffffff", machine_uuid=clone_uuid(lone.incarnation), stamp=lone)
    twin.made_from = next(m.made_from for m in sim.world.state.machines.values() if m.stamp == stamp)
    restore(sim, replicas=2)
    wait_ready(sim, 2)
    assert {adopted(sim, ordinal)["vmCloneUID"] for ordinal in (1, 2)} == {stamp.vmclone_uid}
    assert sim.world.effects.foreign_touched == []


def test_many_wishes_share_one_list_of_their_backend() -> None:
    sim = begin(FaultSchedule(record=True), replicas=1)
    for number in range(30):
        sim.cluster.apply(Kind.VMCLONE, manifests.vmclone(f"many-{number}", replicas=1))
    sim.run(20)
    lists = [point for point in sim.schedule.trace if point.verb == "find_clones" and not point.target]
    assert len(lists) == 1
    assert len([key for key in sim.cluster.documents if key.kind is Kind.REPLICA]) == 31


def test_a_settled_wish_asks_for_no_list_when_it_is_looked_at_again() -> None:
    sim = ready(2)
    sim.restart()
    before = sim.schedule.calls
    sim.queue.add(DEV)
    sim.run(20)
    assert condition(vmclone(sim), "Ready") == ("True", "AllReady")
    assert sim.engine.claimable == {}
    assert sim.schedule.calls > before


START: dict[str, Any] = {"sourcePower": "StartForCopy"}


def source_off(sim: Simulation) -> Machine:
    """Switch the source off by hand; return its VM."""
    source = sim.world.find("golden-dev")
    sim.world.set_power_by_hand(source, Power.OFF)
    return source


@pytest.mark.parametrize("spec", [{}, START], ids=["Keep", "StartForCopy"])
def test_a_clean_clone_that_has_its_home_needs_no_source_that_runs(spec: dict[str, Any]) -> None:
    sim = ready_clean(1, **spec)
    source = source_off(sim)
    since = source.powered_at
    lose(sim)
    restore(sim, replicas=1, **spec)
    wait_ready(sim, 1)
    sim.run(120)
    assert (len(sim.kubelet.runs), adopted(sim, 1) != {}) == (1, True)
    assert (source.power, source.powered_at) == (Power.OFF, since)
    assert condition(replica(sim, 1), "HomeCopied") == ("True", "Copied")


def about_to_copy(sim: Simulation) -> bool:
    """Return whether the clone is there, and its home is not."""
    found = sim.get(Kind.REPLICA, "dev-1", "team-a")
    return found is not None and (found.get("status") or {}).get("state") == "Boot"


@pytest.mark.parametrize("how", ["restored", "wiped"])
def test_a_source_that_is_off_is_started_for_a_home_that_is_missing_though_nobody_knows_its_id_any_more(
    how: str,
) -> None:
    sim = begin_clean(FaultSchedule(), replicas=1, **START)
    source = source_off(sim)
    sim.run(900, until=lambda: about_to_copy(sim))
    if how == "restored":
        lose(sim)
        restore(sim, replicas=1, **START)
    else:
        wipe(sim, DEV)
    wait_ready(sim, 1)
    sim.run(120)
    assert (len(sim.kubelet.runs), source.power) == (1, Power.OFF)
    assert sum(sim.world.effects.creates.values()) == 1


@pytest.mark.parametrize("links", ["up", "down"])
def test_a_vm_that_is_delivered_switched_off_is_switched_on_once_to_be_proven(links: str) -> None:
    spec: dict[str, Any] = {"template": {"power": "Off"}}
    sim = ready(1, **spec)
    machine = machine_of(sim, 1)
    machine.connected = links == "up"
    boots = sum(sim.world.effects.boots.values())
    lose(sim)
    restore(sim, replicas=1, **spec)
    wait_ready(sim, 1)  # it looks after every pass whether a clone is up as its source
    sim.restart()
    sim.run(2 * 86400)
    assert sum(sim.world.effects.boots.values()) == boots + 1
    assert (machine.power, machine.connected, machine.guest.resets) == (Power.OFF, True, 1)
