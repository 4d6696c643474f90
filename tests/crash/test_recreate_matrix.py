"""A rollout that replaces three clones one at a time, killed at every external call: never two of them away."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import pytest
from tests.crash.lives import VMCLONE, begin, wait_ready, watched
from tests.support import manifests
from tests.support.simulation import Simulation

from vmclone_operator.kube.cluster import Kind
from vmclone_operator.providers.fake import Fault, FaultKind, FaultSchedule, Inventory, Point, at_index

KINDS = [FaultKind.KILL_AFTER, FaultKind.LOSE_REPLY]
"""Killed before a call is killed after the one before it; a reply that is lost matters where something was written."""
REPLICAS = 3


@dataclass(frozen=True)
class Rollout:
    """What one rollout did."""

    points: tuple[Point, ...]
    """The external calls that belong to it."""
    fewest_delivered: int
    made: tuple[int, ...]
    """How often each incarnation's VM was made."""
    boots: tuple[int, ...]
    end: Inventory


def roll_out(schedule: FaultSchedule) -> Rollout:
    """Make three clones, change the template under Recreate, wait until all have it."""
    sim = begin(schedule, replicas=REPLICAS)
    wait_ready(sim, REPLICAS)
    first = len(schedule.trace)
    wish = manifests.vmclone(replicas=REPLICAS, template={"cpus": 4}, rollout={"update": "Recreate"})
    sim.cluster.apply(Kind.VMCLONE, wish)
    fewest = REPLICAS

    def done() -> bool:
        nonlocal fewest
        fewest = min(fewest, delivered(sim))
        document = sim.cluster.documents[VMCLONE]
        status, generation = document["status"], document["metadata"]["generation"]
        counts = [status.get(name, 0) for name in ("updatedReplicas", "readyReplicas")]
        return bool(status["observedGeneration"] == generation and counts == [REPLICAS, REPLICAS])

    watched(sim, 7200, until=done)
    points = tuple(schedule.trace[first:])
    watched(sim, 60)
    effects = sim.world.effects
    return Rollout(
        points=points,
        fewest_delivered=fewest,
        made=tuple(sorted(effects.creates.values())),
        boots=tuple(sorted(effects.boots.values())),
        end=sim.world.inventory(),
    )


def delivered(sim: Simulation) -> int:
    """Return how many clones people can use."""
    return sum(m.stamp is not None and m.connected for m in sim.world.state.machines.values())


@cache
def undisturbed() -> Rollout:
    return roll_out(FaultSchedule(record=True))


def test_an_undisturbed_rollout_replaces_each_clone_once_and_one_at_a_time() -> None:
    """The yardstick of the matrix."""
    rollout = undisturbed()
    assert (rollout.fewest_delivered, len(rollout.end.clones)) == (REPLICAS - 1, REPLICAS)
    assert rollout.made == rollout.boots == (1,) * 2 * REPLICAS


@pytest.mark.parametrize("kind", KINDS)
def test_a_kill_at_any_call_of_a_rollout_takes_no_second_clone_away(kind: FaultKind) -> None:
    """At most one clone is away at a time, each is made once more, and nothing is left of the old ones."""
    expected, wrong = undisturbed(), []
    for point in (p for p in expected.points if p.writes or kind is FaultKind.KILL_AFTER):
        rollout = roll_out(FaultSchedule(at_index(point.index, Fault(kind=kind))))
        right = (rollout.fewest_delivered, rollout.made, rollout.boots) == (REPLICAS - 1, expected.made, expected.boots)
        if not right or rollout.end != expected.end:
            wrong.append(f"{kind} at {point}: {rollout}")
    assert not wrong, "\n".join(wrong)
