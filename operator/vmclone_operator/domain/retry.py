"""When a step that failed is tried again, and when that ends. Pure.

The ledger is `status.retry`: an attempt that failed is counted there with the time of the next one. What is
already waited for is not an attempt; only what would change something is held back.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from vmclone_operator.api.change import RetrySpec
from vmclone_operator.api.replica import RetryStatus
from vmclone_operator.domain.conditions import Progress, printable
from vmclone_operator.domain.steps import Decision, Do, Step
from vmclone_operator.domain.units import seconds_of

ATTEMPTS = frozenset(
    {
        Do.START_CLONE,
        Do.POWER_ON,
        Do.POWER_OFF,
        Do.RESERVE_TASK,
        Do.RESET_IDENTITY,
        Do.CONNECT,
        Do.RESERVE_COPY,
        Do.START_COPY,
    }
)
_DOUBLINGS = 20
_MESSAGE_LIMIT = 512
_REQUEST_LIMIT = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How long to wait, and how often to try."""

    first_seconds: float = 15
    last_seconds: float = 600
    max_attempts: int = 0
    """0: for ever."""

    def wait_seconds(self, failures: int) -> float:
        """Return the wait after so many failures in a row: doubled each time, up to the longest."""
        return min(self.last_seconds, self.first_seconds * float(1 << min(max(failures - 1, 0), _DOUBLINGS)))

    def used_up(self, failures: int) -> bool:
        """Return whether a person has to ask for the next attempt."""
        return 0 < self.max_attempts <= failures


def policy_of(spec: RetrySpec) -> RetryPolicy:
    """Return what the user wrote, in seconds."""
    return RetryPolicy(
        first_seconds=seconds_of(spec.backoff),
        last_seconds=seconds_of(spec.max_backoff),
        max_attempts=spec.max_attempts,
    )


def failed(
    ledger: RetryStatus | None, step: Step, *, reason: str, message: str, wait_seconds: float, asked: str, now: datetime
) -> RetryStatus:
    """Return the ledger with one failure more; of another step than the last one, with the first."""
    failures = ledger.failures + 1 if ledger is not None and ledger.step == step.value else 1
    return RetryStatus(
        step=step.value,
        failures=failures,
        reason=reason,
        message=printable(message, _MESSAGE_LIMIT),
        not_before=(now + timedelta(seconds=wait_seconds)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        handled_retry_at=asked,
    )


def next_failures(ledger: RetryStatus | None, step: Step) -> int:
    """Return how many failures in a row the next one makes."""
    return ledger.failures + 1 if ledger is not None and ledger.step == step.value else 1


def begun(ledger: RetryStatus | None) -> RetryStatus | None:
    """Return the ledger of an attempt that runs: how it ends is not known yet."""
    return None if ledger is None else ledger.model_copy(update={"not_before": ""})


def request_of(*values: str) -> str:
    """Return one request for what a replica's annotation and that of its VMClone say: a new value of either is one.

    It fits into `handledRetryAt`; values too long for that are told apart by their digest.
    """
    said = " ".join(filter(None, values))
    return said if len(said) <= _REQUEST_LIMIT else hashlib.sha256(said.encode()).hexdigest()


def heeded(ledger: RetryStatus | None, asked: str) -> RetryStatus | None:
    """Return the ledger after somebody asked for another attempt, with all attempts given back."""
    if ledger is None or not asked or asked == ledger.handled_retry_at:
        return ledger
    return ledger.model_copy(update={"failures": 0, "not_before": "", "handled_retry_at": asked})


def past(ledger: RetryStatus | None, decision: Decision) -> RetryStatus | None:
    """Return the ledger, or None once the replica is past the step that failed."""
    if ledger is None or ledger.step == Step.HOME_COPY.value:
        return ledger  # a copy that is done says so itself: a refresh fails in a replica that stays ready
    order = [step.value for step in Step]
    beyond = ledger.step in order and order.index(decision.step.value) > order.index(ledger.step)
    return None if beyond else ledger


def held_back(decision: Decision, ledger: RetryStatus | None, policy: RetryPolicy, now: datetime) -> Decision:
    """Return the decision, or what is said while the next attempt waits for its time or for a person."""
    waits = pending(ledger, policy, now) if decision.do in ATTEMPTS else None
    if ledger is None or waits is None:
        return decision
    left, exhausted = waits
    return waiting(decision, ledger, exhausted=exhausted, seconds=left)


def pending(ledger: RetryStatus | None, policy: RetryPolicy, now: datetime) -> tuple[float, bool] | None:
    """Return the seconds until the next attempt, and whether it waits for a person; None when it may begin."""
    if ledger is None or not ledger.failures:
        return None
    exhausted = policy.used_up(ledger.failures) and bool(ledger.not_before)
    left = (datetime.fromisoformat(ledger.not_before) - now).total_seconds() if ledger.not_before else 0.0
    return (left, exhausted) if left > 0 or exhausted else None


def waiting(decision: Decision, ledger: RetryStatus, *, exhausted: bool, seconds: float) -> Decision:
    """Return what is said of a step between two attempts."""
    return replace(
        decision,
        do=Do.NOTHING,
        reason=ledger.reason,
        message=outlook(ledger, exhausted=exhausted),
        progress=decision.progress if decision.step is Step.READY else Progress.STALLED,
        again_seconds=None if exhausted else max(1.0, seconds),
        failed=True,
    )


def outlook(ledger: RetryStatus, *, exhausted: bool) -> str:
    """Return what failed and when it is tried again; the same as long as nothing changes."""
    after = (
        f"{ledger.failures} attempts failed and spec.retry.maxAttempts allows no more: set the annotation"
        " vmclone.dev/retry-at to any new value to try again"
        if exhausted
        else f"attempt {ledger.failures + 1} follows at {ledger.not_before}"
    )
    return f"{ledger.message}; {after}"
