"""Stories of keys that are changed while clones are in use: new ones come, old ones of ours go, others stay."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from tests.crash.lives import begin, begin_clean, wait_ready
from tests.support import manifests
from tests.support.simulation import Simulation
from tests.support.stories import DEV, ask_for_sync, change, condition, replica, wait_copying

from vmclone_operator.domain.backend import Power
from vmclone_operator.domain.errors import AgentNotReady
from vmclone_operator.domain.guest_keys import fingerprint
from vmclone_operator.homecopy.outcome import Ended
from vmclone_operator.kube.cluster import Kind
from vmclone_operator.providers.fake import Fault, FaultKind, FaultSchedule, Point, at_call
from vmclone_operator.providers.fake.profiles import AZURE
from vmclone_operator.providers.fake.state import Machine
from vmclone_operator.providers.fake.tasks import LEAST_SECONDS, Task

ALICE = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGFsaWNleHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4 alice"
BOB = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJvYnh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4 bob"
CAROL = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGNhcm9seHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4 carol"
CONDITION = "AccessApplied"
CALL = "guest exec access-keys"


def access(*keys: str) -> dict[str, Any]:
    return {"access": {"authorizedKeys": list(keys)}}


def with_keys(*keys: str, schedule: FaultSchedule | None = None, replicas: int = 1, **spec: Any) -> Simulation:
    """Return an operator whose clones are ready and let these keys in as dev."""
    sim = begin(schedule or FaultSchedule(), replicas=replicas, **access(*keys), **spec)
    sim.cluster.apply(Kind.SOURCE, manifests.source(home={"user": "dev"}))
    wait_ready(sim, replicas)
    return sim


def machines(sim: Simulation) -> list[Machine]:
    return [machine for machine in sim.world.state.machines.values() if machine.stamp is not None]


def let_in(sim: Simulation) -> list[str]:
    """Return who may log in to the first clone, by the comments of their keys."""
    return [key.split()[-1] for key in machines(sim)[0].guest.authorized_keys.get("dev", [])]


def told(sim: Simulation, ordinal: int = 1) -> tuple[str, str]:
    return condition(replica(sim, ordinal), "AccessApplied")


def test_a_new_key_comes_an_old_one_goes_and_one_added_by_hand_stays() -> None:
    sim = with_keys(ALICE, replicas=2)
    assert told(sim) == ("absent", "")
    machines(sim)[0].guest.authorized_keys["dev"].append(CAROL)
    resets = [machine.guest.resets for machine in machines(sim)]
    change(sim, replicas=2, **access(BOB))
    sim.run(60)
    assert let_in(sim) == ["carol", "bob"]
    for ordinal in (1, 2):
        assert told(sim, ordinal) == ("True", "KeysReplaced")
        assert replica(sim, ordinal)["status"]["access"]["keys"] == [fingerprint(BOB)]
        assert condition(replica(sim, ordinal), "Ready") == ("True", "Ready")
    assert [machine.guest.resets for machine in machines(sim)] == resets


def test_nothing_is_asked_or_written_while_the_keys_are_as_they_are_wanted() -> None:
    sim = with_keys(ALICE, schedule=FaultSchedule(record=True))
    change(sim, replicas=1, **access(BOB))
    sim.run(60)
    before, asked = len(sim.cluster.writes), [point.call for point in sim.schedule.trace].count(CALL)
    sim.run(3600)
    assert sim.cluster.writes[before:] == []
    assert [point.call for point in sim.schedule.trace].count(CALL) == asked > 0


def test_the_keys_of_the_source_count_where_the_vmclone_names_none() -> None:
    sim = begin(FaultSchedule(), replicas=1)
    sim.cluster.apply(Kind.SOURCE, manifests.source(home={"user": "dev", "authorizedKeys": [ALICE]}))
    wait_ready(sim, 1)
    assert let_in(sim) == ["alice"]
    sim.cluster.apply(Kind.SOURCE, manifests.source(home={"user": "dev", "authorizedKeys": [BOB]}))
    sim.run(120)
    assert let_in(sim) == ["bob"]


def test_a_clean_clone_gets_its_new_keys_too() -> None:
    sim = begin_clean(FaultSchedule(), replicas=1, **access(ALICE))
    wait_ready(sim, 1)
    change(sim, replicas=1, **access(BOB))
    sim.run(120)
    assert let_in(sim) == ["bob"]


def test_a_clone_that_is_off_is_not_started_and_gets_them_when_it_runs() -> None:
    sim = with_keys(ALICE, template={"power": "Off"})
    (machine,) = machines(sim)
    change(sim, replicas=1, template={"power": "Off"}, **access(BOB))
    sim.run(600)
    assert (machine.power, told(sim)) == (Power.OFF, ("False", "KeysPending"))
    assert let_in(sim) == ["alice"]
    assert condition(replica(sim, 1), "Ready") == ("True", "Ready")
    sim.world.set_power_by_hand(machine, Power.ON)
    sim.run(600)
    assert (let_in(sim), told(sim)) == (["bob"], ("True", "KeysReplaced"))


def test_a_change_that_is_taken_back_while_it_waits_is_said_to_wait_no_more() -> None:
    sim = with_keys(ALICE, template={"power": "Off"})
    change(sim, replicas=1, template={"power": "Off"}, **access(BOB))
    sim.run(120)
    assert told(sim) == ("False", "KeysPending")
    change(sim, replicas=1, template={"power": "Off"}, **access(ALICE))
    sim.run(120)
    assert (told(sim), let_in(sim)) == (("True", "KeysReplaced"), ["alice"])


def test_a_pause_holds_the_change_up_and_says_so() -> None:
    sim = with_keys(ALICE)
    change(sim, replicas=1, paused=True, **access(BOB))
    sim.run(120)
    assert (told(sim), let_in(sim)) == (("False", "KeysPending"), ["alice"])
    change(sim, replicas=1, **access(BOB))
    sim.run(120)
    assert (told(sim), let_in(sim)) == (("True", "KeysReplaced"), ["bob"])


def test_a_clone_that_refuses_stays_ready_says_why_and_is_asked_again_later() -> None:
    sim = with_keys(ALICE)
    machines(sim)[0].guest.key_refusals += ["/home/dev/.ssh is a link"] * 2
    change(sim, replicas=1, **access(BOB))
    sim.run(120)
    status = replica(sim, 1)["status"]
    assert told(sim) == ("False", "KeysRefused")
    assert ".ssh is a link" in next(c["message"] for c in status["conditions"] if c["type"] == "AccessApplied")
    assert condition(replica(sim, 1), "Ready") == ("True", "Ready")
    assert len(machines(sim)[0].guest.key_refusals) == 1, "it is not asked again at once"
    sim.run(3600)
    assert (let_in(sim), told(sim)) == (["bob"], ("True", "KeysReplaced"))


def test_a_guest_that_falls_silent_gets_them_when_it_answers() -> None:
    silent = Fault(kind=FaultKind.FAIL, error=AgentNotReady("no answer"))
    sim = with_keys(ALICE)
    sim.schedule.choose = at_call(CALL, silent, times=2)
    change(sim, replicas=1, **access(BOB))
    sim.run(20)
    assert told(sim) == ("False", "KeysPending")
    assert condition(replica(sim, 1), "Ready") == ("True", "Ready")
    sim.run(600)
    assert (let_in(sim), told(sim)) == (["bob"], ("True", "KeysReplaced"))


@pytest.mark.parametrize("kind", [FaultKind.KILL_BEFORE, FaultKind.KILL_AFTER], ids=lambda kind: str(kind.value))
def test_an_operator_that_dies_at_the_command_leaves_no_old_key_behind(kind: FaultKind) -> None:
    """And the wish changes once more before the next one looks: the key of the wish between must not stay either."""
    sim = with_keys(ALICE)
    sim.schedule.choose = at_call(CALL, Fault(kind=kind))
    change(sim, replicas=1, **access(BOB))
    sim.run(600, until=lambda: sim.kills > 0)
    assert sim.kills == 1
    change(sim, replicas=1, **access(CAROL))
    sim.run(600)
    assert let_in(sim) == ["carol"]
    assert replica(sim, 1)["status"]["access"]["keys"] == [fingerprint(CAROL)]


def test_guests_that_run_tasks_get_them_by_one_task() -> None:
    sim = begin(FaultSchedule(), replicas=1, **access(ALICE))
    sim.world.become(AZURE)
    sim.cluster.apply(Kind.SOURCE, manifests.source(home={"user": "dev"}))
    wait_ready(sim, 1)
    change(sim, replicas=1, **access(BOB))
    sim.run(900)
    assert (let_in(sim), told(sim)) == (["bob"], ("True", "KeysReplaced"))
    assert [task.name for task in machines(sim)[0].tasks.runs.values()].count("access-keys") == 1


def test_guests_that_run_tasks_get_a_list_that_they_had_before_by_another_task() -> None:
    sim = begin(FaultSchedule(), replicas=1, **access(ALICE))
    sim.world.become(AZURE)
    sim.cluster.apply(Kind.SOURCE, manifests.source(home={"user": "dev"}))
    wait_ready(sim, 1)
    for keys, names in ((BOB, ["bob"]), (ALICE, ["alice"]), (BOB, ["bob"])):
        change(sim, replicas=1, **access(keys))
        sim.run(900)
        assert (let_in(sim), told(sim)) == (names, ("True", "KeysReplaced"))


def limited_to_one_copy(*keys: str) -> Simulation:
    """Return an operator that copies one home, and has another clone that can be reached stand in line for its own."""
    sim = begin_clean(FaultSchedule(), replicas=2, **access(*keys))
    sim.cluster.apply(Kind.SOURCE, manifests.clean_source(limits={"maxParallelCopies": 1}))
    sim.kubelet.copy_seconds = 6 * 3600.0
    wait_copying(sim, 1)
    sim.run(60)
    return sim


def everybody_let_in(sim: Simulation) -> list[list[str]]:
    found = [machine.guest.authorized_keys.get("dev", []) for machine in machines(sim)]
    return [[key.split()[-1] for key in keys if key.split()[-1] in {"alice", "bob", "carol"}] for keys in found]


def test_a_dropped_key_goes_while_a_home_copy_runs_or_stands_in_line() -> None:
    sim = limited_to_one_copy(ALICE)
    before = [(step["name"], step["startTime"]) for step in replica(sim, 1)["status"]["steps"]]
    change(sim, replicas=2, **access(BOB))
    sim.run(120)
    assert everybody_let_in(sim) == [["bob"], ["bob"]]
    for ordinal in (1, 2):
        status = replica(sim, ordinal)["status"]
        assert told(sim, ordinal) == ("True", "KeysReplaced")
        assert (status["state"], "readyTime" in status) == ("HomeCopy", False)
        assert condition(replica(sim, ordinal), "Ready")[0] == "False"
    assert [(step["name"], step["startTime"]) for step in replica(sim, 1)["status"]["steps"]] == before
    assert len(sim.kubelet.runs) == 1, "the copy that runs goes on"


def test_a_dropped_key_goes_while_a_home_copy_fails_again_and_again() -> None:
    sim = begin_clean(FaultSchedule(), replicas=1, **access(ALICE))
    sim.kubelet.outcomes = [Ended.HOST_KEY_MISMATCH] * 50
    sim.run(300)
    assert condition(replica(sim, 1), "HomeCopied") == ("False", "HostKeyMismatch")
    step = next(step for step in replica(sim, 1)["status"]["steps"] if step["name"] == "HomeCopy")
    change(sim, replicas=1, **access(BOB))
    sim.run(30)
    assert everybody_let_in(sim) == [["bob"]]
    assert condition(replica(sim, 1), "HomeCopied") == ("False", "HostKeyMismatch")
    status = replica(sim, 1)["status"]
    assert status["state"] == "Failed"
    assert next(step for step in status["steps"] if step["name"] == "HomeCopy") == step


def test_a_dropped_key_goes_while_a_refresh_runs_and_the_clone_stays_ready() -> None:
    spec: dict[str, Any] = {"homeCopy": {"refresh": "OnRequest"}}
    sim = begin_clean(FaultSchedule(), replicas=1, **access(ALICE), **spec)
    wait_ready(sim, 1)
    sim.kubelet.copy_seconds = 6 * 3600.0
    ask_for_sync(sim, replicas=1, **access(ALICE), **spec)
    wait_copying(sim, 1)
    ask_for_sync(sim, replicas=1, **access(BOB), **spec)
    sim.run(120)
    assert everybody_let_in(sim) == [["bob"]]
    assert (condition(replica(sim, 1), "Ready"), told(sim)) == (("True", "Ready"), ("True", "KeysReplaced"))
    assert len(sim.kubelet.running()) == 1


def test_a_pause_before_the_clone_was_ever_ready_says_that_a_change_waits() -> None:
    sim = limited_to_one_copy(ALICE)
    change(sim, replicas=2, **access(BOB))
    sim.run(120)
    change(sim, replicas=2, paused=True, **access(CAROL))
    sim.run(120)
    assert [told(sim, ordinal) for ordinal in (1, 2)] == [("False", "KeysPending")] * 2
    assert everybody_let_in(sim) == [["bob"], ["bob"]]
    change(sim, replicas=2, **access(CAROL))
    sim.run(120)
    assert everybody_let_in(sim) == [["carol"], ["carol"]]


MALFORMED = "ssh-ed25519 AAAA=BBBB mallory"
"""The API server once took it for a key."""


def test_a_stored_key_that_is_none_is_named_and_the_next_list_is_taken_at_once() -> None:
    sim = with_keys(ALICE, replicas=2)
    change(sim, replicas=2, **access(BOB, MALFORMED))
    sim.run(120)
    for ordinal in (1, 2):
        assert told(sim, ordinal) == ("False", "KeysRefused")
        assert condition(replica(sim, ordinal), "Ready") == ("True", "Ready")
        message = next(c["message"] for c in replica(sim, ordinal)["status"]["conditions"] if c["type"] == CONDITION)
        assert "spec.access.authorizedKeys[1] is 'ssh-ed25519 AAAA=BBBB mallory'" in message
    assert let_in(sim) == ["alice"]
    change(sim, replicas=2, **access(BOB))
    sim.run(30)
    assert (let_in(sim), told(sim)) == (["bob"], ("True", "KeysReplaced"))


def test_a_stored_key_of_the_source_that_is_none_holds_up_no_deletion() -> None:
    sim = begin(FaultSchedule(), replicas=1)
    sim.cluster.apply(Kind.SOURCE, manifests.source(home={"user": "dev", "authorizedKeys": [ALICE]}))
    wait_ready(sim, 1)
    sim.cluster.apply(Kind.SOURCE, manifests.source(home={"user": "dev", "authorizedKeys": [MALFORMED]}))
    sim.run(120)
    assert told(sim) == ("False", "KeysRefused")
    sim.cluster.remove(DEV)
    sim.run(300)
    assert sim.get(Kind.VMCLONE, "dev", "team-a") is None


@pytest.mark.parametrize("clean", [False, True], ids=["a disk clone", "a clean clone"])
def test_a_clone_that_would_get_what_is_no_key_says_so_and_is_made_with_the_right_one(clean: bool) -> None:
    if clean:
        sim = begin_clean(FaultSchedule(), replicas=1, **access(MALFORMED))
    else:
        sim = begin(FaultSchedule(), replicas=1, **access(MALFORMED))
        sim.cluster.apply(Kind.SOURCE, manifests.source(home={"user": "dev"}))
    sim.run(200)
    assert condition(replica(sim, 1), "Stalled") == ("True", "KeyMalformed")
    change(sim, replicas=1, **access(ALICE))
    wait_ready(sim, 1)
    assert let_in(sim) == ["alice"]


@pytest.mark.parametrize("tasks", [False, True], ids=["by commands", "by tasks"])
def test_a_key_of_a_reset_whose_answer_was_lost_is_taken_out_as_any_other(tasks: bool) -> None:
    """The list changes before the reset, and once more when the operator died in it: the one between is not left."""
    sim = begin(FaultSchedule(), replicas=1, **access(ALICE))
    if tasks:
        sim.world.become(AZURE)
    sim.cluster.apply(Kind.SOURCE, manifests.source(home={"user": "dev"}))
    sim.run(600, until=lambda: len(machines(sim)) == 1)
    assert replica(sim, 1)["status"]["access"]["keys"] == [fingerprint(ALICE)]

    def dies(point: Point) -> Fault | None:
        begins = point.call.startswith("guest task") if tasks else point.call == "guest exec identity"
        return Fault(kind=FaultKind.KILL_AFTER) if begins and sim.kills == 0 and point.verb != "guest_result" else None

    sim.schedule.choose = dies
    change(sim, replicas=1, **access(BOB))
    sim.run(3600, until=lambda: sim.kills > 0)
    assert sim.kills == 1
    assert set(replica(sim, 1)["status"]["access"]["keys"]) == {fingerprint(ALICE), fingerprint(BOB)}
    change(sim, replicas=1, **access(CAROL))
    wait_ready(sim, 1)
    sim.run(900)
    assert let_in(sim) == ["carol"]
    assert replica(sim, 1)["status"]["access"]["keys"] == [fingerprint(CAROL)]


def test_a_list_that_is_emptied_before_the_reset_of_a_clean_clone_leaves_no_key_in_it() -> None:
    sim = begin_clean(FaultSchedule(), replicas=1, **access(ALICE))
    sim.cluster.apply(Kind.SOURCE, manifests.clean_source())
    sim.run(600, until=lambda: len(machines(sim)) == 1)
    change(sim, replicas=1)
    wait_ready(sim, 1)
    sim.run(120)
    assert let_in(sim) == []
    assert replica(sim, 1)["status"]["access"].get("keys", []) == []


@pytest.mark.parametrize("clean", [False, True], ids=["a disk clone", "a clean clone"])
def test_a_user_that_is_renamed_before_the_reset_is_the_one_whose_keys_are_changed(clean: bool) -> None:
    """And nothing of ours stays with the old one, to whom cloud-init gave it."""
    made = begin_clean if clean else begin
    more: dict[str, Any] = {"homeCopy": {"policy": "Skip"}} if clean else {}
    sim = made(FaultSchedule(), replicas=1, **access(ALICE), **more)
    of_user = manifests.clean_source if clean else manifests.source
    sim.cluster.apply(Kind.SOURCE, of_user(home={"user": "dev"}))
    sim.run(600, until=lambda: len(machines(sim)) == 1)
    sim.cluster.apply(Kind.SOURCE, of_user(home={"user": "ops"}))
    wait_ready(sim, 1)
    sim.run(120)
    keys = machines(sim)[0].guest.authorized_keys
    assert ([key.split()[-1] for key in keys["ops"]], keys.get("dev", [])) == (["alice"], [])
    change(sim, replicas=1, **access(BOB))
    sim.run(120)
    assert ([key.split()[-1] for key in keys["ops"]], keys.get("dev", [])) == (["bob"], [])


def reserved(sim: Simulation) -> bool:
    """Return whether the ledger has the attempt, and no call for the clone was made."""
    document = sim.get(Kind.REPLICA, "dev-1", "team-a")
    return document is not None and bool((document.get("status") or {}).get("intent")) and not machines(sim)


def test_a_key_that_is_wanted_only_while_the_seed_is_made_does_not_stay_in_a_clean_clone() -> None:
    sim = begin_clean(FaultSchedule(), replicas=1)
    sim.run(600, until=lambda: reserved(sim))
    assert reserved(sim)
    change(sim, replicas=1, **access(ALICE))
    sim.run(600, until=lambda: len(machines(sim)) == 1)
    assert replica(sim, 1)["status"]["access"]["keys"] == [fingerprint(ALICE)]
    change(sim, replicas=1)
    wait_ready(sim, 1)
    sim.run(120)
    assert let_in(sim) == []
    assert replica(sim, 1)["status"]["access"].get("keys", []) == []


def test_a_list_that_comes_back_while_an_operator_dies_in_taking_a_key_out_is_put_in_again() -> None:
    sim = with_keys(ALICE, BOB)
    sim.schedule.choose = at_call(CALL, Fault(kind=FaultKind.KILL_AFTER))
    change(sim, replicas=1, **access(ALICE))
    sim.run(600, until=lambda: sim.kills > 0)
    change(sim, replicas=1, **access(ALICE, BOB))
    sim.run(600)
    assert sorted(let_in(sim)) == ["alice", "bob"]


def key_runs(sim: Simulation) -> list[Task]:
    return [task for task in machines(sim)[0].tasks.runs.values() if task.name == "access-keys"]


@pytest.mark.parametrize("apart", [1, 5, 15], ids=lambda seconds: f"{seconds} s apart")
@pytest.mark.parametrize("count", [4, 5], ids=lambda count: f"{count} lists")
def test_of_lists_that_change_faster_than_a_task_runs_the_last_one_counts(count: int, apart: int) -> None:
    """The same two lists again and again: what a run before answered is no answer for one of now."""
    sim = begin(FaultSchedule(), replicas=1, **access(ALICE))
    sim.world.become(AZURE)
    sim.cluster.apply(Kind.SOURCE, manifests.source(home={"user": "dev"}))
    wait_ready(sim, 1)
    lists = [(BOB, "bob"), (CAROL, "carol")] * 3
    for number in range(count):
        change(sim, replicas=1, **access(lists[number][0]))
        sim.run(apart)
    sim.run(900)
    assert (let_in(sim), told(sim)) == ([lists[count - 1][1]], ("True", "KeysReplaced"))
    starts = sorted(task.started_at for task in key_runs(sim))
    assert all(later - one >= LEAST_SECONDS for one, later in pairwise(starts)), "one begins when another ended"
