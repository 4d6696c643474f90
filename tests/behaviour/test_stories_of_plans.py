"""Stories of plans: told before anything is changed, approved or only looked at."""

from __future__ import annotations

from typing import Any

import pytest
from tests.crash.lives import begin, begin_clean, wait_ready
from tests.support import manifests
from tests.support.simulation import Simulation
from tests.support.stories import DEV, change, condition, ready, replica, sessions, vmclone

from vmclone_operator.domain.backend import Capabilities
from vmclone_operator.domain.naming import clone_uuid
from vmclone_operator.kube.cluster import Key, Kind
from vmclone_operator.providers.fake import Fault, FaultKind, FaultSchedule

DRY_RUN = {"mode": "DryRun"}
MANUAL = {"mode": "Manual"}
GIB = 1 << 30


def plan(sim: Simulation) -> dict[str, Any]:
    """Return the plan as status tells it."""
    told: dict[str, Any] = vmclone(sim)["status"].get("plan", {})
    return told


def steps(sim: Simulation) -> list[tuple[str, str, str]]:
    """Return the plan's actions."""
    return [(a["op"], a["replica"], a["why"]) for a in plan(sim).get("actions", [])]


def approve(sim: Simulation, **spec: Any) -> None:
    """Approve the plan that is told now."""
    document = manifests.vmclone(plan=MANUAL, **spec)
    document["metadata"]["annotations"] = {"vmclone.dev/approved-plan": plan(sim)["hash"]}
    sim.cluster.apply(Kind.VMCLONE, document)


def test_a_dry_run_tells_what_would_be_done_and_makes_nothing() -> None:
    sim = begin(FaultSchedule(), replicas=3, plan=DRY_RUN)
    sim.run(600)
    assert condition(vmclone(sim), "Ready") == ("True", "DryRun")
    assert condition(vmclone(sim), "Planned") == ("True", "Planned")
    assert steps(sim) == [("Create", f"dev-{n}", "ScaleUp") for n in (1, 2, 3)]
    assert plan(sim)["estimate"] == {"bytes": GIB + 3 * (64 << 20), "seconds": 66}
    assert sim.world.effects.writes == 0
    assert not any(key.kind is Kind.REPLICA for key in sim.cluster.documents)
    assert not vmclone(sim)["metadata"].get("finalizers")


def test_a_settled_dry_run_writes_nothing_and_keeps_its_hash() -> None:
    sim = begin(FaultSchedule(), replicas=3, plan=DRY_RUN)
    sim.run(120)
    before, told = len(sim.cluster.writes), plan(sim)["hash"]
    sim.run(24 * 3600)
    sim.restart()
    sim.run(600)
    assert sim.cluster.writes[before:] == []
    assert plan(sim)["hash"] == told


def test_a_dry_run_finds_everything_that_speaks_against_it_at_once() -> None:
    sim = begin(FaultSchedule(), replicas=2, plan=DRY_RUN, disk={"copy": "Linked", "pool": "nowhere"})
    sim.world.capabilities = Capabilities(linked=False)
    sim.world.find("golden-dev").has_agent = False
    sim.run(120)
    assert condition(vmclone(sim), "Ready") == ("True", "DryRun")
    assert condition(vmclone(sim), "Planned") == ("False", "Blocked")
    found = " ".join(plan(sim)["blockers"])
    assert all(word in found for word in ("copy: Linked", "no storage pool nowhere", "no guest agent"))


def test_a_dry_run_that_is_meant_after_all_is_carried_out() -> None:
    sim = begin(FaultSchedule(), replicas=2, plan=DRY_RUN)
    sim.run(120)
    change(sim, replicas=2)
    wait_ready(sim, 2)
    assert condition(vmclone(sim), "Ready") == ("True", "AllReady")
    assert steps(sim) == []


