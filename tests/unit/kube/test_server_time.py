"""The API server's time comes from its answers; setting the node's clock does not move it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from vmclone_operator.kube.server_time import ServerTime


def test_the_time_of_an_answer_goes_on_by_the_monotonic_clock() -> None:
    seconds = [100.0]
    told = ServerTime(lambda: seconds[0])
    assert told.now() is None
    told.heard("Thu, 01 Jan 2026 00:00:00 GMT")
    seconds[0] += 90
    assert told.now() == datetime(2026, 1, 1, 0, 1, 30, tzinfo=UTC)


@pytest.mark.parametrize("header", [None, "", "yesterday", "Thu, 99 Jan 2026 00:00:00 GMT"])
def test_an_answer_without_a_date_says_nothing(header: str | None) -> None:
    told = ServerTime(lambda: 0.0)
    told.heard("Thu, 01 Jan 2026 00:00:00 GMT")
    told.heard(header)
    assert told.now() == datetime(2026, 1, 1, tzinfo=UTC)
