"""The double gives the answers that Proxmox VE's own API code gave, or the difference is listed with its reason."""

from __future__ import annotations

import asyncio
import json

import pytest
from tests.doubles.pve.call import handlers
from tests.unit.doubles.pve.lab import RECORDINGS
from tests.unit.doubles.pve.replay import Replay, Scenario
from tests.unit.doubles.pve.setups import SCENARIOS

LISTED: dict[str, dict[str, str]] = json.loads((RECORDINGS / "differences.json").read_text())
REPLAYED = frozenset(handlers())
"""Every endpoint of the double, which is every one that the adapter calls and those that make its sources."""
EQUAL_SHARE = 0.95


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_every_answer_is_the_recorded_one_or_listed(scenario: Scenario) -> None:
    outcome = asyncio.run(Replay(scenario).run(REPLAYED))
    listed = LISTED.get(scenario.name, {})
    unlisted = {number: text for number, text in outcome.different.items() if number not in listed}
    assert not unlisted, "\n".join(f"{scenario.name}#{number}: {text}" for number, text in unlisted.items())
    assert set(listed) == set(outcome.different), "listed, but equal: take it out of differences.json"
    assert len(outcome.equal) >= EQUAL_SHARE * (len(outcome.equal) + len(listed))


def test_every_recording_is_replayed() -> None:
    assert {scenario.name for scenario in SCENARIOS} == {path.stem for path in RECORDINGS.glob("*.jsonl")}


def test_every_listed_difference_has_a_reason() -> None:
    assert all(len(reason) > 20 for reasons in LISTED.values() for reason in reasons.values())