def test_a_dry_run_over_clones_that_exist_touches_none_of_them() -> None:
    sim = ready(3)
    change(sim, replicas=1, plan=DRY_RUN)
    sim.run(300)
    assert steps(sim) == [("Delete", "dev-3", "ScaleDown"), ("Delete", "dev-2", "ScaleDown")]
    assert len(sim.world.inventory().clones) == 3
    change(sim, replicas=5, plan=DRY_RUN)
    sim.run(300)
    assert [action[1] for action in steps(sim)] == ["dev-4", "dev-5"]
    assert len(sim.world.inventory().clones) == 3


def test_full_copies_are_estimated_with_all_their_bytes() -> None:
    sim = begin(FaultSchedule(), replicas=4, plan=DRY_RUN, disk={"copy": "Full"}, rollout={"maxInFlight": 2})
    sim.run(60)
    assert plan(sim)["estimate"] == {"bytes": 5 * GIB, "seconds": 5 * GIB // (200 << 20) + 2 * 60}


def test_a_manual_plan_waits_for_the_annotation_with_its_hash() -> None:
    sim = begin(FaultSchedule(), replicas=2, plan=MANUAL)
    sim.run(300)
    assert condition(vmclone(sim), "Ready") == ("False", "AwaitingApproval")
    assert condition(vmclone(sim), "Reconciling") == ("True", "AwaitingApproval")
    assert condition(vmclone(sim), "Planned") == ("False", "AwaitingApproval")
    assert sim.world.effects.writes == 0
    approve(sim, replicas=2)
    wait_ready(sim, 2)
    assert condition(vmclone(sim), "Planned") == ("True", "Planned")


def test_an_approval_is_of_one_plan_and_of_no_other() -> None:
    sim = begin(FaultSchedule(), replicas=1, plan=MANUAL)
    sim.run(60)
    approve(sim, replicas=1)
    wait_ready(sim, 1)
    change(sim, replicas=2, plan=MANUAL)
    sim.run(300)
    assert condition(vmclone(sim), "Ready") == ("False", "AwaitingApproval")
    assert steps(sim) == [("Create", "dev-2", "ScaleUp")]
    change(sim, replicas=0, plan=MANUAL)
    sim.run(300)
    assert steps(sim) == [("Delete", "dev", "ScaleDown")]
    assert len(sim.world.inventory().clones) == 1
    approve(sim, replicas=0)
    sim.run(300)
    assert sim.world.inventory().clones == ()


def test_an_approved_plan_is_finished_after_a_restart_without_another_word() -> None:
    sim = begin(FaultSchedule(), replicas=3, plan=MANUAL)
    sim.run(60)
    approve(sim, replicas=3)
    sim.run(600, until=lambda: sum(key.kind is Kind.REPLICA for key in sim.cluster.documents) == 1)
    sim.restart()
    wait_ready(sim, 3)


def test_an_old_approval_does_not_cover_another_template() -> None:
    sim = begin(FaultSchedule(), replicas=1, plan=MANUAL)
    sim.run(60)
    old = plan(sim)["hash"]
    document = manifests.vmclone(replicas=1, plan=MANUAL, template={"cpus": 8})
    document["metadata"]["annotations"] = {"vmclone.dev/approved-plan": old}
    sim.cluster.apply(Kind.VMCLONE, document)
    sim.run(300)
    assert condition(vmclone(sim), "Ready") == ("False", "AwaitingApproval")
    assert plan(sim)["hash"] != old


def test_a_whole_replacement_is_approved_once() -> None:
    sim = ready(3)
    wish = {"replicas": 3, "template": {"cpus": 4}, "rollout": {"update": "Recreate"}}
    change(sim, plan=MANUAL, **wish)
    sim.run(300)
    assert {action[0:2] for action in steps(sim)} == {
        (op, f"dev-{n}") for op in ("Create", "Delete") for n in (1, 2, 3)
    }
    approve(sim, **wish)
    sim.run(900)
    assert condition(vmclone(sim), "Ready") == ("True", "AllReady")
    assert vmclone(sim)["status"]["updatedReplicas"] == 3


def test_a_manual_clone_that_was_deleted_by_hand_waits_for_approval() -> None:
    sim = begin(FaultSchedule(), replicas=1, plan=MANUAL)
    sim.run(60)
    approve(sim, replicas=1)
    wait_ready(sim, 1)
    sim.world.remove_by_hand(sim.world.state.machines[clone_uuid(replica(sim, 1)["metadata"]["uid"])])
    sim.run(300)
    assert steps(sim) == [("Delete", "dev", "Missing"), ("Create", "dev", "Missing")]
    assert sim.world.inventory().clones == ()
    approve(sim, replicas=1)
    sim.run(300)
    wait_ready(sim, 1)


def test_deletion_needs_no_approval() -> None:
    sim = begin(FaultSchedule(), replicas=1, plan=MANUAL)
    sim.run(60)
    sim.cluster.remove(DEV)
    sim.run(60)
    assert sim.get(Kind.VMCLONE, "dev", "team-a") is None


def test_a_plan_in_mode_auto_is_told_while_it_is_carried_out() -> None:
    sim = begin(FaultSchedule(), replicas=2)
    sim.run(600, until=lambda: bool(plan(sim)))
    assert steps(sim) == [("Create", "dev-1", "ScaleUp"), ("Create", "dev-2", "ScaleUp")]
    wait_ready(sim, 2)
    assert sessions(sim) == ["dev-1", "dev-2"]
    assert plan(sim) == {}


def test_a_secret_that_cannot_be_read_is_found_before_anything_is_made() -> None:
    sim = begin_clean(FaultSchedule(), replicas=1, template={"cloudInit": {"secretRef": {"name": "more"}}})
    sim.run(120)
    assert condition(vmclone(sim), "Planned") == ("False", "SecretNotReadable")
    assert sim.world.effects.writes == 0


def test_a_quota_speaks_against_the_plan_and_not_against_the_source() -> None:
    sim = begin(FaultSchedule(), replicas=1)
    sim.cluster.apply(Kind.SOURCE, manifests.source(limits={"maxClones": 0}))
    sim.run(60)
    assert condition(vmclone(sim), "Planned") == ("False", "QuotaExceeded")
    assert condition(vmclone(sim), "SourceReady") == ("True", "SourceReady")
    assert condition(vmclone(sim), "Stalled") == ("True", "QuotaExceeded")


def test_a_scale_down_is_not_held_up_by_a_backend_that_is_away() -> None:
    sim = ready(3)
    sim.schedule.choose = lambda point: Fault(kind=FaultKind.FAIL) if point.verb != "kube" else None
    change(sim, replicas=1)
    sim.run(30)
    going = [sim.get(Kind.REPLICA, f"dev-{n}", "team-a") or {"metadata": {}} for n in (2, 3)]
    assert all("deletionTimestamp" in document["metadata"] for document in going)


def test_room_that_is_missing_for_more_keeps_what_is_there() -> None:
    sim = ready(1)
    sim.world.pool.capacity_bytes = 3 * GIB
    change(sim, replicas=5, disk={"copy": "Full"})
    sim.run(300)
    assert condition(vmclone(sim), "Planned") == ("False", "InsufficientSpace")
    assert sim.get(Kind.REPLICA, "dev-2", "team-a") is None
    assert len(sim.world.inventory().clones) == 1
    assert Key(Kind.REPLICA, "team-a", "dev-1") in sim.cluster.documents


def crowded(**spec: Any) -> Simulation:
    """Return an operator whose clones do not fit, at a pool whose room moves by itself."""
    sim = begin(FaultSchedule(), replicas=2, **spec)
    sim.world.pool.capacity_bytes = GIB // 2
    sim.run(120)
    return sim


def use_room(sim: Simulation) -> None:
    """Let others write to the pool, and the source's guest to its disk."""
    pool, disk = sim.world.pool, sim.world.find("golden-dev").disks[0]
    pool.capacity_bytes, disk.allocated_bytes = (pool.capacity_bytes or 0) - 4096, disk.allocated_bytes + 4096


@pytest.mark.parametrize("mode", ["Auto", "Manual", "DryRun"])
def test_room_that_moves_by_itself_is_written_every_five_minutes_at_most(mode: str) -> None:
    sim = crowded(plan={"mode": mode})
    assert condition(vmclone(sim), "Planned") == ("False", "InsufficientSpace")
    writes, told = len(sim.cluster.writes), plan(sim)["blockers"]
    for _ in range(60):
        use_room(sim)
        sim.cluster.overwrite(DEV, lambda d: d["metadata"].update(annotations={"example.com/tick": str(sim.clock())}))
        sim.run(30)
    asked = sum(name == "VMClone/dev" for name in sim.cluster.writes[writes:]) - 60
    assert asked <= 6
    assert plan(sim)["blockers"] != told


def test_a_blocked_plan_whose_figures_stand_still_costs_no_write() -> None:
    sim = crowded()
    writes = len(sim.cluster.writes)
    sim.run(3600)
    assert len(sim.cluster.writes) == writes


def test_news_are_written_at_once_whatever_the_figures_do() -> None:
    sim = crowded()
    use_room(sim)
    change(sim, replicas=1)
    sim.run(5)
    assert [action[1] for action in steps(sim)] == ["dev-1"]


def blocked_beside_another() -> Simulation:
    """Return an operator with a VMClone `dev` that is ready, and `ops`, for whose full copies there is no room."""
    sim = ready(2, disk={"copy": "Full"})
    pool = sim.world.pool
    pool.capacity_bytes = 100 * GIB
    pool.capacity_bytes -= pool.free_bytes() - GIB  # what is taken now, and one GiB
    sim.cluster.apply(Kind.VMCLONE, manifests.vmclone("ops", replicas=1, disk={"copy": "Full"}))
    sim.run(400)
    assert condition(vmclone(sim, "ops"), "Planned") == ("False", "InsufficientSpace")
    return sim


def passes_of(sim: Simulation, name: str, seconds: float) -> int:
    """Return how many passes of a VMClone there are while nothing happens."""
    passes, key = 0, Key(Kind.VMCLONE, "team-a", name)
    seen = sim.queue.pop

    def noted() -> tuple[Key, float]:
        nonlocal passes
        found = seen()
        passes += found[0] == key
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sim.queue, "pop", noted)
        sim.run(seconds)
    return passes


