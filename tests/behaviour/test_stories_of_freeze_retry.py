"""Stories of a source that cannot be frozen: it is asked less and less often, and nobody has it asked by accident."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from tests.crash.lives import begin, wait_ready
from tests.support.simulation import Simulation
from tests.support.stories import DEV, change, condition, vmclone

from vmclone_operator.domain.errors import QuiesceFailed
from vmclone_operator.providers.fake import Fault, FaultKind, FaultSchedule, Point

REFUSE = Fault(kind=FaultKind.FAIL, error=QuiesceFailed("a database says no"))
ONCE = {"backoff": "1s", "maxAttempts": 1}


def failing(**spec: Any) -> tuple[Simulation, list[float]]:
    """Return an operator whose source cannot be frozen, and the times when that is tried."""
    times: list[float] = []

    def choose(point: Point) -> Fault | None:
        if point.verb != "freeze":
            return None
        times.append(sim.clock())
        return REFUSE

    sim = begin(FaultSchedule(choose), replicas=1, **spec)
    return sim, times


def annotate(sim: Simulation, **annotations: str) -> None:
    told = {f"vmclone.dev/{name.replace('_', '-')}": value for name, value in annotations.items()}
    sim.cluster.overwrite(DEV, lambda d: d["metadata"].update(annotations=told))


def test_a_freeze_that_fails_is_tried_less_and_less_often() -> None:
    sim, times = failing(retry={"backoff": "10s", "maxBackoff": "1m"})
    sim.run(300)
    waits = [later - earlier for earlier, later in pairwise(times)]
    assert [round(wait, -1) for wait in waits] == [10, 20, 40, 60, 60, 60]
    told = vmclone(sim)["status"]["retry"]
    assert (told["step"], told["reason"], told["failures"]) == ("Freeze", "QuiesceFailed", len(times))
    assert condition(vmclone(sim), "Stalled") == ("True", "QuiesceFailed")


def test_a_freeze_that_works_at_last_leaves_no_trace_of_its_failures() -> None:
    sim, _ = failing(retry={"backoff": "10s"})
    sim.run(60)
    sim.schedule.choose = lambda _: None
    wait_ready(sim, 1)
    assert "retry" not in vmclone(sim)["status"]


def test_freezes_that_are_used_up_wait_for_a_person_and_cost_nothing() -> None:
    sim, times = failing(retry={"backoff": "1s", "maxAttempts": 3})
    sim.run(600)
    writes = len(sim.cluster.writes)
    sim.run(6 * 3600)
    assert (len(times), len(sim.cluster.writes)) == (3, writes)
    annotate(sim, retry_at="now")
    sim.run(600)
    assert len(times) == 6
    sim.schedule.choose = lambda _: None
    annotate(sim, retry_at="again")
    wait_ready(sim, 1)


def test_no_other_news_has_the_source_frozen_again() -> None:
    sim, times = failing(retry=ONCE)
    sim.run(60)
    annotate(sim, note="nothing to do with it")
    sim.run(60)
    sim.restart()
    sim.run(60)
    assert len(times) == 1


def test_a_wish_that_is_changed_is_tried_at_once() -> None:
    sim, times = failing(retry=ONCE)
    sim.run(60)
    change(sim, replicas=1, retry=ONCE, disk={"consistency": "CrashConsistent"})
    sim.run(5)
    assert len(times) == 2
