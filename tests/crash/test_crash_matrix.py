"""The crash matrix: killed before, after, or with the reply lost, at every external call of a VMClone's life.

It is made with one linked clone, scaled up to two and down again, and deleted.
"""

from __future__ import annotations

from functools import cache

import pytest
from tests.crash.lives import Outcome, difference, live

from vmclone_operator.providers.fake import Fault, FaultKind, FaultSchedule, Point, at_index

SOURCES = {"running source": True, "powered-off source": False}
OF_WRITES = {FaultKind.KILL_AFTER, FaultKind.LOSE_REPLY, FaultKind.HANG}
"""After a read nothing is different: these are a kill before the next call, or a failure, which the matrix has."""
KINDS = [kind for kind in FaultKind if kind is not FaultKind.MEANWHILE]


@cache
def undisturbed(running: bool) -> tuple[tuple[Point, ...], Outcome]:
    schedule = FaultSchedule(record=True)
    outcome = live(schedule, running=running, grows=True)
    return tuple(schedule.trace), outcome


@pytest.mark.parametrize("running", SOURCES.values(), ids=SOURCES.keys())
def test_an_undisturbed_life_makes_each_clone_once_and_leaves_nothing(running: bool) -> None:
    """The yardstick of the matrix is itself held against the promise."""
    _, outcome = undisturbed(running)
    assert outcome.defines == outcome.boots == (1, 1)
    assert len(outcome.ready.clones) == 2
    assert all("own_identity=True" in line and "connected=True" in line for line in outcome.ready.clones)
    assert (outcome.end.clones, outcome.end.files, outcome.end.frozen_points) == ((), (), ())
    assert outcome.longest_freeze_seconds <= 5


@pytest.mark.parametrize("running", SOURCES.values(), ids=SOURCES.keys())
@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_at_any_external_call_changes_nothing_in_the_end(kind: FaultKind, running: bool) -> None:
    """0 duplicates, 0 leaks, 0 foreign objects touched, one boot a clone, the source never frozen over 5 seconds."""
    trace, expected = undisturbed(running)
    fault = Fault(kind=kind, delay_seconds=30 if kind is FaultKind.HANG else 0)
    wrong = []
    for point in (p for p in trace if p.writes or kind not in OF_WRITES):
        schedule = FaultSchedule(at_index(point.index, fault))
        problem = difference(expected, schedule, running=running, grows=True)
        if problem:
            wrong.append(f"{kind} at {point}: {problem}")
    assert not wrong, "\n".join(wrong)
