"""Stories of people who change their minds half-way: owners, users and whoever else has a hand on the source."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from tests.crash.lives import begin, begin_clean, wait_ready
from tests.support import manifests
from tests.support.simulation import Simulation
from tests.support.stories import DEV, condition, replica, vmclone

from vmclone_operator.domain.backend import Power
from vmclone_operator.domain.naming import clone_uuid
from vmclone_operator.kube.cluster import Key, Kind
from vmclone_operator.providers.fake import Fault, FaultKind, FaultSchedule, Point
from vmclone_operator.providers.fake.state import Machine


def clone_of(sim: Simulation, ordinal: int = 1) -> Machine:
    """Return the VM of a replica."""
    return sim.world.state.machines[clone_uuid(replica(sim, ordinal)["metadata"]["uid"])]


def is_there(sim: Simulation) -> bool:
    """Return whether the first replica has a VM."""
    document = sim.get(Kind.REPLICA, "dev-1", "team-a")
    return document is not None and clone_uuid(document["metadata"]["uid"]) in sim.world.state.machines


def second_removal_is_refused() -> Callable[[Point], Fault | None]:
    """Let the API server take the first removal of a replica and be too busy for the second."""
    removals = itertools.count(1)

    def choose(point: Point) -> Fault | None:
        busy = point.call == "delete VMCloneReplica" and next(removals) == 2
        return Fault(kind=FaultKind.THROTTLE) if busy else None

    return choose


def test_a_clone_whose_owner_is_gone_before_its_scrub_stays_disconnected() -> None:
    sim = begin(FaultSchedule(), replicas=1)
    sim.run(600, until=lambda: is_there(sim))
    sim.cluster.apply(Kind.SOURCE, manifests.source(allowedNamespaces={"from": "Names", "names": ["team-b"]}))
    sim.run(600)
    assert not clone_of(sim).connected
    assert condition(replica(sim, 1), "Stalled")[0] == "True"
    sim.cluster.apply(Kind.SOURCE, manifests.source())
    wait_ready(sim, 1)


def test_new_replicas_show_the_image_as_it_is_when_they_are_asked_for() -> None:
    sim = begin_clean(FaultSchedule(), replicas=1)
    wait_ready(sim, 1)
    before = vmclone(sim)["status"]["frozenPoints"][0]["fingerprint"]
    sim.world.replace_image("golden")
    sim.cluster.apply(Kind.VMCLONE, manifests.vmclone(replicas=3))
    wait_ready(sim, 3)
    shown = [replica(sim, n)["status"]["clonedFrom"]["fingerprint"] for n in (1, 2, 3)]
    assert shown[0] == before
    assert before not in shown[1:]


def test_a_dry_run_that_is_set_in_mid_freeze_brings_the_frozen_point_to_its_end() -> None:
    sim = begin(FaultSchedule(), replicas=1)
    sim.run(600, until=lambda: bool(points(sim)) and bool(points(sim)[0].get("frozenTime")))
    sim.cluster.apply(Kind.VMCLONE, manifests.vmclone(replicas=1, plan={"mode": "DryRun"}))
    sim.run(600)
    assert all(point.get("completionTime") for point in points(sim))
    assert sim.world.inventory().clones == ()


def test_a_source_that_a_person_starts_again_is_not_stopped_a_second_time() -> None:
    wish: dict[str, Any] = {"sourcePower": "StopForClone", "disk": {"consistency": "PoweredOff"}}
    sim = begin(FaultSchedule(), replicas=1, **wish)
    source = sim.world.find("golden-dev")
    sim.run(600, until=lambda: source.power is Power.OFF)
    sim.run(5, until=lambda: bool((vmclone(sim)["status"].get("sourcePower") or {}).get("reached")))
    sim.world.set_power_by_hand(source, Power.ON)
    sim.run(600)
    assert source.power is Power.ON
    assert condition(vmclone(sim), "Stalled") == ("True", "SourceChanged")


def test_a_vm_stays_when_only_the_live_wish_says_so() -> None:
    sim = begin(FaultSchedule(), replicas=1)
    wait_ready(sim, 1)
    machine = clone_of(sim)
    sim.silence()
    sim.cluster.apply(Kind.VMCLONE, manifests.vmclone(replicas=1, deletion={"onDelete": "Orphan"}))
    sim.cluster.remove(Key(Kind.VMCLONE, "team-a", "dev"))
    sim.cluster.remove(Key(Kind.REPLICA, "team-a", "dev-1"))
    sim.run(900)
    assert machine.uuid in sim.world.state.machines


def points(sim: Simulation) -> list[dict[str, Any]]:
    """Return the frozen points in status."""
    found: list[dict[str, Any]] = vmclone(sim).get("status", {}).get("frozenPoints", [])
    return found


@pytest.mark.parametrize(
    "leaves",
    [
        pytest.param({"spec": {"deletion": {"onDelete": "Orphan"}}}, id="by its policy"),
        pytest.param({"annotations": {"vmclone.dev/orphan-on-delete": "true"}}, id="by an annotation of this moment"),
    ],
)
def test_a_vm_stays_whose_wish_was_read_the_moment_before_it_was_deleted(leaves: dict[str, Any]) -> None:
    spec = leaves.get("spec", {})
    sim = begin(FaultSchedule(), replicas=1, **spec)
    wait_ready(sim, 1)
    delivered = clone_of(sim).name
    sim.cluster.apply(Kind.VMCLONE, manifests.vmclone(replicas=2, **spec))
    sim.run(600, until=lambda: len(sim.world.inventory().clones) == 2)
    sim.schedule.choose = second_removal_is_refused()
    sim.cluster.overwrite(DEV, lambda d: d["metadata"].update(annotations=leaves.get("annotations", {})))
    sim.cluster.remove(DEV)
    sim.run(120)
    assert DEV not in sim.cluster.documents
    assert delivered in {machine.name for machine in sim.world.state.machines.values()}
