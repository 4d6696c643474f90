"""Decisions about a clone whose guest runs tasks: the run is written down, started, looked at, and judged once."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.domain.test_plan import AGENT, BLOCKED, BOOTED, BOOTING, CLONED, FAILED, RESET, RESETTING, STARTING

from vmclone_operator.domain.backend import GuestRunState
from vmclone_operator.domain.conditions import Progress
from vmclone_operator.domain.guest import GuestProbe
from vmclone_operator.domain.guest_tasks import TaskView
from vmclone_operator.domain.plan import Situation, decide
from vmclone_operator.domain.steps import Do

UP = replace(CLONED, clone=AGENT, task=TaskView())


def ended(probe: GuestProbe | None, *, old: bool = False, **more: object) -> Situation:
    """Return the situation after a task that ended with an answer, or without one."""
    error = "" if probe is not None else "nobody says how it ended"
    view = TaskView(state=GuestRunState.ENDED, probe=probe, error=error, old=old)
    return replace(UP, task=view, probe=probe, **more)  # type: ignore[arg-type]


TABLE = {
    "a guest that does not report yet is waited for": (replace(BOOTING, probe=None, task=None), Do.NOTHING),
    "a guest that reports gets a run, which is written down": (UP, Do.RESERVE_TASK),
    "a run that is written down is started": (
        replace(UP, task=TaskView(state=GuestRunState.ABSENT)),
        Do.RESET_IDENTITY,
    ),
    "a run that goes on is waited for": (replace(UP, task=TaskView(state=GuestRunState.RUNNING)), Do.NOTHING),
    "a run that ended and told nothing is followed by another": (ended(None), Do.RESERVE_TASK),
    "a run that waited for the boot in vain is followed by another": (ended(STARTING), Do.RESERVE_TASK),
    "a boot that takes too long needs a person": (ended(STARTING, boot_overdue=True), Do.NOTHING),
    "a boot that took too long is asked about again": (ended(STARTING, old=True, boot_overdue=True), Do.RESERVE_TASK),
    "a run that found no reset is followed by another": (ended(BOOTED), Do.RESERVE_TASK),
    "a run that waited for the reset in vain is followed by another": (ended(RESETTING), Do.RESERVE_TASK),
    "a reset that failed is tried again in another run": (ended(FAILED), Do.RESERVE_TASK),
    "a scrub by other rules is made again": (ended(RESET, scrub_outdated=True), Do.RESERVE_TASK),
    "an identity that is proven is recorded": (ended(RESET), Do.RECORD_IDENTITY),
    "an identity that is not the clone's own needs a person": (ended(RESET, problems=("same",)), Do.NOTHING),
    "what was wrong a while ago is asked about again": (ended(RESET, old=True, problems=("same",)), Do.RESERVE_TASK),
    "a guest that asks for it is rebooted": (ended(replace(RESET, needs_reboot=True)), Do.POWER_OFF),
    "without the owner's scrub no run is begun": (replace(UP, source_unknown=True, blocker=BLOCKED), Do.NOTHING),
}


@pytest.mark.parametrize(("situation", "do"), TABLE.values(), ids=TABLE.keys())
def test_the_next_step_of_a_task_follows_from_what_is_there(situation: Situation, do: Do) -> None:
    decision = decide(situation)
    assert decision.do is do
    assert decision.again_seconds is not None


def test_a_task_without_an_answer_counts_as_a_reset_that_failed() -> None:
    """So its attempts are counted, spread and ended as spec.retry says."""
    decision = decide(ended(None))
    assert decision.reason == decide(ended(FAILED)).reason == "ResetFailed"
    assert "nobody says how it ended" in decision.message


def test_a_task_that_runs_is_not_looked_at_more_often_than_one_can_end() -> None:
    decision = decide(replace(UP, task=TaskView(state=GuestRunState.RUNNING)))
    assert (decision.again_seconds, decision.progress) == (20, Progress.WORKING)
