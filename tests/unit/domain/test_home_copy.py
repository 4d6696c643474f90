"""Whose turn a home copy is, what comes next for it, and when it is tried again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vmclone_operator.api.replica import OperationStatus
from vmclone_operator.domain.conditions import Progress
from vmclone_operator.domain.home_copy import (
    ENDED,
    RETRY,
    RUNS,
    CopyJobView,
    HomeSituation,
    JobState,
    Order,
    decide_home,
    queue_position,
    retry_seconds,
)
from vmclone_operator.domain.steps import Do, Step

WANTED = HomeSituation(wanted=True)
REQUESTED = HomeSituation(wanted=True, request="2026-01-01")
RUNNING = HomeSituation(wanted=True, operation=OperationStatus(kind=RUNS, token="1"))
OVER = HomeSituation(wanted=True, operation=OperationStatus(kind=ENDED, token="1"))
WAITING = HomeSituation(wanted=True, operation=OperationStatus(kind=RETRY, token="1"), due=False, wait_seconds=7)
BLOCKED = replace(WANTED, blocked="the owner says no", blocked_reason="SourceNotGranted")
WORKING, STALLED, SETTLED = Progress.WORKING, Progress.STALLED, Progress.SETTLED


def with_job(home: HomeSituation, state: JobState, reason: str = "", message: str = "") -> HomeSituation:
    return replace(home, job=CopyJobView(state=state, name="job-1", percent=40, reason=reason, message=message))


def refreshing(home: HomeSituation) -> HomeSituation:
    assert home.operation is not None
    return replace(home, wanted=False, operation=home.operation.model_copy(update={"refresh": "2026-01-01"}))


# situation -> what is done, reason, who is next
TABLE = {
    "a first copy whose turn it is is written down before anything is made": (
        WANTED,
        (Do.RESERVE_COPY, "Copying", WORKING),
    ),
    "one that others go before waits": (replace(WANTED, position=2), (Do.NOTHING, "WaitingForSlot", WORKING)),
    "nothing begins without consent": (BLOCKED, (Do.NOTHING, "SourceNotGranted", STALLED)),
    "nor does the next attempt, when its time has come": (
        replace(BLOCKED, operation=WAITING.operation),
        (Do.NOTHING, "SourceNotGranted", STALLED),
    ),
    "one written down gets its Job": (RUNNING, (Do.START_COPY, "Copying", WORKING)),
    "a Job that waits for its pod is waited for": (
        with_job(RUNNING, JobState.WAITING, message="the copy's pod is being made"),
        (Do.NOTHING, "Copying", WORKING),
    ),
    "a Job that runs is waited for": (with_job(RUNNING, JobState.RUNNING), (Do.NOTHING, "Copying", WORKING)),
    "one that runs goes on when consent is taken away": (
        with_job(replace(RUNNING, blocked="no"), JobState.RUNNING),
        (Do.NOTHING, "Copying", WORKING),
    ),
    "one that has no Job makes none without consent": (
        replace(RUNNING, blocked="no"),
        (Do.STOP_COPY, "HomeAccessMissing", WORKING),
    ),
    "a pause ends one that runs": (
        with_job(replace(RUNNING, paused=True), JobState.RUNNING),
        (Do.STOP_COPY, "Paused", WORKING),
    ),
    "a pause begins no refresh": (replace(REQUESTED, paused=True), None),
    "the end of a Job is written down": (
        with_job(RUNNING, JobState.ENDED, reason="Copied"),
        (Do.RECORD_COPY, "Copied", WORKING),
    ),
    "so is the end of one that failed": (
        with_job(RUNNING, JobState.ENDED, reason="TooLarge", message="too much"),
        (Do.RECORD_COPY, "TooLarge", WORKING),
    ),
    "what a copy left is removed": (OVER, (Do.CLEAN_COPY, "Copying", WORKING)),
    "also when nothing is wanted any more": (replace(OVER, wanted=False), (Do.CLEAN_COPY, "Copying", WORKING)),
    "the next attempt waits for its time": (
        replace(WAITING, last_reason="CopyFailed"),
        (Do.NOTHING, "CopyFailed", WORKING),
    ),
    "and says when a person is needed": (replace(WAITING, last_reason="TooLarge"), (Do.NOTHING, "TooLarge", STALLED)),
    "it begins when its time has come": (
        replace(WAITING, due=True, wait_seconds=0),
        (Do.RESERVE_COPY, "Copying", WORKING),
    ),
    "an attempt that nobody wants any more is forgotten": (
        replace(WAITING, wanted=False),
        (Do.CLEAN_COPY, "Copying", WORKING),
    ),
    "nothing begins in a clone without an address": (replace(WANTED, reachable=False), None),
    "one that has no Job is given up when its clone is away": (
        replace(RUNNING, reachable=False),
        (Do.STOP_COPY, "CopyFailed", WORKING),
    ),
    "one that has no Job and is not wanted any more makes none": (
        replace(RUNNING, wanted=False),
        (Do.STOP_COPY, "Copying", WORKING),
    ),
    "one that is not wanted any more and runs goes on": (
        with_job(replace(RUNNING, wanted=False), JobState.RUNNING),
        (Do.NOTHING, "Copying", WORKING),
    ),
    "what could not be begun says that a person is needed": (
        replace(WAITING, last_reason="HomeCopyRefused"),
        (Do.NOTHING, "HomeCopyRefused", STALLED),
    ),
    "a Job whose clone is away is waited for: it notices by itself": (
        with_job(replace(RUNNING, reachable=False), JobState.RUNNING),
        (Do.NOTHING, "Copying", WORKING),
    ),
    "nothing wanted, nothing begun: nothing to do": (HomeSituation(), None),
}


@pytest.mark.parametrize(("home", "expected"), TABLE.values(), ids=TABLE.keys())
def test_each_situation_has_one_next_step(home: HomeSituation, expected: tuple[Do, str, Progress] | None) -> None:
    decision = decide_home(home)
    assert (decision and (decision.do, decision.reason, decision.progress)) == expected
    if decision is not None:
        assert decision.step is Step.HOME_COPY
        assert decision.message


REFRESHES = {
    "its beginning": REQUESTED,
    "its place in the queue": replace(REQUESTED, position=3),
    "no consent for it": replace(REQUESTED, blocked="no"),
    "its Job": refreshing(with_job(RUNNING, JobState.RUNNING)),
    "its failure": replace(refreshing(WAITING), wanted=True, request="2026-01-01", last_reason="TooLarge"),
    "its end": refreshing(OVER),
}


@pytest.mark.parametrize("home", REFRESHES.values(), ids=REFRESHES.keys())
def test_a_refresh_leaves_the_clone_ready_and_says_how_it_stands(home: HomeSituation) -> None:
    decision = decide_home(home)
    assert decision is not None
    assert (decision.step, decision.progress) == (Step.READY, SETTLED)


TOLD = {
    "a place in the queue": replace(REQUESTED, position=3),
    "no consent for it": replace(REQUESTED, blocked="no"),
    "a failure": replace(refreshing(WAITING), wanted=True, request="2026-01-01", last_reason="TooLarge"),
}


@pytest.mark.parametrize("home", TOLD.values(), ids=TOLD.keys())
def test_a_refresh_that_does_not_run_is_told_in_its_step(home: HomeSituation) -> None:
    """The clone is Ready, so its conditions do not say it: the step HomeCopy is where people look."""
    decision = decide_home(home)
    assert decision is not None
    assert decision.copy is not None


ME: Order = ("10:00:05", "team-a/dev-1")
BEFORE: Order = ("10:00:04", "team-b/late-9")
AFTER: Order = ("10:00:06", "team-a/aaa-1")
SAME_SECOND: Order = ("10:00:05", "team-a/dev-0")

# running, waiting, limit -> position
QUEUE = {
    "an empty queue": (0, [], 5, 0),
    "the last free slot": (4, [], 5, 0),
    "no free slot: the next to go": (5, [], 5, 1),
    "a free slot, and one who came before takes it": (4, [BEFORE], 5, 1),
    "two free slots, and one who came before": (3, [BEFORE], 5, 0),
    "who came later does not count": (4, [AFTER, AFTER], 5, 0),
    "of one second the names decide": (4, [SAME_SECOND], 5, 1),
    "no slot, two before": (5, [BEFORE, SAME_SECOND, AFTER], 5, 3),
    "more run than are allowed now": (5, [], 1, 5),
    "one at a time": (0, [BEFORE], 1, 1),
}


@pytest.mark.parametrize(("running", "waiting", "limit", "position"), QUEUE.values(), ids=QUEUE.keys())
def test_first_come_first_served(running: int, waiting: list[Order], limit: int, position: int) -> None:
    assert queue_position(ME, running=running, waiting=waiting, limit=limit) == position


RETRIES = {
    "the first failure": ("CopyFailed", 1, 15),
    "the second waits twice as long": ("CopyFailed", 2, 30),
    "the fifth": ("CopyFailed", 5, 240),
    "never longer than ten minutes": ("CopyFailed", 7, 600),
    "a thousandth attempt is no overflow": ("CopyFailed", 1000, 600),
    "an attempt that was never counted": ("CopyFailed", 0, 15),
    "a person is needed: the longest at once": ("HostKeyMismatch", 1, 600),
}


@pytest.mark.parametrize(("reason", "attempt", "seconds"), RETRIES.values(), ids=RETRIES.keys())
def test_each_attempt_waits_longer_than_the_one_before(reason: str, attempt: int, seconds: int) -> None:
    assert retry_seconds(reason, attempt) == seconds
