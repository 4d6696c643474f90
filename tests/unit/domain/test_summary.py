"""The truth table of VMClone conditions, row by row, and the words and counts that people see."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from vmclone_operator.api.replica import GuestStatus, IntentStatus, StepStatus, VMCloneReplicaStatus
from vmclone_operator.domain.conditions import ConditionWriter, Progress, Readiness
from vmclone_operator.domain.steps import Blocker
from vmclone_operator.domain.summary import (
    ReplicaReport,
    overall_percent,
    readiness,
    seconds_of_copies,
    summary_line,
)

UID = "4f1d0000-0000-4000-8000-000000000001"
WRITER = ConditionWriter(generation=1, now="2026-01-01T00:00:00Z")
NOT_GRANTED = Blocker(reason="SourceNotGranted", message="not granted")
UNREACHABLE = Blocker(reason="BackendUnreachable", message="no answer", retrying=True)
WORKING, STALLED, SETTLED = Progress.WORKING, Progress.STALLED, Progress.SETTLED


def report(ordinal: int, state: str, reason: str = "", *, deleting: bool = False, percent: int = 0) -> ReplicaReport:
    ready, failed = state == "Ready", state == "Failed"
    progress = SETTLED if ready else STALLED if failed else WORKING
    row = Readiness(ready=ready, reason=reason or state, message=f"{reason} told", progress=progress, step=state)
    step = StepStatus(name="Clone" if failed else state, state="Failed" if failed else "Running")
    status = VMCloneReplicaStatus(state=state, percent=percent, steps=(step,), conditions=WRITER.put_readiness((), row))
    return ReplicaReport(ordinal=ordinal, session=f"dev-{ordinal}", uid=UID, deleting=deleting, status=status)


def retrying(ordinal: int) -> ReplicaReport:
    """Return a replica whose last attempt failed and that tries again by itself."""
    row = Readiness(ready=False, reason="CopyFailed", message="cut", progress=WORKING, step="HomeCopy")
    steps = (StepStatus(name="HomeCopy", state="Failed", attempt=2),)
    status = VMCloneReplicaStatus(state="HomeCopy", steps=steps, conditions=WRITER.put_readiness((), row))
    return ReplicaReport(ordinal=ordinal, session=f"dev-{ordinal}", uid=UID, deleting=False, status=status)


def copying(
    ordinal: int, *, percent: int = 0, position: int = 0, state: str = "Running", seconds: int = 0
) -> ReplicaReport:
    """Return a replica in the step HomeCopy."""
    made = report(ordinal, "HomeCopy")
    step = StepStatus(name="HomeCopy", state=state, percent=percent, queue_position=position, eta_seconds=seconds)
    status = made.status.model_copy(update={"steps": (step,)})
    return ReplicaReport(ordinal=ordinal, session=made.session, uid=UID, deleting=False, status=status)


def new(ordinal: int) -> ReplicaReport:
    return ReplicaReport(
        ordinal=ordinal, session=f"dev-{ordinal}", uid=UID, deleting=False, status=VMCloneReplicaStatus()
    )


READY = [report(1, "Ready"), report(2, "Ready")]
MIXED = [report(1, "Ready"), report(2, "Failed", "GuestAgentMissing")]
FAILED = [report(1, "Failed", "GuestAgentMissing"), report(2, "Failed", "GuestAgentMissing")]
DIFFERENTLY = [report(1, "Failed", "GuestAgentMissing"), report(2, "Failed", "CloneFailed")]

# replicas, wanted, paused, blocker -> Ready, reason, who is next, step
TABLE = {
    "nothing made yet": ([], 2, False, None, (False, "Progressing", WORKING, "Reserve")),
    "made, not looked at yet": ([new(1), new(2)], 2, False, None, (False, "Progressing", WORKING, "Reserve")),
    "working: the step of the slowest": (
        [report(1, "Boot"), report(2, "Clone")],
        2,
        False,
        None,
        (False, "Progressing", WORKING, "Clone"),
    ),
    "some ready, the rest at work": (
        [report(1, "Ready"), report(2, "Identity")],
        2,
        False,
        None,
        (False, "Progressing", WORKING, "Identity"),
    ),
    "one failed, another at work": (
        [report(1, "Failed", "CloneFailed"), report(2, "Boot")],
        2,
        False,
        None,
        (False, "PartialFailure", WORKING, "Retrying"),
    ),
    "one failed, another not made yet": (
        [report(1, "Failed", "CloneFailed")],
        2,
        False,
        None,
        (False, "PartialFailure", WORKING, "Retrying"),
    ),
    "one ready, the other fails and tries again": (
        [report(1, "Ready"), retrying(2)],
        2,
        False,
        None,
        (False, "PartialFailure", WORKING, "Retrying"),
    ),
    "all fail and try again": ([retrying(1), retrying(2)], 2, False, None, (False, "AllFailed", WORKING, "Retrying")),
    "one needs a person, the other tries again": (
        [report(1, "Failed", "CloneFailed"), retrying(2)],
        2,
        False,
        None,
        (False, "AllFailed", WORKING, "Retrying"),
    ),
    "some ready, one needs a person": (MIXED, 2, False, None, (False, "GuestAgentMissing", STALLED, "")),
    "all need a person for one reason": (FAILED, 2, False, None, (False, "GuestAgentMissing", STALLED, "")),
    "all failed, each differently": (DIFFERENTLY, 2, False, None, (False, "AllFailed", STALLED, "")),
    "some ready, the rest failed differently": (
        [*DIFFERENTLY, report(3, "Ready")],
        3,
        False,
        None,
        (False, "PartialFailure", STALLED, ""),
    ),
    "all ready": (READY, 2, False, None, (True, "AllReady", SETTLED, "")),
    "all wanted ready, a surplus one still going": (
        [*READY, report(3, "Ready", deleting=True)],
        2,
        False,
        None,
        (False, "Progressing", WORKING, "Deleting"),
    ),
    "a ready one is being deleted": (
        [report(1, "Ready"), report(2, "Ready", deleting=True)],
        2,
        False,
        None,
        (False, "Progressing", WORKING, "Deleting"),
    ),
    "a failed one that is being deleted needs nobody": (
        [report(1, "Ready"), report(2, "Failed", "CloneFailed", deleting=True)],
        2,
        False,
        None,
        (False, "Progressing", WORKING, "Deleting"),
    ),
    "paused, nothing to do": (READY, 2, True, None, (True, "AllReady", SETTLED, "")),
    "paused, work pending": ([report(1, "Ready")], 2, True, None, (False, "Paused", STALLED, "")),
    "paused, failed ones": (MIXED, 2, True, None, (False, "Paused", STALLED, "")),
    "one wanted, one ready, whichever number it has": (
        [report(2, "Ready")],
        1,
        True,
        None,
        (True, "AllReady", SETTLED, ""),
    ),
    "paused with work pending and no consent": ([], 2, True, NOT_GRANTED, (False, "Paused", STALLED, "")),
    "none wanted, none there": ([], 0, False, None, (True, "ScaledToZero", SETTLED, "")),
    "none wanted, paused": ([], 0, True, None, (True, "ScaledToZero", SETTLED, "")),
    "none wanted, one still going": (
        [report(1, "Ready", deleting=True)],
        0,
        False,
        None,
        (False, "Progressing", WORKING, "Deleting"),
    ),
    "no consent: a person is needed": ([], 2, False, NOT_GRANTED, (False, "SourceNotGranted", STALLED, "")),
    "backend away: it goes away by itself": ([], 2, False, UNREACHABLE, (False, "BackendUnreachable", WORKING, "")),
    "consent revoked, all ready: they stay ready": (READY, 2, False, NOT_GRANTED, (True, "AllReady", SETTLED, "")),
}


@pytest.mark.parametrize(("reports", "wanted", "paused", "blocker", "expected"), TABLE.values(), ids=TABLE.keys())
def test_a_vmclone_is_in_its_row_of_the_truth_table(
    reports: Sequence[ReplicaReport],
    wanted: int,
    paused: bool,
    blocker: Blocker | None,
    expected: tuple[bool, str, Progress, str],
) -> None:
    state = readiness(reports, wanted=wanted, paused=paused, blocker=blocker)
    ready, reason, progress, step = expected
    assert (state.ready, state.reason, state.progress) == (ready, reason, progress)
    if step:
        assert state.step == step
    assert state.message


@pytest.mark.parametrize(("reports", "wanted", "paused", "blocker"), [r[:4] for r in TABLE.values()], ids=TABLE.keys())
def test_every_row_gives_conditions_that_never_contradict(
    reports: Sequence[ReplicaReport], wanted: int, paused: bool, blocker: Blocker | None
) -> None:
    """Reconciling and Stalled never both; Ready has neither; not Ready has exactly one."""
    state = readiness(reports, wanted=wanted, paused=paused, blocker=blocker)
    by_type = {c.type: c for c in WRITER.put_readiness((), state)}
    abnormal = by_type.keys() & {"Reconciling", "Stalled"}
    assert len(abnormal) == (0 if by_type["Ready"].status == "True" else 1)
    if "Stalled" in abnormal:
        assert by_type["Stalled"].reason == by_type["Ready"].reason


def test_a_failure_is_told_with_its_session_and_three_are_enough() -> None:
    failed = [report(n, "Failed", f"Reason{n}") for n in range(1, 6)]
    state = readiness(failed, wanted=5, paused=False, blocker=None)
    assert state.message == "0 of 5 replicas are ready; dev-1: Reason1 told; dev-2: Reason2 told; dev-3: Reason3 told"


def test_the_line_for_people_counts_what_is_not_ready() -> None:
    reports = [report(1, "Ready"), report(2, "Boot"), report(3, "Boot"), report(4, "Failed"), new(5)]
    assert summary_line(reports, wanted=5) == "1/5 ready, 2 Boot, 1 Failed, 1 Reserve"
    assert summary_line(READY, wanted=2) == "2/2 ready"


COPIES = {
    "one copies": ([copying(1, percent=61)], "0/1 ready, 1 copying 61%"),
    "several copy: their mean": (
        [report(1, "Ready"), copying(2, percent=40), copying(3, percent=61)],
        "1/3 ready, 2 copying 50%",
    ),
    "one that waits does not pull the mean down": (
        [copying(1, percent=80), copying(2, position=1)],
        "0/2 ready, 2 copying 80%",
    ),
    "all wait for their turn": ([copying(1, position=1), copying(2, position=2)], "0/2 ready, 2 waiting to copy"),
    "one just begun": ([copying(1)], "0/1 ready, 1 copying 0%"),
    "one that failed waits for its next attempt": (
        [copying(1, state="Failed", percent=30)],
        "0/1 ready, 1 waiting to copy",
    ),
    "a copy beside another step": ([copying(1, percent=7), report(2, "Boot")], "0/2 ready, 1 copying 7%, 1 Boot"),
}


@pytest.mark.parametrize(("reports", "line"), COPIES.values(), ids=COPIES.keys())
def test_the_line_for_people_says_how_far_the_copies_are(reports: Sequence[ReplicaReport], line: str) -> None:
    assert summary_line(reports, wanted=len(reports)) == line


PERCENT = {
    "the mean over all wanted": ([report(1, "Ready", percent=100), report(2, "Boot", percent=25)], 2, 62),
    "one not made yet counts as nothing": ([report(1, "Ready", percent=100)], 4, 25),
    "one that goes counts for nothing": ([report(1, "Ready", percent=100, deleting=True)], 1, 0),
    "a surplus one counts for nothing": ([report(n, "Ready", percent=100) for n in (1, 2)], 1, 100),
    "nothing wanted is done": ([], 0, 100),
}


@pytest.mark.parametrize(("reports", "wanted", "expected"), PERCENT.values(), ids=PERCENT.keys())
def test_the_percentage_is_of_what_is_wanted(reports: Sequence[ReplicaReport], wanted: int, expected: int) -> None:
    assert overall_percent(reports, wanted=wanted) == expected


def test_a_ready_row_shows_name_and_address_and_no_reason() -> None:
    status = report(1, "Ready").status.model_copy(
        update={"intent": IntentStatus(op="Clone"), "guest": GuestStatus(addresses=("10.0.0.7", "10.0.0.8"))}
    )
    row = ReplicaReport(ordinal=1, session="dev", uid=UID, deleting=False, status=status).row
    assert (row.name, row.address, row.state, row.reason, row.message) == ("dev-4f1d00", "10.0.0.7", "Ready", "", "")


def test_a_row_that_is_not_reserved_has_no_name_yet() -> None:
    row = new(1).row
    assert (row.name, row.state, row.address) == ("", "Reserve", "")


def test_a_row_says_why_within_its_bound() -> None:
    row = report(1, "Failed", "R" * 64).row
    assert row.reason == "R" * 64
    told = Readiness(ready=False, reason="X", message="m" * 2000, progress=STALLED)
    status = VMCloneReplicaStatus(state="Failed", conditions=WRITER.put_readiness((), told))
    long = ReplicaReport(ordinal=1, session="dev", uid=UID, deleting=False, status=status).row
    assert len(long.message) == 256


def test_the_last_of_the_copies_that_run_says_when_all_are_done() -> None:
    slow, quick = copying(1, percent=10, seconds=340), copying(2, percent=90, seconds=20)
    failed, unknown = copying(3, state="Failed", seconds=999), copying(4)
    assert seconds_of_copies([slow, quick, failed, unknown, report(5, "Ready")]) == 340
    assert seconds_of_copies([unknown]) == 0
