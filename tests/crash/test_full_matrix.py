"""The crash matrix of full copies: whatever goes wrong at a call that makes them, no finished disk is copied again."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
from tests.crash import lives
from tests.crash.lives import Outcome, difference, live

from vmclone_operator.api.replica import VMCloneReplicaStatus
from vmclone_operator.domain.backend import Progress
from vmclone_operator.engine.context import Engine
from vmclone_operator.engine.replica import making
from vmclone_operator.engine.vmclone import clone_report
from vmclone_operator.providers.fake import Fault, FaultKind, FaultSchedule, Point, at_index

SOURCES = {"running source": True, "powered-off source": False}
KINDS = [FaultKind.KILL_BEFORE, FaultKind.KILL_AFTER, FaultKind.LOSE_REPLY, FaultKind.FAIL]
OF_COPIES = {"start_clone", "release_frozen", "find_frozen", "kube"}
"""The verbs that make a full life another one; the matrix of linked clones has the rest."""


@cache
def undisturbed(running: bool = True) -> tuple[tuple[Point, ...], Outcome]:  # noqa: FBT002  - a column of the matrix
    schedule = FaultSchedule(record=True)
    outcome = live(schedule, full=True, replicas=1, running=running)
    return tuple(point for point in schedule.trace if point.verb in OF_COPIES), outcome


@pytest.mark.parametrize("running", SOURCES.values(), ids=SOURCES.keys())
def test_an_undisturbed_full_life_leaves_clones_that_stand_alone(running: bool) -> None:
    """The yardstick of the matrix is itself held against the promise."""
    _, outcome = undisturbed(running)
    assert outcome.defines == outcome.boots == (1,)
    assert outcome.ready.frozen_points == ()
    assert sum("copy" in line for line in outcome.ready.files) == 1
    assert (outcome.end.clones, outcome.end.files, outcome.end.frozen_points) == ((), (), ())


@pytest.mark.parametrize("running", SOURCES.values(), ids=SOURCES.keys())
@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_in_a_full_life_changes_nothing_in_the_end(kind: FaultKind, running: bool) -> None:
    """0 finished disks copied again, 0 duplicates, 0 leaks, the source never frozen over 5 seconds."""
    trace, expected = undisturbed(running)
    fault = Fault(kind=kind)
    wrong = []
    for point in trace:
        schedule = FaultSchedule(at_index(point.index, fault))
        problem = difference(expected, schedule, full=True, replicas=1, running=running)
        if problem:
            wrong.append(f"{kind} at {point}: {problem}")
    assert not wrong, "\n".join(wrong)


def _nothing_is_recorded(patch: pytest.MonkeyPatch) -> None:
    def followed(_engine: Engine, status: VMCloneReplicaStatus, _progress: Progress) -> VMCloneReplicaStatus:
        return status

    patch.setattr(making, "followed", followed)


def _every_full_clone_stands_alone(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(clone_report, "_independent", lambda status: status.intent is not None)


MUTATIONS = {
    "what is finished is not recorded": _nothing_is_recorded,
    "the point goes while it is still copied": _every_full_clone_stands_alone,
}


@pytest.mark.parametrize("plant", MUTATIONS.values(), ids=MUTATIONS.keys())
def test_a_bug_in_full_copies_does_not_go_unseen(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The matrix is itself tested: a life with this bug ends otherwise."""
    _, expected = undisturbed()
    monkeypatch.setattr(lives, "PATIENCE_SECONDS", 300.0)
    plant(monkeypatch)
    assert difference(expected, FaultSchedule(), full=True, replicas=1)
