"""A restored life, killed before, after, or with the reply lost, at every external write: the same VMs, none twice."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import pytest
from tests.crash.lives import PATIENCE_SECONDS, VMCLONE, begin, begin_clean, wait_ready, watched
from tests.support import manifests
from tests.support.restoring import lose, machines, restore
from tests.support.simulation import Simulation
from tests.support.stories import leftovers

from vmclone_operator.kube.cluster import Kind
from vmclone_operator.providers.fake import Fault, FaultKind, FaultSchedule, Inventory, Point, at_index

MODES = ["Disk", "Clean"]
KINDS = [FaultKind.KILL_BEFORE, FaultKind.KILL_AFTER, FaultKind.LOSE_REPLY]
REPLICAS = 2


@dataclass(frozen=True)
class Restored:
    """What a life came to whose objects were lost and restored."""

    points: tuple[Point, ...]
    """The external writes since the restore."""
    same: bool
    """Whether the VMs are those of before."""
    ready: Inventory
    fewer: Inventory
    made: int
    boots: int
    frozen: int
    """How often the source or image was copied."""
    homes: int
    """How many home copies there were."""
    end: Inventory
    foreign: int
    left: tuple[str, ...]
    """Jobs, pods and Secrets of ours that are still there at the end."""


def live_again(schedule: FaultSchedule, *, mode: str) -> Restored:
    """Make two clones, lose all objects, restore the wish, scale it down to one, delete it."""
    sim = (begin_clean if mode == "Clean" else begin)(schedule, replicas=REPLICAS)
    wait_ready(sim, REPLICAS)
    before, first = machines(sim), len(schedule.trace)
    lose(sim)
    restore(sim, replicas=REPLICAS)
    wait_ready(sim, REPLICAS)
    same, ready = machines(sim) == before, sim.world.inventory()
    sim.cluster.apply(Kind.VMCLONE, manifests.vmclone(replicas=1))
    wait_ready(sim, 1)
    fewer = sim.world.inventory()
    _delete(sim)
    effects = sim.world.effects
    return Restored(
        points=tuple(point for point in schedule.trace[first:] if point.writes),
        same=same,
        ready=ready,
        fewer=fewer,
        made=sum(effects.creates.values()),
        boots=sum(effects.boots.values()),
        frozen=sum(effects.copies.values()),
        homes=len(sim.kubelet.runs),
        end=sim.world.inventory(),
        foreign=len(effects.foreign_touched),
        left=tuple(leftovers(sim)),
    )


def _delete(sim: Simulation) -> None:
    sim.cluster.remove(VMCLONE)
    watched(sim, PATIENCE_SECONDS, until=lambda: sim.get(Kind.VMCLONE, "dev", "team-a") is None)
    watched(sim, 120)
    assert sim.get(Kind.VMCLONE, "dev", "team-a") is None, "the VMClone did not go"


@cache
def undisturbed(mode: str) -> Restored:
    return live_again(FaultSchedule(record=True), mode=mode)


@pytest.mark.parametrize("mode", MODES)
def test_an_undisturbed_restore_makes_nothing_and_leaves_nothing(mode: str) -> None:
    """The yardstick of the matrix."""
    life = undisturbed(mode)
    assert (life.same, life.made, life.boots, life.frozen) == (True, REPLICAS, REPLICAS, 1)
    assert life.homes == (REPLICAS if mode == "Clean" else 0)
    assert (life.end.clones, life.end.files, life.end.frozen_points, life.left) == ((), (), (), ())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_crash_at_any_write_of_a_restored_life_changes_nothing_in_the_end(kind: FaultKind, mode: str) -> None:
    """No VM is made or booted again, no home copied again, nothing stays: old frozen point and Secrets included."""
    expected, wrong = undisturbed(mode), []
    for point in expected.points:
        schedule = FaultSchedule(at_index(point.index, Fault(kind=kind)))
        problem = _difference(expected, schedule, mode)
        if problem:
            wrong.append(f"{kind} at {point}: {problem}")
    assert not wrong, "\n".join(wrong)


def _difference(expected: Restored, schedule: FaultSchedule, mode: str) -> str:
    try:
        life = live_again(schedule, mode=mode)
    except AssertionError as error:
        return str(error)[:600]
    names = ("same", "ready", "fewer", "made", "boots", "frozen", "homes", "end", "foreign", "left")
    pairs = {name: (getattr(life, name), getattr(expected, name)) for name in names}
    return "; ".join(f"{name}: {got} != {want}" for name, (got, want) in pairs.items() if got != want)
