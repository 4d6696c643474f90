"""A scale-down that leaves VMs behind, cut at every write: what was to stay stays, once, and nothing else does."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from tests.crash.lives import begin, wait_ready, watched
from tests.support import manifests
from tests.support.simulation import Simulation

from vmclone_operator.domain.naming import clone_uuid
from vmclone_operator.kube.cluster import Key, Kind
from vmclone_operator.providers.fake import Fault, FaultKind, FaultSchedule, Point, at_index

KINDS = [FaultKind.KILL_BEFORE, FaultKind.KILL_AFTER, FaultKind.LOSE_REPLY, FaultKind.FAIL]
ORPHAN = {"onScaleDown": "Orphan"}
REPLICAS = 3


@dataclass(frozen=True)
class Left:
    """What a scale-down from three to one left."""

    points: tuple[Point, ...]
    stays: tuple[bool, ...]
    """Of the three VMs: whether it is there."""
    stamped: tuple[bool, ...]
    """Of those that are there: whether it is still ours."""
    foreign_touched: int
    marks: int
    """Rows of replicas that are long gone."""


def scale_down(schedule: FaultSchedule) -> Left:
    """Make three clones, wish for one, and look at what stays."""
    sim = begin(schedule, replicas=REPLICAS, deletion=ORPHAN)
    wait_ready(sim, REPLICAS)
    uids = [sim.cluster.documents[key]["metadata"]["uid"] for key in keys()]
    first = len(schedule.trace)
    sim.cluster.apply(Kind.VMCLONE, manifests.vmclone(replicas=1, deletion=ORPHAN))
    wait_ready(sim, 1)
    points = tuple(schedule.trace[first:])
    watched(sim, 120)
    return result(sim, points, [clone_uuid(uid) for uid in uids])


def keys() -> list[Key]:
    """Return the keys of the three replicas."""
    return [Key(Kind.REPLICA, "team-a", f"dev-{ordinal}") for ordinal in range(1, REPLICAS + 1)]


def result(sim: Simulation, points: tuple[Point, ...], uuids: list[str]) -> Left:
    """Look at the VMs of the three replicas and at what is still written down."""
    machines = [sim.world.state.machines.get(found) for found in uuids]
    status = sim.cluster.documents[Key(Kind.VMCLONE, "team-a", "dev")]["status"]
    return Left(
        points=points,
        stays=tuple(machine is not None for machine in machines),
        stamped=tuple(machine.stamp is not None for machine in machines if machine is not None),
        foreign_touched=len(sim.world.effects.foreign_touched),
        marks=len(status.get("leftBehind", ())),
    )


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_to_stay_stays_whatever_goes_wrong_at_any_write(kind: FaultKind) -> None:
    """Who is scaled down is written before its object goes: nobody who comes later takes it for a rebuild."""
    expected = scale_down(FaultSchedule(record=True))
    assert (expected.stays, expected.stamped) == ((True, True, True), (True, False, False))
    wrong = []
    for point in expected.points:
        if not point.writes:
            continue
        left = scale_down(FaultSchedule(at_index(point.index, Fault(kind=kind))))
        if (left.stays, left.stamped, left.foreign_touched, left.marks) != (expected.stays, expected.stamped, 0, 0):
            wrong.append(f"{kind} at {point}: {left.stays} {left.stamped} {left.foreign_touched} {left.marks}")
    assert not wrong, "\n".join(wrong)
