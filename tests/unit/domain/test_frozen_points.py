"""Every next step of a VMClone's frozen points, as a table: the situation in a sentence, and the step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from vmclone_operator.api.vmclone import FrozenPointStatus
from vmclone_operator.domain.frozen_points import QUESTIONS, FrozenSituation, FrozenStep, next_step

TIME = "2026-01-01T00:00:00Z"
INTENDED = FrozenPointStatus(id="p2", source_id="s", recorded_time=TIME)
FROZEN = INTENDED.model_copy(update={"frozen_time": TIME})
COMPLETE = FROZEN.model_copy(update={"id": "p1", "completion_time": TIME})

WAITING = FrozenSituation(waiting=True)
BEGUN = FrozenSituation(waiting=True, points=(INTENDED,))
HAS_TURN = replace(BEGUN, has_turn=True)
AGREED = replace(HAS_TURN, consents=True)
STOPPING = replace(AGREED, stops_source=True)

STEPS = {
    "nothing is frozen and nothing waits: nothing is done": (FrozenSituation(), FrozenStep.NOTHING),
    "nothing is frozen and nothing waits, although a failure is on record: nothing is done": (
        FrozenSituation(held=True),
        FrozenStep.NOTHING,
    ),
    "a replica waits and there is no frozen point: one is written down": (WAITING, FrozenStep.INTEND),
    "a replica waits and there is a frozen point: whether it still shows the source is found out": (
        replace(WAITING, points=(COMPLETE,)),
        FrozenStep.INTEND,
    ),
    "the frozen point that is there shows the source: it is cloned from": (
        replace(WAITING, points=(COMPLETE,), looked=True),
        FrozenStep.ADVANCE,
    ),
    "no replica waits: a frozen point that nothing needs is released": (
        FrozenSituation(points=(COMPLETE,)),
        FrozenStep.ADVANCE,
    ),
    "a replica waits, but no frozen point may be begun: those that are there go on": (
        replace(WAITING, allowed=False),
        FrozenStep.ADVANCE,
    ),
    "an intent is there: whose turn it is to freeze the source is found out": (BEGUN, FrozenStep.TAKE_TURN),
    "another VMClone freezes the source: this one waits": (replace(BEGUN, has_turn=False), FrozenStep.WAIT_FOR_TURN),
    "its turn has come: the wish and the grants are read live": (HAS_TURN, FrozenStep.READ_LIVE),
    "its turn has come, but nothing may be begun: the intent is only made safe": (
        replace(HAS_TURN, allowed=False),
        FrozenStep.ADVANCE,
    ),
    "the grants are gone by now: the intent is only made safe": (replace(HAS_TURN, consents=False), FrozenStep.ADVANCE),
    "the grants are gone by now: the source is not switched off either": (
        replace(HAS_TURN, consents=False, stops_source=True),
        FrozenStep.ADVANCE,
    ),
    "all agree: the source is frozen": (AGREED, FrozenStep.ADVANCE),
    "all agree and the source is to be off: it is switched off": (STOPPING, FrozenStep.SWITCH_OFF),
    "the source shuts down: that is waited for": (replace(STOPPING, source_off=False), FrozenStep.WAIT_FOR_SOURCE),
    "the source is off: it is frozen": (replace(STOPPING, source_off=True), FrozenStep.ADVANCE),
    "the source was frozen: the copy goes on, whoever's turn it is": (
        replace(BEGUN, points=(FROZEN,), has_turn=False, stops_source=True),
        FrozenStep.ADVANCE,
    ),
    "a copy runs while an earlier failure is on record: the copy goes on": (
        replace(BEGUN, points=(FROZEN,), held=True),
        FrozenStep.ADVANCE,
    ),
    "a freeze failed: the source is looked at, which may be again what the newest point shows": (
        replace(WAITING, points=(COMPLETE,), held=True),
        FrozenStep.LOOK_AT_SOURCE,
    ),
    "a freeze failed, and the source is again what the newest point shows: no freeze is waited for": (
        replace(WAITING, points=(COMPLETE,), held=True, shows_source=True),
        FrozenStep.ADVANCE,
    ),
    "a freeze failed, and the source is another one still: the next attempt waits": (
        replace(WAITING, points=(COMPLETE,), held=True, shows_source=False),
        FrozenStep.HOLD_BACK,
    ),
    "a freeze failed and its intent is still there: it is cleared away, and the next attempt waits": (
        replace(BEGUN, held=True),
        FrozenStep.HOLD_BACK,
    ),
    "a freeze failed and nothing may be begun now: its intent is made safe, and no failure is told": (
        replace(HAS_TURN, held=True, allowed=False),
        FrozenStep.ADVANCE,
    ),
}


@pytest.mark.parametrize(("situation", "step"), STEPS.values(), ids=STEPS.keys())
def test_the_next_step_of_the_frozen_points(situation: FrozenSituation, step: FrozenStep) -> None:
    assert next_step(situation) is step


def test_the_table_has_every_step() -> None:
    assert {step for _, step in STEPS.values()} == set(FrozenStep)


ANSWERS: dict[FrozenStep, list[dict[str, Any]]] = {
    FrozenStep.LOOK_AT_SOURCE: [{"shows_source": True}, {"shows_source": False}],
    FrozenStep.INTEND: [{"looked": True}, {"looked": True, "points": (INTENDED,)}],
    FrozenStep.TAKE_TURN: [{"has_turn": True}, {"has_turn": False}],
    FrozenStep.READ_LIVE: [{"consents": True}, {"consents": False}],
    FrozenStep.SWITCH_OFF: [{"source_off": True}, {"source_off": False}],
}


@pytest.mark.parametrize("situation", [situation for situation, _ in STEPS.values()], ids=STEPS.keys())
def test_no_question_is_asked_twice_whatever_the_answers_are(situation: FrozenSituation) -> None:
    """The pass asks until there is something to do: it would never end with a question that its answer leaves open."""
    open_ways = [(situation, frozenset[FrozenStep]())]
    while open_ways:
        known, asked = open_ways.pop()
        step = next_step(known)
        assert step not in asked
        answers = ANSWERS[step] if step in QUESTIONS else []
        open_ways += [(replace(known, **answer), asked | {step}) for answer in answers]
