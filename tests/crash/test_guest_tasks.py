"""An operator that is killed at any call about a guest's task makes one clone, with one identity of its own."""

from __future__ import annotations

import pytest
from tests.crash.lives import begin, wait_ready
from tests.support.simulation import Simulation

from vmclone_operator.providers.fake import Fault, FaultKind, FaultSchedule, Point
from vmclone_operator.providers.fake.profiles import AZURE


def lived(schedule: FaultSchedule) -> Simulation:
    """Make one clone on a backend whose guests run tasks."""
    sim = begin(schedule, replicas=1)
    sim.world.become(AZURE)
    wait_ready(sim, 1)
    return sim


def of_tasks(trace: list[Point]) -> list[int]:
    """Return the calls from the run's place in the ledger to the record of what it told."""
    first = next(point.index for point in trace if point.verb == "guest_result")
    last = next(point.index for point in trace if point.verb == "connect_network")
    return [
        point.index for point in trace if first - 4 <= point.index <= last and (point.writes or "guest" in point.verb)
    ]


@pytest.mark.parametrize("kind", [FaultKind.KILL_BEFORE, FaultKind.KILL_AFTER], ids=["before it", "after it"])
def test_killed_at_any_call_of_a_task_the_clone_gets_ready_all_the_same(kind: FaultKind) -> None:
    trace = FaultSchedule(record=True)
    lived(trace)
    calls = of_tasks(trace.trace)
    assert len(calls) >= 8
    for index in calls:

        def choose(point: Point, index: int = index) -> Fault | None:
            return Fault(kind=kind) if point.index == index else None

        sim = lived(FaultSchedule(choose))
        (machine,) = [one for one in sim.world.state.machines.values() if one.stamp is not None]
        assert sim.kills == 1, f"call {index}"
        assert machine.guest.machine_id == machine.machine_id, f"call {index}"
        assert machine.guest.resets == 1, f"call {index}"
