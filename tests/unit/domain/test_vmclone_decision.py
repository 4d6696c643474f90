"""Every decision of a VMClone's pass, as a table: the situation in a sentence, what may be done and what is said."""

from __future__ import annotations

from dataclasses import fields

import pytest

from vmclone_operator.domain.steps import SAFETY_NET_SECONDS, Blocker
from vmclone_operator.domain.vmclone_decision import (
    DRY_RUN,
    PlanMode,
    VMCloneDecision,
    VMCloneSituation,
    conclude,
    decide,
    seconds_until_next_look,
)

NOT_GRANTED = Blocker(reason="SourceNotGranted", message="CloneSource dev is not granted to namespace team-a")
FULL = Blocker(reason="InsufficientSpace", message="pool clones has 1 GiB left")
AWAY = Blocker(reason="BackendUnreachable", message="no connection to kvm-1", retrying=True)
BUSY = Blocker(reason="Blocked", message="the pool is being refreshed", retrying=True)
UNAPPROVED = Blocker(reason="AwaitingApproval", message="approve plan 4f1d")
QUOTA = Blocker(reason="QuotaExceeded", message="the ResourceQuota of team-a is used up")

PLACES, CHANGES, MAKES = "competes_for_places", "changes_replicas", "makes_replicas"
POINTS, SWITCHES, STOPS = "works_on_frozen_points", "may_switch_source", "may_stop_source"
ALL = {PLACES, CHANGES, MAKES, POINTS, SWITCHES, STOPS}

DECISIONS = {
    "nothing speaks against it: everything may be done": (VMCloneSituation(), ALL, None),
    "paused: replicas are removed, none is made, and the source is left as it is": (
        VMCloneSituation(paused=True),
        {PLACES, CHANGES, POINTS},
        None,
    ),
    "the source is not granted: replicas are removed, no frozen point is begun": (
        VMCloneSituation(against_source=NOT_GRANTED),
        {CHANGES, POINTS},
        NOT_GRANTED,
    ),
    "the backend is away while planning: nothing is made, and those behind it may go first": (
        VMCloneSituation(plan_failed=True),
        {CHANGES, POINTS, SWITCHES, STOPS},
        None,
    ),
    "the pool is too full: no frozen point is begun, and the source is not stopped for one": (
        VMCloneSituation(against_plan=FULL),
        {CHANGES, POINTS, SWITCHES},
        FULL,
    ),
    "a finding that goes away by itself does not hold up the frozen point": (
        VMCloneSituation(against_plan=BUSY),
        {CHANGES, POINTS, SWITCHES, STOPS},
        None,
    ),
    "a plan that waits for approval changes no replica": (
        VMCloneSituation(mode=PlanMode.MANUAL, against_plan=UNAPPROVED, carries_out=False),
        {POINTS, SWITCHES},
        UNAPPROVED,
    ),
    "an approved plan is carried out like any other": (VMCloneSituation(mode=PlanMode.MANUAL), ALL, None),
    "a dry run touches nothing": (VMCloneSituation(mode=PlanMode.DRY_RUN, carries_out=False), set(), DRY_RUN),
    "a dry run finishes the frozen points that were begun before, and begins none": (
        VMCloneSituation(mode=PlanMode.DRY_RUN, carries_out=False, has_begun=True),
        {POINTS},
        DRY_RUN,
    ),
    "the source is named before the dry run": (
        VMCloneSituation(mode=PlanMode.DRY_RUN, carries_out=False, has_begun=True, against_source=NOT_GRANTED),
        {POINTS},
        NOT_GRANTED,
    ),
    "the source is named before the plan": (
        VMCloneSituation(against_source=NOT_GRANTED, against_plan=FULL),
        {CHANGES, POINTS},
        NOT_GRANTED,
    ),
}


@pytest.mark.parametrize(("situation", "allowed", "against"), DECISIONS.values(), ids=DECISIONS)
def test_a_pass_may_do_this(situation: VMCloneSituation, allowed: set[str], against: Blocker | None) -> None:
    decision = decide(situation)

    flags = {field.name for field in fields(VMCloneDecision)} - {"against_frozen_points"}
    assert flags == ALL
    assert {name for name in flags if getattr(decision, name)} == allowed
    assert decision.against_frozen_points == against


CONCLUSIONS = {
    "nothing went wrong: nothing is said": (VMCloneSituation(), None, None, (None, None), False),
    "a failure of the backend is said of the source": (VMCloneSituation(), AWAY, None, (AWAY, None), False),
    "missing room is said of the plan, and waited for": (VMCloneSituation(), FULL, None, (None, FULL), True),
    "a failure replaces what was said of the source": (
        VMCloneSituation(against_source=NOT_GRANTED),
        AWAY,
        None,
        (AWAY, None),
        False,
    ),
    "a failure of the source leaves what speaks against the plan": (
        VMCloneSituation(against_plan=UNAPPROVED),
        AWAY,
        None,
        (AWAY, UNAPPROVED),
        True,
    ),
    "what the API server refuses is said of the plan": (VMCloneSituation(), None, QUOTA, (None, QUOTA), True),
    "a refusal is not said where the plan has a finding": (
        VMCloneSituation(against_plan=FULL),
        None,
        QUOTA,
        (None, FULL),
        True,
    ),
    "a finding that goes away by itself is not waited for in line": (
        VMCloneSituation(against_plan=BUSY),
        None,
        None,
        (None, BUSY),
        False,
    ),
}


@pytest.mark.parametrize(("situation", "failure", "refused", "said", "waits"), CONCLUSIONS.values(), ids=CONCLUSIONS)
def test_the_end_of_a_pass_says_this(
    situation: VMCloneSituation,
    failure: Blocker | None,
    refused: Blocker | None,
    said: tuple[Blocker | None, Blocker | None],
    waits: bool,
) -> None:
    conclusion = conclude(situation, failure=failure, refused=refused)

    assert (conclusion.against_source, conclusion.against_plan) == said
    assert conclusion.waits_for_room is waits


LOOKS: dict[str, tuple[float | None, float | None, float | None, bool, float | None]] = {
    "nothing is due: events alone wake it": (None, None, None, False, None),
    "a status that came too early is written when it may be": (None, 1.0, None, False, 1.0),
    "frozen points go before a status that waits": (5.0, 1.0, None, False, 5.0),
    "the end of its time comes first": (300.0, None, 20.0, False, 20.0),
    "one that is held up looks within a minute": (300.0, None, None, True, SAFETY_NET_SECONDS),
    "one that is held up keeps a sooner look": (5.0, None, None, True, 5.0),
    "one that is held up looks again although nothing else is due": (None, 1.0, None, True, SAFETY_NET_SECONDS),
}


@pytest.mark.parametrize(("points", "report", "expiry", "held_up", "seconds"), LOOKS.values(), ids=LOOKS)
def test_the_next_look_is_due(
    points: float | None, report: float | None, expiry: float | None, held_up: bool, seconds: float | None
) -> None:
    assert seconds_until_next_look(points=points, report=report, expiry=expiry, held_up=held_up) == seconds
