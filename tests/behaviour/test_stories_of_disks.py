"""Stories of disks: copied in full or linked, where they go, and how long the frozen point stays."""

from __future__ import annotations

from typing import Any

from tests.crash.lives import begin, wait_ready
from tests.support.simulation import Simulation
from tests.support.stories import DEV, change, condition, ready, replica, vmclone

from vmclone_operator.domain.backend import Capabilities
from vmclone_operator.kube.cluster import Key, Kind
from vmclone_operator.providers.fake import FaultSchedule

FULL = {"copy": "Full"}


def begin_full(*, replicas: int = 2, seconds: float = 60, **spec: Any) -> Simulation:
    """Begin with a VMClone that wants disks of its own, which take a while to copy."""
    sim = begin(FaultSchedule(), replicas=replicas, disk=FULL, **spec)
    sim.world.clone_seconds = seconds
    return sim


def ready_full(replicas: int = 2, **spec: Any) -> Simulation:
    """Return an operator whose VMClone `dev` is ready, its disks copied in full."""
    sim = begin_full(replicas=replicas, **spec)
    wait_ready(sim, replicas)
    return sim


def noted(sim: Simulation, reason: str) -> list[str]:
    """Return the notes of the Events with this reason."""
    events = (d for key, d in sim.cluster.documents.items() if key.kind is Kind.EVENT)
    return [d["note"] for d in events if d["reason"] == reason]


def test_full_clones_stand_alone_and_their_frozen_point_goes_after_the_rollout() -> None:
    sim = ready_full(2)
    sim.run(60)
    assert vmclone(sim)["status"]["copy"] == {"requested": "Full", "actual": "Full"}
    assert vmclone(sim)["status"].get("frozenPoints", []) == []
    assert sim.world.inventory().frozen_points == ()
    assert [line for line in sim.world.inventory().files if "copy" in line] == [
        "team-a/dev/1 vda copy x1",
        "team-a/dev/2 vda copy x1",
    ]
    assert sorted(sim.world.effects.disk_copies.values()) == [1, 1]


def test_the_frozen_point_stays_until_the_last_full_copy_is_done() -> None:
    sim = begin_full(replicas=3, rollout={"maxInFlight": 1})
    sim.run(3600, until=lambda: condition(replica_or_none(sim, 2), "Provisioned")[0] == "True")
    assert len(sim.world.inventory().frozen_points) == 1
    wait_ready(sim, 3)
    assert sim.world.inventory().frozen_points == ()
    assert sum(sim.world.effects.copies.values()) == 1


def replica_or_none(sim: Simulation, ordinal: int) -> dict[str, Any]:
    return sim.get(Kind.REPLICA, f"dev-{ordinal}", "team-a") or {"status": {}}


def test_a_full_copy_shows_how_far_it_is() -> None:
    sim = begin_full(replicas=1, seconds=200)
    seen: set[int] = set()

    def look() -> bool:
        steps = (replica_or_none(sim, 1).get("status") or {}).get("steps", [])
        seen.update(step.get("percent", 0) for step in steps if step["name"] == "Clone")
        return condition(replica_or_none(sim, 1), "Provisioned")[0] == "True"

    sim.run(600, until=look)
    assert len(seen) >= 10
    assert sim.cluster.writes.count("VMCloneReplica/dev-1") <= 12 + 200 / 10


def test_a_restart_in_the_middle_copies_no_finished_disk_again() -> None:
    sim = begin(FaultSchedule(), replicas=1, disk=FULL)
    sim.world.clone_seconds = 90
    source = sim.world.find("golden-dev")
    sim.world.remove_by_hand(source)
    sim.world.add_source("golden-dev", disks=("vda", "vdb", "vdc"))

    def one_done() -> bool:
        return len((replica_or_none(sim, 1).get("status") or {}).get("intent", {}).get("finished", [])) == 1

    sim.run(600, until=one_done)
    token = replica(sim, 1)["status"]["intent"]["token"]
    sim.restart()
    wait_ready(sim, 1)
    assert replica(sim, 1)["status"]["intent"]["token"] == token
    assert replica(sim, 1)["status"]["intent"]["finished"] == ["vda", "vdb", "vdc"]
    assert sim.world.effects.finished_copied_again == []
    assert sorted(sim.world.effects.disk_copies.values()) == [1, 1, 2]