def test_a_plan_that_has_no_room_looks_again_once_a_minute_at_most() -> None:
    sim = blocked_beside_another()
    assert 1 <= passes_of(sim, "ops", 1200) <= 20


def test_a_plan_that_has_no_room_goes_on_as_soon_as_a_clone_elsewhere_is_removed() -> None:
    sim = blocked_beside_another()
    sim.cluster.remove(DEV)
    sim.run(600, until=lambda: sim.get(Kind.VMCLONE, "dev", "team-a") is None)
    sim.run(10)
    assert condition(vmclone(sim, "ops"), "Planned") == ("True", "Planned")


def test_a_trial_that_was_left_behind_holds_no_session_and_finds_the_one_that_does() -> None:
    """`kubectl vmclone plan -f` was ended before it removed what it tried."""
    sim = begin(FaultSchedule(), replicas=1, plan=DRY_RUN, sessionPrefix="box")
    sim.run(120)
    sim.cluster.apply(Kind.VMCLONE, manifests.vmclone("box", replicas=1))
    sim.run(600, until=lambda: vmclone(sim, "box")["status"].get("readyReplicas") == 1)
    assert sessions(sim, "box") == ["box"]
    change(sim, replicas=1, sessionPrefix="box")
    sim.run(120)
    assert condition(vmclone(sim), "Stalled") == ("True", "SessionConflict")
    assert not any(key.kind is Kind.REPLICA and key.name == "dev-1" for key in sim.cluster.documents)
