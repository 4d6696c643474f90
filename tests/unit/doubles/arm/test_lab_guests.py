"""Real guests behind the ARM double: what they find of their platform, and scripts whose end nobody knows before."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

import pytest
from tests.doubles.arm.guests import Hardware, ModelledGuests, Outcome
from tests.doubles.arm.lab_guests import LabRun, seed_files
from tests.doubles.machines import NoAnswer
from tests.unit.doubles.arm.desk import Desk, at_desk
from tests.unit.doubles.arm.test_rules import run, view

CONFIG = "#cloud-config\n{}\n"
CODE = base64.b64encode(CONFIG.encode()).decode()


def hardware(**held: Any) -> Hardware:
    blank: dict[str, Any] = {"user_data": "", "custom_data": ""}
    return Hardware(vm="/vm", vm_id="1-2-3", name="dev-1-abc", disks=(), **{**blank, **held})


@pytest.mark.parametrize(
    ("made", "hostname", "local"),
    [
        pytest.param(hardware(user_data=CODE), "dev-1-abc", True, id="a copied disk boots without a network"),
        pytest.param(
            hardware(custom_data=CODE, os_profile={"computerName": "dev-1"}),
            "dev-1",
            False,
            id="an image has the name of its profile",
        ),
    ],
)
def test_a_guest_finds_its_platforms_data_in_its_seed(made: Hardware, hostname: str, local: bool) -> None:
    files = seed_files(made)
    meta = json.loads(files["meta-data"])
    assert (meta["instance-id"], meta["local-hostname"], "dsmode" in meta) == ("1-2-3", hostname, local)
    assert files["user-data"] == CONFIG


@pytest.mark.parametrize(
    ("told", "outcome"),
    [
        pytest.param({"exited": False}, None, id="a script that runs has no result"),
        pytest.param(
            {"exited": True, "exitcode": 3, "out-data": "aGk="},
            Outcome(exit_code=3, stdout="hi", seconds=7),
            id="one that ended has its status, its text and its time",
        ),
        pytest.param({"exited": True, "signal": 9}, Outcome(exit_code=137, seconds=7), id="one was killed"),
    ],
)
def test_a_script_has_ended_when_the_guest_says_so(told: dict[str, Any], outcome: Outcome | None) -> None:
    assert LabRun(lambda: told, now=lambda: 107.0, began=100.0).look() == outcome


def test_no_answer_of_the_agent_means_no_result() -> None:
    def mute() -> dict[str, Any]:
        raise NoAnswer("guest agent is not responding")

    assert LabRun(mute, now=lambda: 1.0, began=0.0).look() is None


@dataclass
class Later:
    """A script that ends when a test says so."""

    outcome: Outcome | None = None

    def look(self) -> Outcome | None:
        return self.outcome


class LaterGuests(ModelledGuests):
    """Guests whose scripts end when a test says so."""

    later = Later()

    def run(self, vm: str, script: str) -> Later:  # type: ignore[override]  # a script that was only started
        assert vm
        assert script
        return self.later


async def started(desk: Desk, **properties: Any) -> Later:
    """Run a script on the source whose end nobody knows."""
    before = desk.world.guests
    assert isinstance(before, ModelledGuests)
    guests = LaterGuests(desk.world.now)
    guests.disks, guests.running, guests.later = before.disks, before.running, Later()
    desk.world.guests = guests
    await run(desk, "a", "echo", **properties)
    return guests.later


def test_a_run_command_ends_when_its_script_does() -> None:
    async def story(desk: Desk) -> None:
        later = await started(desk)
        desk.later(120)
        assert (await view(desk, "a")).execution_state == "Running"
        later.outcome = Outcome(exit_code=0, stdout="done", seconds=120)
        desk.later(10)
        seen = await view(desk, "a")
        assert (seen.execution_state, seen.output) == ("Succeeded", "done")

    at_desk(story)


def test_a_run_command_whose_script_does_not_end_is_ended_at_its_limit() -> None:
    async def story(desk: Desk) -> None:
        await started(desk, timeoutInSeconds=60)
        desk.later(80)
        assert (await view(desk, "a")).execution_state == "TimedOut"

    at_desk(story)