def test_a_finished_disk_that_is_taken_away_begins_another_attempt() -> None:
    sim = begin(FaultSchedule(), replicas=1, disk=FULL)
    sim.world.clone_seconds = 60
    sim.world.remove_by_hand(sim.world.find("golden-dev"))
    sim.world.add_source("golden-dev", disks=("vda", "vdb"))
    sim.run(600, until=lambda: "finished" in (replica_or_none(sim, 1).get("status") or {}).get("intent", {}))
    lost = next(name for name in sim.world.state.volumes if name.endswith("-vda") and "base" not in name)
    sim.world.pool.lose_volume(lost)
    sim.restart()
    wait_ready(sim, 1)
    assert replica(sim, 1)["status"]["intent"]["token"] not in lost
    assert len(sim.world.inventory().clones) == 1


def test_scale_up_of_full_clones_freezes_again_and_says_so() -> None:
    sim = ready_full(1)
    change(sim, replicas=2, disk=FULL)
    wait_ready(sim, 2)
    assert sum(sim.world.effects.copies.values()) == 2
    assert "frozen again for 1 replicas" in noted(sim, "FrozenAgain")[0]
    assert sim.world.inventory().frozen_points == ()


def test_scale_up_of_linked_clones_says_nothing_of_a_freeze() -> None:
    sim = ready(1)
    change(sim, replicas=2)
    wait_ready(sim, 2)
    assert noted(sim, "FrozenAgain") == []


def test_auto_takes_full_where_linked_is_not_to_be_had_and_says_why() -> None:
    sim = begin(FaultSchedule(), replicas=1)
    sim.world.capabilities = Capabilities(linked=False)
    wait_ready(sim, 1)
    told = vmclone(sim)["status"]["copy"]
    assert (told["requested"], told["actual"]) == ("Auto", "Full")
    assert told["fallbackReason"] == "the backend cannot make linked clones"
    assert "team-a/dev/1 vda copy x1" in sim.world.inventory().files


def test_linked_never_becomes_full_silently() -> None:
    sim = begin(FaultSchedule(), replicas=1, disk={"copy": "Linked"})
    sim.world.capabilities = Capabilities(linked=False)
    sim.run(300)
    assert condition(vmclone(sim), "Stalled") == ("True", "CapabilityMissing")
    assert condition(vmclone(sim), "Planned") == ("False", "CapabilityMissing")
    assert sim.world.effects.writes == 0


def test_disks_go_into_the_pool_that_is_asked_for() -> None:
    sim = begin(FaultSchedule(), replicas=1, disk={"copy": "Full", "pool": "fast"})
    sim.world.add_pool("fast")
    wait_ready(sim, 1)
    assert "team-a/dev/1 vda copy in fast x1" in sim.world.inventory().files


def test_a_pool_that_is_not_there_is_told_before_anything_is_made() -> None:
    sim = begin(FaultSchedule(), replicas=1, disk={"pool": "nowhere"})
    sim.run(300)
    assert condition(vmclone(sim), "Stalled") == ("True", "Blocked")
    assert vmclone(sim)["status"]["plan"]["blockers"] == ["there is no storage pool nowhere here"]
    assert sim.world.effects.writes == 0
    sim.world.add_pool("nowhere")
    wait_ready(sim, 1)


def test_replicas_keep_the_disks_that_they_were_made_with() -> None:
    sim = ready(1)
    change(sim, replicas=2, disk=FULL)
    wait_ready(sim, 2)
    assert replica(sim, 1)["status"]["intent"]["copy"] == "Linked"
    assert replica(sim, 2)["status"]["intent"]["copy"] == "Full"
    assert len(sim.world.inventory().frozen_points) == 1


def test_deleting_a_vmclone_in_the_middle_of_full_copies_leaves_nothing() -> None:
    sim = begin_full(replicas=2, seconds=300)
    sim.run(600, until=lambda: bool(sim.world.effects.disk_copies))
    sim.cluster.remove(DEV)
    sim.run(1200)
    assert sim.get(Kind.VMCLONE, "dev", "team-a") is None
    assert (sim.world.inventory().files, sim.world.inventory().frozen_points) == ((), ())


def test_a_rebuilt_full_clone_comes_from_a_new_point() -> None:
    sim = ready_full(2)
    sim.cluster.remove(Key(Kind.REPLICA, "team-a", "dev-1"))
    sim.run(120)
    wait_ready(sim, 2)
    assert sum(sim.world.effects.copies.values()) == 2
    assert sim.world.inventory().frozen_points == ()
