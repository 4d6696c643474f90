"""Calls to a backend are counted from outside: their answers and errors pass through unchanged."""

from __future__ import annotations

import asyncio

import pytest
from tests.unit.observe.scrape import Clock, samples, watched

from vmclone_operator.domain.backend import BackendConfig
from vmclone_operator.domain.errors import LeadershipLost, SourceNotFound
from vmclone_operator.providers.fake import FakeBackend

CONFIG = BackendConfig(name="lab", settings={}, credentials={})


def test_calls_are_counted_by_verb_and_result() -> None:
    watching = watched(Clock())

    async def scenario() -> str:
        backend = watching.calls.backend("fake", FakeBackend())
        session = await backend.open(CONFIG, wake=lambda _: None, fence=lambda: None)
        await session.describe_source("golden-dev")
        info = await session.check()
        await session.close()
        return info.version

    assert asyncio.run(scenario())
    assert samples(watching.registry, "vmclone_provider_requests_total") == {
        ("fake", "ok", "open"): 1,
        ("fake", "ok", "describe_source"): 1,
        ("fake", "ok", "check"): 1,
        ("fake", "ok", "close"): 1,
    }
    assert samples(watching.registry, "vmclone_provider_request_duration_seconds_count")["fake", "check"] == 1


FAILURES = {
    "a failure that was foreseen counts by its reason": (SourceNotFound("no such VM"), "SourceNotFound"),
    "a call that was not made for want of leadership is no bug": (LeadershipLost("another leads"), "LeadershipLost"),
    "a bug is counted as one and stays loud": (KeyError("no such field"), "bug"),
}


@pytest.mark.parametrize(("error", "code"), FAILURES.values(), ids=FAILURES.keys())
def test_a_failure_is_counted_and_passes_through(error: Exception, code: str) -> None:
    watching = watched(Clock())

    async def broken() -> None:
        raise error

    with pytest.raises(type(error)):
        asyncio.run(watching.calls.call("fake", "freeze", broken))
    assert samples(watching.registry, "vmclone_provider_requests_total") == {("fake", code, "freeze"): 1}
    assert samples(watching.registry, "vmclone_source_freeze_seconds_count") == {("fake",): 1}
