"""Stories of steps that fail: waits that grow, attempts that are used up, limits of time."""

from __future__ import annotations

from tests.crash.lives import begin, wait_ready
from tests.support.simulation import Simulation
from tests.support.stories import DEV, change, condition, replica, vmclone

from vmclone_operator.domain.errors import CloneFailed
from vmclone_operator.kube.cluster import Key, Kind
from vmclone_operator.providers.fake import Fault, FaultKind, FaultSchedule, at_call

REFUSE = Fault(kind=FaultKind.FAIL, error=CloneFailed("no room"))
FIRST = Key(Kind.REPLICA, "team-a", "dev-1")


def failing(call: str = "define", **spec: object) -> Simulation:
    """Return an operator of whose provider calls one is refused for ever."""
    return begin(FaultSchedule(at_call(call, REFUSE, times=10_000)), replicas=1, **spec)  # type: ignore[arg-type]


def ask(sim: Simulation, key: Key, value: str) -> None:
    """Ask for another attempt, as a user would."""
    sim.cluster.overwrite(key, lambda d: d["metadata"].update(annotations={"vmclone.dev/retry-at": value}))


def test_a_step_that_fails_is_tried_less_and_less_often() -> None:
    sim = failing(retry={"backoff": "10s", "maxBackoff": "1m"})
    sim.run(600)
    assert 10 <= len(sim.schedule.struck) <= 14
    told = replica(sim, 1)["status"]["retry"]
    assert (told["step"], told["reason"], told["failures"]) == ("Clone", "CloneFailed", len(sim.schedule.struck))
    assert condition(replica(sim, 1), "Stalled") == ("True", "CloneFailed")
    sim.schedule.choose = lambda _: None
    wait_ready(sim, 1)
    assert "retry" not in replica(sim, 1)["status"]


def test_attempts_that_are_used_up_wait_for_a_person_and_cost_nothing() -> None:
    sim = failing(retry={"backoff": "1s", "maxAttempts": 3})
    sim.run(600)
    assert len(sim.schedule.struck) == 3
    writes = len(sim.cluster.writes)
    sim.run(6 * 3600)
    assert (len(sim.schedule.struck), len(sim.cluster.writes)) == (3, writes)
    assert condition(vmclone(sim), "Stalled") == ("True", "CloneFailed")
    sim.schedule.choose = lambda _: None
    ask(sim, FIRST, "now")
    wait_ready(sim, 1)


def test_asking_the_vmclone_gives_all_attempts_back_once() -> None:
    sim = failing(retry={"backoff": "1s", "maxAttempts": 2})
    sim.run(300)
    ask(sim, DEV, "now")
    sim.run(600)
    assert len(sim.schedule.struck) == 4


def test_a_request_on_the_vmclone_reaches_a_replica_that_was_once_asked_itself() -> None:
    sim = failing(retry={"backoff": "1s", "maxAttempts": 2})
    sim.run(300)
    ask(sim, FIRST, "one")
    sim.run(600)
    ask(sim, DEV, "all")
    sim.run(600)
    assert len(sim.schedule.struck) == 6


def test_an_operator_that_is_killed_forgets_no_failure() -> None:
    sim = failing(retry={"backoff": "1s", "maxAttempts": 3})
    for _ in range(6):
        sim.run(2)
        sim.restart()
    sim.run(600)
    assert len(sim.schedule.struck) == 3


def test_a_boot_that_takes_longer_than_the_user_allows_is_told_and_goes_on() -> None:
    sim = begin(FaultSchedule(), replicas=1, timeouts={"boot": "10s"})
    sim.run(25)
    assert condition(replica(sim, 1), "Stalled") == ("True", "GuestAgentMissing")
    wait_ready(sim, 1)


def unbootable(*, console: bool = True) -> Simulation:
    """Return an operator with a clone that does not boot from the disk it got, and is overdue."""
    sim = begin(FaultSchedule(record=True), replicas=1, timeouts={"boot": "10s"})
    sim.run(60, until=lambda: any(m.stamp is not None for m in sim.world.state.machines.values()))
    clone = next(m for m in sim.world.state.machines.values() if m.stamp is not None)
    clone.guest.boot_error, clone.has_console = "\x1b[31mYou are in emergency mode.", console
    sim.run(120)
    return sim


def reads(sim: Simulation) -> int:
    """Return how often a console was read."""
    return sum(point.call == "read console" for point in sim.schedule.trace)


def test_a_boot_that_fails_is_told_with_the_last_lines_of_its_console() -> None:
    sim = unbootable()
    assert condition(replica(sim, 1), "Stalled") == ("True", "BootFailed")
    told = next(c["message"] for c in replica(sim, 1)["status"]["conditions"] if c["type"] == "Stalled")
    assert told.endswith("You are in emergency mode.")
    assert "\x1b" not in told
    assert reads(sim) == 1


def test_a_console_that_cannot_be_read_costs_nothing_but_its_words() -> None:
    sim = unbootable()
    sim.schedule.choose = at_call("read console", Fault(kind=FaultKind.FAIL), times=10_000)
    sim.restart()
    sim.run(120)
    assert condition(replica(sim, 1), "Stalled") == ("True", "GuestAgentMissing")
    sim.schedule.choose = lambda _: None
    sim.run(60)
    assert condition(replica(sim, 1), "Stalled") == ("True", "BootFailed")


def test_a_boot_that_failed_without_a_console_is_told_as_one_of_two_things() -> None:
    sim = unbootable(console=False)
    assert condition(replica(sim, 1), "Stalled") == ("True", "GuestAgentMissing")
    told = next(c["message"] for c in replica(sim, 1)["status"]["conditions"] if c["type"] == "Stalled")
    assert "may not have booted" in told


def test_disks_that_take_longer_than_the_user_allows_are_told_and_waited_for() -> None:
    sim = begin(FaultSchedule(), replicas=1, timeouts={"clone": "1m"})
    sim.world.clone_seconds = 300
    sim.run(120)
    assert condition(replica(sim, 1), "Provisioned") == ("False", "CloneTimedOut")
    assert condition(replica(sim, 1), "Stalled") == ("True", "CloneTimedOut")
    wait_ready(sim, 1)


def test_what_waits_for_a_slot_has_not_begun_to_take_time() -> None:
    sim = begin(FaultSchedule(), replicas=2, timeouts={"clone": "10s"}, rollout={"maxInFlight": 1})
    sim.run(30)
    assert condition(replica(sim, 2), "Stalled")[0] == "absent"
    change(sim, replicas=2, timeouts={"clone": "10s"}, rollout={"maxInFlight": 1})
    wait_ready(sim, 2)
