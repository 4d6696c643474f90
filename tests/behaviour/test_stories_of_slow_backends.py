"""Stories of backends that are slow and far away: what was claimed is written first, and looks have their price."""

from __future__ import annotations

from typing import Any

import pytest
from tests.crash.lives import begin, wait_ready
from tests.support.simulation import Simulation
from tests.support.stories import DEV, replica, vmclone

from vmclone_operator.domain.errors import QuiesceFailed
from vmclone_operator.providers.fake import Fault, FaultKind, FaultSchedule, Point, at_call
from vmclone_operator.providers.fake.profiles import AZURE, PROXMOX, Profile

FREEZE_READS, VM_READS, READS_A_MINUTE = 30, 25, 9


def remote(profile: Profile, schedule: FaultSchedule | None = None, *, replicas: int = 1, **spec: Any) -> Simulation:
    """Begin a VMClone on another kind of backend."""
    sim = begin(schedule or FaultSchedule(record=True), replicas=replicas, **spec)
    sim.world.become(profile)
    return sim


def point_of(sim: Simulation) -> dict[str, Any]:
    points = (vmclone(sim).get("status") or {}).get("frozenPoints") or [{}]
    return dict(points[0])


def test_what_a_backend_claims_is_in_the_ledger_before_it_writes() -> None:
    """The id of a VM that is to be made would be lost with the operator, and the VM never be found again."""
    handles: dict[str, str] = {}

    def choose(point: Point) -> Fault | None:
        if point.verb == "freeze" and point.writes:
            handles.setdefault("freeze", str(point_of(sim).get("handle", "")))
        if point.verb == "start_clone" and point.writes:
            handles.setdefault("start_clone", str(replica(sim, 1)["status"]["intent"].get("handle", "")))
        return None

    sim = remote(PROXMOX, FaultSchedule(choose))
    wait_ready(sim, 1)
    assert handles == {"freeze": "9101", "start_clone": "9102"}


def test_an_id_that_a_stranger_was_faster_to_take_is_given_up_for_another() -> None:
    sim = remote(PROXMOX)
    sim.run(600, until=lambda: point_of(sim).get("handle") == "9101")
    sim.world.ids.take("9101", "a stranger")
    wait_ready(sim, 1)
    assert point_of(sim)["handle"].split()[0] == "9102"
    assert sim.world.ids.holders["9101"] == "a stranger"


def test_the_point_in_time_is_when_the_backend_says_that_it_was_taken() -> None:
    """A mirror shows its source as it is at the end of the copy, five minutes after the call."""
    sim = remote(PROXMOX)
    sim.run(100)
    assert "frozenTime" not in point_of(sim)
    assert point_of(sim)["handle"] == "9101 begun"
    wait_ready(sim, 1)
    point = point_of(sim)
    assert point["frozenTime"] == point["completionTime"]
    assert point["consistency"] == "Quiesced"


def test_a_long_freeze_is_not_thawed_by_the_passes_that_follow_it() -> None:
    """The backend freezes by itself when its copy ends: a thaw of ours would make the copy worthless."""
    sim = remote(PROXMOX)
    wait_ready(sim, 1)
    begun = next(n for n, point in enumerate(sim.schedule.trace) if point.verb == "freeze")
    assert not [point for point in sim.schedule.trace[begun:] if point.verb == "thaw"]


def test_a_freeze_of_five_minutes_costs_few_looks() -> None:
    sim = remote(PROXMOX, replicas=3)
    wait_ready(sim, 3)
    assert sim.world.reads.verbs["freeze"] <= FREEZE_READS
    for ordinal in (1, 2, 3):
        looks = sim.world.reads.times[replica(sim, ordinal)["metadata"]["uid"]]
        assert len(looks) <= VM_READS, f"replica {ordinal}"


def test_a_backend_that_counts_its_reads_is_never_asked_too_often() -> None:
    """Azure answers 12 reads a minute for each VM."""
    sim = remote(AZURE, replicas=3)
    wait_ready(sim, 3)
    for ordinal in (1, 2, 3):
        vm = replica(sim, ordinal)["metadata"]["uid"]
        assert len(sim.world.reads.times[vm]) <= VM_READS, f"replica {ordinal}"
        assert sim.world.reads.most_in_a_minute(vm) <= READS_A_MINUTE, f"replica {ordinal}"


def test_an_operator_killed_anywhere_in_a_freeze_of_many_steps_leaves_one_frozen_point() -> None:
    """The claim, the copy and the point in time are each found again by the handle in status."""
    for kind in (FaultKind.KILL_BEFORE, FaultKind.KILL_AFTER):
        for call in ("create base", "fsfreeze", "backup-begin", "thaw"):
            sim = remote(PROXMOX, FaultSchedule(at_call(call, Fault(kind=kind), verb="freeze"), record=True))
            wait_ready(sim, 1)
            assert sim.kills == 1, f"{kind} at {call}"
            assert len(sim.world.inventory().frozen_points) == 1, f"{kind} at {call}"
            assert sim.world.longest_freeze_seconds <= 5, f"{kind} at {call}"


@pytest.mark.parametrize("handle", ["9101", "9101 begun"], ids=["an id is claimed", "the copy runs"])
def test_a_vmclone_that_is_deleted_in_the_middle_of_its_freeze_leaves_nothing(handle: str) -> None:
    """A VM in the making may not bear our mark yet: what the ledger has a handle of is removed by it."""
    sim = remote(PROXMOX)
    sim.run(600, until=lambda: point_of(sim).get("handle") == handle)
    sim.cluster.remove(DEV)
    sim.run(600)
    assert sim.get(DEV.kind, DEV.name, DEV.namespace) is None
    assert (sim.world.inventory().files, sim.world.inventory().frozen_points) == ((), ())


def test_the_last_error_of_a_long_freeze_is_told_and_the_next_one_has_another_id() -> None:
    """Whether a guest was held still is known at the end of the copy only."""
    sim = remote(PROXMOX, retry={"backoff": "10s"})
    sim.run(100)
    late = Fault(kind=FaultKind.FAIL, error=QuiesceFailed("the guest's file systems were not frozen"))
    sim.schedule.choose = at_call("look up files", late, verb="freeze")
    sim.run(300, until=lambda: "retry" in vmclone(sim)["status"])
    assert vmclone(sim)["status"]["retry"]["reason"] == "QuiesceFailed"
    wait_ready(sim, 1)
    assert len(sim.world.inventory().frozen_points) == 1
