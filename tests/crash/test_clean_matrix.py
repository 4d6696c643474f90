"""The crash matrix of mode Clean: killed, refused or unanswered at every external write, Jobs and Secrets included."""

from __future__ import annotations

from dataclasses import fields
from functools import cache

import pytest
from tests.crash.clean_lives import CleanOutcome, live_clean

from vmclone_operator.providers.fake import Fault, FaultKind, FaultSchedule, Point, at_index, seeded

KINDS = (FaultKind.KILL_BEFORE, FaultKind.KILL_AFTER, FaultKind.LOSE_REPLY, FaultKind.FAIL)
SEEDS = range(24)


@cache
def undisturbed() -> tuple[tuple[Point, ...], CleanOutcome]:
    schedule = FaultSchedule(record=True)
    outcome = live_clean(schedule)
    return tuple(schedule.trace), outcome


def test_an_undisturbed_life_copies_each_home_and_leaves_nothing() -> None:
    """The yardstick of the matrix is itself held against the promise."""
    trace, outcome = undisturbed()
    assert outcome.defines == outcome.boots == (1, 1)
    assert outcome.receipts == (True,)
    assert (outcome.left_at_ready, outcome.left_at_end, outcome.keys_at_ready) == ((), (), 0)
    assert (outcome.end.clones, outcome.end.files, outcome.end.frozen_points) == ((), (), ())
    calls = {point.call for point in trace}
    assert {"create Secret", "create Job", "delete Secret", "delete Job", "guest exec copy-access"} <= calls


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_at_any_write_changes_nothing_in_the_end(kind: FaultKind) -> None:
    """0 duplicates, 0 leaks of VMs, Jobs and Secrets, one boot a clone, no key left in it."""
    wrong = []
    for point in undisturbed()[0]:
        if point.writes:
            problem = difference(FaultSchedule(at_index(point.index, Fault(kind=kind))))
            wrong += [f"{kind} at {point}: {problem}"] if problem else []
    assert not wrong, "\n".join(wrong)


def difference(schedule: FaultSchedule) -> str:
    """Return how a disturbed life ends otherwise than the undisturbed one."""
    expected = undisturbed()[1]
    try:
        outcome = live_clean(schedule)
    except AssertionError as error:
        return str(error)[:600]
    names = [field.name for field in fields(CleanOutcome)]
    wrong = [name for name in names if getattr(outcome, name) != getattr(expected, name)]
    return "; ".join(f"{name}: {getattr(outcome, name)} != {getattr(expected, name)}" for name in wrong)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_clean_life_converges_whatever_goes_wrong(seed: int) -> None:
    """Random faults in the first 300 calls; late or prompt events by turns."""
    schedule = FaultSchedule(seeded(seed, rate=0.1, until=300))
    outcome = live_clean(schedule, late_events=seed % 2 == 0)
    assert set(outcome.defines) == {1}
    assert outcome.receipts == (True,)
    assert (outcome.left_at_ready, outcome.left_at_end, outcome.keys_at_ready) == ((), (), 0)
    assert (outcome.end.clones, outcome.end.files, outcome.end.frozen_points) == ((), (), ())
    assert outcome.foreign_writes == 0
