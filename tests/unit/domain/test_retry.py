"""When a failed step is tried again: waits that grow, an end to them, and a way to begin anew."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from vmclone_operator.api.change import RetrySpec
from vmclone_operator.api.replica import RetryStatus
from vmclone_operator.domain.clocks import Clocks
from vmclone_operator.domain.conditions import Progress
from vmclone_operator.domain.expiry import expiry_of
from vmclone_operator.domain.retry import RetryPolicy, failed, heeded, held_back, past, policy_of, request_of
from vmclone_operator.domain.revision import revision_of, user_template
from vmclone_operator.domain.steps import Decision, Do, Step, act

NOW = datetime(2026, 1, 1, tzinfo=UTC)
POLICY = policy_of(RetrySpec(max_attempts=3))
FOR_EVER = RetryPolicy()
START = act(Do.START_CLONE, Step.CLONE, "Cloning", "being made")
LOOK = replace(START, do=Do.NOTHING)

WAITS = {1: 15, 2: 30, 3: 60, 6: 480, 7: 600, 100: 600}


def after(failures: int, *, step: Step = Step.CLONE) -> RetryStatus:
    ledger: RetryStatus | None = None
    for _ in range(failures):
        ledger = failed(ledger, step, reason="CloneFailed", message="no room", wait_seconds=15, asked="a", now=NOW)
    assert ledger is not None
    return ledger


@pytest.mark.parametrize(("failures", "seconds"), WAITS.items())
def test_each_wait_is_twice_the_last_up_to_the_longest(failures: int, seconds: float) -> None:
    assert FOR_EVER.wait_seconds(failures) == seconds


HELD = {
    "nothing failed yet: go on": (START, None, 0, Do.START_CLONE, Progress.WORKING),
    "too early: wait, and say why": (START, after(1), 14, Do.NOTHING, Progress.STALLED),
    "in time: try again": (START, after(1), 15, Do.START_CLONE, Progress.WORKING),
    "the last attempt is used up: wait for a person": (START, after(3), 10_000, Do.NOTHING, Progress.STALLED),
    "what only looks is never held back": (LOOK, after(3), 0, Do.NOTHING, Progress.WORKING),
    "asked for: try again at once": (START, heeded(after(3), "b"), 0, Do.START_CLONE, Progress.WORKING),
    "an old request counts for nothing": (START, heeded(after(3), "a"), 10_000, Do.NOTHING, Progress.STALLED),
}


@pytest.mark.parametrize(("decision", "ledger", "seconds", "do", "progress"), HELD.values(), ids=HELD.keys())
def test_an_attempt_waits_for_its_time(
    decision: Decision, ledger: RetryStatus | None, seconds: int, do: Do, progress: Progress
) -> None:
    held = held_back(decision, ledger, POLICY, NOW + timedelta(seconds=seconds))
    assert (held.do, held.progress) == (do, progress)


REQUESTS = {
    "nobody asks": (("", ""), ""),
    "of the replica alone": (("a", ""), "a"),
    "of its VMClone alone": (("", "b"), "b"),
    "of both: a new value of either is another request": (("a", "b"), "a b"),
}


@pytest.mark.parametrize(("values", "request_"), REQUESTS.values(), ids=REQUESTS.keys())
def test_a_request_is_that_of_the_replica_and_of_its_vmclone(values: tuple[str, str], request_: str) -> None:
    assert request_of(*values) == request_


def test_requests_too_long_for_the_status_are_told_apart() -> None:
    long = "x" * 128
    told = {request_of(long, "a"), request_of(long, "b"), request_of(long)}
    assert len(told) == 3
    assert all(len(one) <= 128 for one in told)


def test_a_step_that_waits_says_the_same_as_long_as_nothing_changes() -> None:
    early, late = (held_back(START, after(1), POLICY, NOW + timedelta(seconds=s)) for s in (1, 9))
    assert (early.reason, early.message) == (late.reason, late.message)
    assert early.message == "no room; attempt 2 follows at 2026-01-01T00:00:15Z"


def test_used_up_attempts_say_the_way_out() -> None:
    held = held_back(START, after(3), POLICY, NOW)
    assert "vmclone.dev/retry-at" in held.message
    assert (held.reason, held.again_seconds) == ("CloneFailed", None)


def test_failures_of_another_step_are_counted_anew() -> None:
    ledger = failed(after(5), Step.BOOT, reason="x", message="x", wait_seconds=1, asked="", now=NOW)
    assert (ledger.step, ledger.failures) == ("Boot", 1)


def test_a_step_that_is_left_behind_is_forgotten_and_a_copy_forgets_itself() -> None:
    ready = replace(LOOK, step=Step.READY)
    assert past(after(2), LOOK) == after(2)
    assert past(after(2), ready) is None
    assert past(after(2, step=Step.HOME_COPY), ready) == after(2, step=Step.HOME_COPY)


REVISIONS = {
    "another size": ({"template": {"cpus": 2}}, False),
    "another way to copy": ({"disk": {"copy": "Full"}}, False),
    "an empty template": ({"template": {}}, True),
    "only labels": ({"template": {"labels": {"a": "b"}}}, True),
    "more replicas": ({"replicas": 9, "rollout": {"maxInFlight": 1}}, True),
    "another consistency": ({"disk": {"consistency": "PoweredOff"}}, True),
}


@pytest.mark.parametrize(("spec", "same"), REVISIONS.values(), ids=REVISIONS.keys())
def test_a_revision_is_what_the_user_wrote_that_shapes_a_clone(spec: dict[str, object], same: bool) -> None:
    assert (revision_of(spec) == revision_of({"source": {"name": "golden-dev"}})) is same


def test_a_revision_never_changes_with_the_operator() -> None:
    """These are written on objects out there: another value here would replace their clones."""
    assert revision_of({}) == "44136fa355"
    assert revision_of({"template": {"power": "Off", "cpus": 4, "labels": {"a": "b"}}}) == "f1ebc88d8d"
    assert user_template({"template": {"cpus": 4, "labels": {"a": "b"}}}) == {"cpus": 4}


EXPIRY = {
    "no end": (None, "2026-01-01T00:00:00Z", 0, None),
    "never ready": ("10h", "", 0, None),
    "fresh: looked at again within the hour, for a clock may be set": (
        "10h",
        "2026-01-01T00:00:00Z",
        0,
        (False, False, 3600),
    ),
    "the last tenth": ("10h", "2026-01-01T00:00:00Z", 9 * 3600, (False, True, 3600)),
    "over": ("10h", "2026-01-01T00:00:00Z", 10 * 3600, (True, True, None)),
}


@pytest.mark.parametrize(("span", "since", "seconds", "expected"), EXPIRY.values(), ids=EXPIRY.keys())
def test_an_end_is_warned_of_in_the_last_tenth(
    span: str | None, since: str, seconds: int, expected: tuple[bool, bool, float | None] | None
) -> None:
    now = NOW + timedelta(seconds=seconds)
    found = expiry_of(span, since, Clocks(local=now, server=now))
    assert (None if found is None else (found.expired, found.warned, found.again_seconds)) == expected
