"""Decisions of one home copy: whose turn it is, what its Job's state means, when it is tried again. Pure.

The ledger is `status.operation`: HomeCopy (an attempt that may have a Job and a Secret), HomeCopyEnded (both
are to be removed), HomeCopyRetry (nothing is left of it, the next attempt waits).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import StrEnum

from vmclone_operator.api.home import HomeCopyStatus
from vmclone_operator.api.replica import OperationStatus
from vmclone_operator.domain.conditions import Progress
from vmclone_operator.domain.retry import RetryPolicy
from vmclone_operator.domain.steps import CopyNews, Decision, Do, Step, act, wait, waits_in_line

RUNS = "HomeCopy"
ENDED = "HomeCopyEnded"
RETRY = "HomeCopyRetry"
COPIED = "Copied"
NEEDS_A_PERSON = frozenset({"HostKeyMismatch", "SecretFound", "TooLarge"})
_HEALS_BY_ITSELF = frozenset({"CopyFailed", "Copying"})
POD_TROUBLES = frozenset({"CopyPodRefused", "CopyPodUnschedulable", "CopyImageNotPulled", "CopyPodNotStarted"})
"""Why the pod of a copy does not start: told as an Event, too."""
_BY_DEFAULT = RetryPolicy()
_POLL_SECONDS = 5.0
_REMOVAL_SECONDS = 1.0

Order = tuple[str, str]
"""Since when a copy waits, and who it is: first come, first served."""


class JobState(StrEnum):
    """How a copy's Job stands, as the API server shows it."""

    ABSENT = "Absent"
    WAITING = "Waiting"
    RUNNING = "Running"
    ENDED = "Ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyJobView:
    """A copy's Job and pod as they are now."""

    state: JobState
    name: str = ""
    message: str = ""
    percent: int = 0
    eta_seconds: int = 0
    done_bytes: int = 0
    total_bytes: int = 0
    reason: str = ""
    """How it ended: Copied, or the reason of HomeCopied when not."""
    trouble: str = ""
    """Why its pod does not start, as a reason of HomeCopied; the message says more."""
    needs_a_person: bool = False
    """Whether that goes away only when somebody does something."""
    receipt: HomeCopyStatus | None = None
    seconds: float = 0
    """How long it took, as the API server saw it; 0 while it runs, or when nobody knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeSituation:
    """Everything that one decision about one home copy rests on."""

    wanted: bool = False
    """A copy is due: the first one, or one that was asked for."""
    request: str = ""
    """The request that it answers; empty for the first copy."""
    paused: bool = False
    reachable: bool = True
    """The clone is on, its agent answers and it has an address of its own; otherwise nothing begins."""
    blocked: str = ""
    """Why no new copy may begin, in a sentence; one that runs goes on."""
    blocked_reason: str = "HomeAccessMissing"
    operation: OperationStatus | None = None
    due: bool = True
    """False while the next attempt waits for its time."""
    wait_seconds: float = 0
    """How long it still waits."""
    position: int = 0
    """Copies that go before this one; 0 means that it is its turn."""
    job: CopyJobView = CopyJobView(state=JobState.ABSENT)
    last_reason: str = ""
    """Why the last attempt failed; from the HomeCopied condition."""
    last_message: str = ""


def decide_home(home: HomeSituation) -> Decision | None:
    """Return the next step of the home copy; None when there is none."""
    decision = _decide(home)
    if decision is None or not (home.request or _answers(home.operation)):
        return decision
    # A refresh leaves the clone ready: it is in use.
    return replace(decision, step=Step.READY, progress=Progress.SETTLED)


def _answers(operation: OperationStatus | None) -> bool:
    return operation is not None and bool(operation.refresh)


def _decide(home: HomeSituation) -> Decision | None:
    operation = home.operation
    if operation is not None and operation.kind == ENDED:
        ended = act(Do.CLEAN_COPY, Step.HOME_COPY, home.last_reason or "Copying", home.last_message or "the copy ended")
        return replace(ended, again_seconds=_REMOVAL_SECONDS)
    if operation is not None and operation.kind == RUNS:
        return _running(home)
    if operation is not None and not home.wanted:
        return act(Do.CLEAN_COPY, Step.HOME_COPY, "Copying", "the copy is not wanted any more")
    return _to_begin(home) if home.wanted and home.reachable and not home.paused else None


def _to_begin(home: HomeSituation) -> Decision:
    operation = home.operation
    if home.blocked:
        return Decision(
            do=Do.NOTHING,
            step=Step.HOME_COPY,
            reason=home.blocked_reason,
            message=home.blocked,
            progress=Progress.STALLED,
            again_seconds=60,
            copy=CopyNews(),
            failed=True,
        )
    if operation is not None and operation.kind == RETRY and not home.due:
        return _waits_for_retry(home)
    if home.position:
        news = CopyNews(position=home.position)
        waits = waits_in_line(Step.HOME_COPY, "WaitingForSlot", f"number {home.position} in the source's queue")
        return replace(waits, copy=news)
    return act(Do.RESERVE_COPY, Step.HOME_COPY, "Copying", "the home copy begins")


def _running(home: HomeSituation) -> Decision:
    job = home.job
    news = CopyNews(
        percent=job.percent,
        eta_seconds=job.eta_seconds,
        done_bytes=job.done_bytes,
        total_bytes=job.total_bytes,
        job=job.name,
    )
    if job.state is JobState.ABSENT and not home.paused:
        return _without_job(home, news)
    if home.paused:
        return act(Do.STOP_COPY, Step.HOME_COPY, "Paused", "paused by spec.paused; set it to false to go on")
    if job.state is JobState.ENDED:
        message = job.message or "the home was copied"
        return replace(act(Do.RECORD_COPY, Step.HOME_COPY, job.reason, message), copy=news)
    if job.trouble:
        progress = Progress.STALLED if job.needs_a_person else Progress.WORKING
        waits = wait(Step.HOME_COPY, job.trouble, job.message, _POLL_SECONDS)
        return replace(waits, copy=news, progress=progress, failed=True)
    message = job.message or "the home is being copied"
    return replace(wait(Step.HOME_COPY, "Copying", message, _POLL_SECONDS), copy=news)


def _without_job(home: HomeSituation, news: CopyNews) -> Decision:
    """An attempt that is written down gets its Job, or gives its turn back."""
    if not home.reachable:
        return act(Do.STOP_COPY, Step.HOME_COPY, "CopyFailed", "the clone does not answer")
    if not home.wanted:
        return act(Do.STOP_COPY, Step.HOME_COPY, "Copying", "the copy is not wanted any more")
    if home.blocked:
        return act(Do.STOP_COPY, Step.HOME_COPY, home.blocked_reason, home.blocked)
    return replace(act(Do.START_COPY, Step.HOME_COPY, "Copying", "the copy's Job is being made"), copy=news)


def _waits_for_retry(home: HomeSituation) -> Decision:
    reason = home.last_reason or "CopyFailed"
    waits = wait(
        Step.HOME_COPY, reason, home.last_message or "the home copy is tried again", max(1.0, home.wait_seconds)
    )
    waits = replace(waits, failed=True, copy=CopyNews())
    return replace(waits, progress=Progress.WORKING if reason in _HEALS_BY_ITSELF else Progress.STALLED)


def retry_seconds(reason: str, failures: int, policy: RetryPolicy = _BY_DEFAULT) -> int:
    """Return how long to wait after an attempt failed: longer each time, the longest when a person is needed."""
    seconds = policy.last_seconds if reason in NEEDS_A_PERSON else policy.wait_seconds(failures)
    return max(1, int(seconds))


def queue_position(me: Order, *, running: int, waiting: Collection[Order], limit: int) -> int:
    """Return how many copies of the source must end or begin before this one may begin; 0 when it may now."""
    ahead = sum(1 for other in waiting if other < me)
    return max(0, running + ahead - limit + 1)
