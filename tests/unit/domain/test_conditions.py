"""Conditions by the standard rules: times that move only with the status, and never two abnormal ones at once."""

from __future__ import annotations

import pytest

from vmclone_operator.api.base import Condition
from vmclone_operator.domain.conditions import (
    MESSAGE_LIMIT,
    ConditionWriter,
    Progress,
    Readiness,
    find,
    is_true,
    printable,
    without,
)

FIRST = ConditionWriter(generation=1, now="2026-01-01T00:00:00Z")
LATER = ConditionWriter(generation=2, now="2026-01-01T01:00:00Z")
READY = Readiness(ready=True, reason="AllReady", message="ready", progress=Progress.SETTLED)
WORKING = Readiness(ready=False, reason="Progressing", message="works", progress=Progress.WORKING, step="Clone")
STALLED = Readiness(ready=False, reason="SourceNotGranted", message="ask", progress=Progress.STALLED)


def kinds(conditions: tuple[Condition, ...]) -> set[tuple[str, str, str]]:
    return {(c.type, c.status, c.reason) for c in conditions}


def test_the_time_stays_while_the_status_stays() -> None:
    before = FIRST.put((), "Ready", status=False, reason="Progressing", message="1 of 3")
    (after,) = LATER.put(before, "Ready", status=False, reason="PartialFailure", message="2 of 3")
    assert (after.last_transition_time, after.observed_generation) == (FIRST.now, 2)
    assert (after.reason, after.message) == ("PartialFailure", "2 of 3")


def test_the_time_moves_with_the_status() -> None:
    before = FIRST.put((), "Ready", status=False, reason="Progressing", message="1 of 3")
    (after,) = LATER.put(before, "Ready", status=True, reason="AllReady", message="3 of 3")
    assert after.last_transition_time == LATER.now


def test_other_conditions_are_left_as_they_are_and_the_order_is_fixed() -> None:
    before = FIRST.put((), "Ready", status=True, reason="AllReady", message="ready")
    after = LATER.put(before, "Drifted", status=True, reason="Missing", message="gone")
    assert [c.type for c in after] == ["Drifted", "Ready"]
    assert after[1:] == before


READINESS = {
    "ready: Ready alone": (READY, {("Ready", "True", "AllReady")}),
    "working: Reconciling names the step": (
        WORKING,
        {("Ready", "False", "Progressing"), ("Reconciling", "True", "Clone")},
    ),
    "needs a person: Stalled with the same reason": (
        STALLED,
        {("Ready", "False", "SourceNotGranted"), ("Stalled", "True", "SourceNotGranted")},
    ),
}


@pytest.mark.parametrize("before", READINESS.values(), ids=[f"after {name}" for name in READINESS])
@pytest.mark.parametrize(("state", "expected"), READINESS.values(), ids=READINESS.keys())
def test_readiness_leaves_nothing_of_the_state_before(
    before: tuple[Readiness, object], state: Readiness, expected: set[tuple[str, str, str]]
) -> None:
    conditions = FIRST.put_readiness((), before[0])
    assert kinds(LATER.put_readiness(conditions, state)) == expected


def test_writing_the_same_readiness_again_changes_nothing() -> None:
    conditions = FIRST.put_readiness((), WORKING)
    again = ConditionWriter(generation=1, now=LATER.now)
    assert again.put_readiness(conditions, WORKING) == conditions


def test_a_condition_is_found_asked_and_removed_by_type() -> None:
    conditions = FIRST.put((), "Paused", status=False, reason="Paused", message="no")
    found = find(conditions, "Paused")
    assert found is not None
    assert found.status == "False"
    assert not is_true(conditions, "Paused")
    assert not is_true(conditions, "Ready")
    assert without(conditions, "Paused") == ()


TEXTS = {
    "plain text stays": ("Größe: 3 GiB", "Größe: 3 GiB"),
    "a line break is shown, not made": ("a\nb", "a\\nb"),
    "a terminal escape is shown, not sent": ("\x1b[31mred", "\\x1b[31mred"),
    "a one-byte escape too": ("\x9b31m", "\\x9b31m"),
    "a direction override is shown": ("a\u202eb", "a\\u202eb"),
    "half a surrogate can be encoded": ("\ud800", "\\ud800"),
}


@pytest.mark.parametrize(("text", "expected"), TEXTS.values(), ids=TEXTS.keys())
def test_a_message_is_one_printable_line(text: str, expected: str) -> None:
    assert printable(text) == expected
    assert printable(text).encode()


def test_a_long_message_is_cut_to_what_the_schema_takes() -> None:
    assert len(printable("x" * MESSAGE_LIMIT)) == MESSAGE_LIMIT
    assert printable("x" * (MESSAGE_LIMIT + 1)) == "x" * (MESSAGE_LIMIT - 3) + "..."
    (condition,) = FIRST.put((), "Ready", status=False, reason="Progressing", message="\n" * MESSAGE_LIMIT)
    assert len(condition.message) == MESSAGE_LIMIT
