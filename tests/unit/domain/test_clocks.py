"""Nothing is final by one clock alone: an end counts when operator and API server agree on it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from vmclone_operator.domain.clocks import Clocks
from vmclone_operator.domain.expiry import expiry_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)
READY = "2025-12-31T14:00:00Z"
"""Ten hours before."""
ROWS: dict[str, tuple[str, float, float | None, bool, bool]] = {
    "over by both clocks": ("9h", 0, 0, False, True),
    "not over by either": ("11h", 0, 0, False, False),
    "the operator's clock is 30 days ahead": ("11h", 30 * 86400, 0, False, False),
    "the operator's clock is a minute and a second ahead, and it is over": ("9h", 61, 0, False, False),
    "a minute apart is agreement": ("9h", 60, 0, False, True),
    "the API server's clock is ahead": ("11h", 0, 30 * 86400, False, False),
    "the API server has not told its time": ("9h", 0, None, False, False),
    "expired by mistake, it comes back": ("11h", 0, 0, True, False),
    "expired by mistake, it comes back while the operator's clock is still wrong": ("11h", 86400, 0, True, False),
    "expired rightly, it stays so with a clock that is wrong": ("9h", -86400, 0, True, True),
    "expired, it stays so before the API server has told its time": ("11h", 0, None, True, True),
}


@pytest.mark.parametrize(("span", "local", "server", "before", "expired"), ROWS.values(), ids=ROWS.keys())
def test_an_end_is_due_by_both_clocks(
    span: str, local: float, server: float | None, before: bool, expired: bool
) -> None:
    by_server = None if server is None else NOW + timedelta(seconds=server)
    clocks = Clocks(local=NOW + timedelta(seconds=local), server=by_server)
    found = expiry_of(span, READY, clocks, before=before)
    assert found is not None
    assert found.expired is expired
    assert (found.again_seconds is None) is expired
    assert found.again_seconds is None or 0 < found.again_seconds <= 3600


SAID = {
    "a minute is nothing": (60, ""),
    "half an hour ahead": (1800, "more than a minute ahead of"),
    "three hours behind": (-3 * 3600, "about 3 hours behind"),
    "a month ahead": (30 * 86400, "about 30 days ahead of"),
}


@pytest.mark.parametrize(("seconds", "words"), SAID.values(), ids=SAID.keys())
def test_a_clock_that_is_off_is_told_in_words_that_stay_the_same(seconds: float, words: str) -> None:
    said = Clocks(local=NOW + timedelta(seconds=seconds), server=NOW).complaint()
    later = Clocks(local=NOW + timedelta(seconds=seconds + 20), server=NOW).complaint()
    assert words in said
    assert bool(said) is bool(words)
    assert not words or said == later
