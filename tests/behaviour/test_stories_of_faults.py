"""Stories of faults around the operator: silent watches, an absent provider, two leaders, removals in any order."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations

import pytest
from tests.crash.lives import begin, wait_ready
from tests.support import manifests
from tests.support.second_leader import Stay
from tests.support.simulation import Simulation
from tests.support.stories import DEV, change, condition, ready, ready_clean, replica, vmclone, wipe

from vmclone_operator.kube.cluster import Key, Kind
from vmclone_operator.providers.fake import Fault, FaultKind, FaultSchedule

REPLICA, SOURCE, BACKEND = (
    Key(Kind.REPLICA, "team-a", "dev-1"),
    Key(Kind.SOURCE, "", "golden-dev"),
    Key(Kind.BACKEND, "", "lab"),
)


def test_what_a_silent_watch_never_told_is_found_by_a_live_list() -> None:
    sim = ready(1)
    sim.silence()
    change(sim, replicas=2)
    sim.run(60)
    assert vmclone(sim)["status"]["replicas"] == 1
    sim.relist()
    wait_ready(sim, 2)


def test_a_deletion_that_a_gap_swallowed_is_found_by_a_live_list() -> None:
    sim = ready(2)
    sim.silence()
    sim.cluster.remove(DEV)
    sim.run(60)
    sim.relist()
    sim.run(120)
    sim.relist()
    sim.run(60)
    assert sim.get(Kind.VMCLONE, "dev", "team-a") is None
    assert sim.world.inventory().files == ()


def test_ten_minutes_without_the_provider_cost_nothing_and_are_caught_up_with_in_a_minute() -> None:
    sim = ready(2)
    made = dict(sim.world.effects.creates)
    sim.schedule.choose = lambda point: Fault(kind=FaultKind.FAIL) if point.verb != "kube" else None
    sim.cluster.remove(REPLICA)
    sim.run(600)
    assert sim.world.effects.creates == made
    assert sim.world.effects.deletes == {}
    sim.schedule.choose = lambda _: None
    sim.run(60, until=lambda: bool(sim.world.effects.deletes))
    assert sum(sim.world.effects.deletes.values()) == 1
    wait_ready(sim, 2)


LIVES: dict[str, Callable[[], Simulation]] = {
    "linked": lambda: ready(2),
    "full": lambda: ready(2, disk={"copy": "Full"}),
    "clean": lambda: ready_clean(2),
}


@pytest.mark.parametrize("begun", LIVES.values(), ids=LIVES.keys())
def test_status_finalizers_and_labels_wiped_from_live_objects_cost_no_vm(begun: Callable[[], Simulation]) -> None:
    sim = begun()
    made, copied = dict(sim.world.effects.creates), dict(sim.world.effects.disk_copies)
    for key in (DEV, REPLICA, Key(Kind.REPLICA, "team-a", "dev-2")):
        wipe(sim, key, finalizers=[], labels={})
    sim.run(30)
    assert vmclone(sim)["status"]["readyReplicas"] == 2
    assert (sim.world.effects.creates, sim.world.effects.disk_copies) == (made, copied)
    sim.cluster.remove(DEV)
    sim.run(120)
    assert (sim.world.inventory().clones, sim.world.inventory().files) == ((), ())


@pytest.mark.parametrize(
    "order", [*permutations((DEV, REPLICA, SOURCE))], ids=lambda o: " ".join(k.kind.kind for k in o)
)
def test_deletion_in_any_order_leaves_nothing(order: tuple[Key, ...]) -> None:
    sim = ready(2)
    for key in order:
        sim.cluster.remove(key)
        sim.run(1)
    sim.run(120)
    assert sim.get(Kind.VMCLONE, "dev", "team-a") is None
    assert (sim.world.inventory().clones, sim.world.inventory().files) == ((), ())


def test_a_backend_deleted_first_holds_the_rest_up_until_it_is_there_again() -> None:
    sim = ready(1)
    sim.cluster.remove(BACKEND)
    sim.cluster.remove(DEV)
    sim.run(120)
    assert condition(replica(sim, 1), "Deleting") == ("True", "BackendNotReady")
    sim.cluster.apply(Kind.BACKEND, manifests.backend())
    sim.run(120)
    assert sim.get(Kind.VMCLONE, "dev", "team-a") is None
    assert sim.world.inventory().files == ()


@pytest.mark.parametrize("sleeps", [1, 3, 6, 10, 20, 40])
def test_two_that_believe_they_lead_make_and_remove_everything_once(sleeps: float) -> None:
    """The second one sleeps in mid-pass for minutes, and goes on with what it was about to do."""
    sim = begin(FaultSchedule(), replicas=3)
    sim.expect_second_leader(Stay(begins=0.5, sleeps=sleeps, wakes=sleeps + 200, ends=sleeps + 260))
    wait_ready(sim, 3)
    change(sim, replicas=1)
    sim.run(400)
    assert sim.second_verbs >= 3
    wait_ready(sim, 1)
    effects = sim.world.effects
    assert set(effects.creates.values()) == set(effects.deletes.values()) == {1}
    assert (len(effects.creates), len(effects.deletes)) == (3, 2)
    assert set(effects.boots.values()) == {1}
    assert sim.world.longest_freeze_seconds <= 5
