"""Stories of guests that run tasks, as Azure's do: one at a time, 20 seconds each, looked at later."""

from __future__ import annotations

from typing import Any

import pytest
from tests.crash.lives import begin, begin_clean, wait_ready
from tests.support.simulation import Simulation
from tests.support.stories import condition, leftovers, replica

from vmclone_operator.domain.backend import Power
from vmclone_operator.domain.guest_tasks import IDENTITY
from vmclone_operator.providers.fake import Fault, FaultKind, FaultSchedule, Point, at_call
from vmclone_operator.providers.fake.profiles import AZURE
from vmclone_operator.providers.fake.state import Machine


def remote(schedule: FaultSchedule | None = None, *, guest: dict[str, Any] | None = None, **more: Any) -> Simulation:
    """Begin a VMClone on a backend whose guests run tasks."""
    sim = begin(schedule or FaultSchedule(record=True), **({"replicas": 1} | more))
    sim.world.become(AZURE)
    (source,) = sim.world.state.machines.values()
    for name, value in (guest or {}).items():
        setattr(source.guest, name, value)
    return sim


def clones(sim: Simulation) -> list[Machine]:
    return [machine for machine in sim.world.state.machines.values() if machine.stamp is not None]


def tasks(sim: Simulation) -> list[str]:
    """Return what ran in the clones, by name."""
    return [task.name for machine in clones(sim) for task in machine.tasks.runs.values()]


def until_task(sim: Simulation) -> Machine:
    """Run until a clone's guest has a task."""
    sim.run(600, until=lambda: bool(tasks(sim)))
    return clones(sim)[0]


def test_a_clone_gets_its_identity_and_its_scrub_by_one_task() -> None:
    sim = remote(replicas=3, guest={"secrets": 4, "waits_for_network": True, "reset_seconds": 30})
    wait_ready(sim, 3)
    assert tasks(sim) == [IDENTITY] * 3
    for ordinal in (1, 2, 3):
        status = replica(sim, ordinal)["status"]
        assert condition(replica(sim, ordinal), "IdentityReset") == ("True", "Verified")
        assert status["scrub"]["files"] == 4
        assert "guestTask" not in status
    assert all(machine.connected and machine.guest.machine_id == machine.machine_id for machine in clones(sim))


def test_the_run_is_in_the_ledger_before_it_starts() -> None:
    """A run that nobody knows of would be started again beside itself by the next operator."""
    known: list[str] = []

    def choose(point: Point) -> Fault | None:
        if point.verb == "guest_start" and point.writes:
            known.append(replica(sim, 1)["status"]["guestTask"]["run"])
        return None

    sim = remote(FaultSchedule(choose))
    wait_ready(sim, 1)
    assert known == list(clones(sim)[0].tasks.runs)


def test_a_start_whose_reply_is_lost_starts_nothing_twice() -> None:
    lost = Fault(kind=FaultKind.LOSE_REPLY)
    sim = remote(FaultSchedule(at_call(f"guest task {IDENTITY}", lost, verb="guest_start")))
    wait_ready(sim, 1)
    assert tasks(sim) == [IDENTITY]


def test_a_vm_that_goes_down_with_its_task_gets_another_run() -> None:
    sim = remote(guest={"reset_seconds": 60})
    machine = until_task(sim)
    sim.world.set_power_by_hand(machine, Power.OFF)
    wait_ready(sim, 1)
    assert tasks(sim) == [IDENTITY, IDENTITY]
    assert len(set(machine.tasks.runs)) == 2


def test_a_reset_that_fails_in_the_guest_is_told_and_tried_again() -> None:
    sim = remote(guest={"reset_failures": ["disk full"]}, retry={"backoff": "60s"})
    until_task(sim)
    sim.run(600, until=lambda: "retry" in replica(sim, 1)["status"])
    assert "disk full" in replica(sim, 1)["status"]["retry"]["message"]
    wait_ready(sim, 1)
    assert tasks(sim) == [IDENTITY, IDENTITY]


def test_a_guest_that_asks_for_a_reboot_is_asked_again_after_it() -> None:
    sim = remote(guest={"declares_reboot": True})
    wait_ready(sim, 1)
    assert tasks(sim) == [IDENTITY, IDENTITY]
    assert max(sim.world.effects.boots.values()) == 2


@pytest.mark.parametrize("seconds", [0, 600])
def test_a_clone_that_does_not_boot_in_time_is_told_of_and_taken_when_it_does(seconds: float) -> None:
    sim = remote(timeouts={"boot": "2m"})
    sim.world.settle_seconds = seconds
    wait_ready(sim, 1)
    assert tasks(sim) == [IDENTITY]


def test_a_clean_clone_with_its_home_costs_three_tasks() -> None:
    """One for the identity, one that lets the copy's key in, one that takes it out."""
    sim = begin_clean(FaultSchedule(), replicas=1)
    sim.world.become(AZURE)
    wait_ready(sim, 1)
    assert tasks(sim) == [IDENTITY, "copy-access", "copy-access"]
    assert condition(replica(sim, 1), "HomeCopied") == ("True", "Copied")
    sim.run(60)
    assert leftovers(sim) == []
