"""Stories of turns at a source's home: each is used or given back, and nothing begins that may not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.crash.lives import begin_clean, wait_ready
from tests.support import manifests
from tests.support.simulation import Simulation
from tests.support.stories import (
    DEV,
    ask_for_sync,
    condition,
    copying,
    leftovers,
    ready_clean,
    replica,
    vmclone,
    wait_copying,
)

from vmclone_operator.domain.backend import Power
from vmclone_operator.domain.errors import CloneFailed
from vmclone_operator.engine.home.home_pass import HomePart
from vmclone_operator.homecopy.outcome import Ended
from vmclone_operator.kube.cluster import Key, Kind
from vmclone_operator.providers.fake import Fault, FaultKind, FaultSchedule, at_call
from vmclone_operator.providers.fake.state import Machine

ON_REQUEST = {"refresh": "OnRequest"}
ONE = {"maxParallelCopies": 1}
ONCE = {"backoff": "1s", "maxAttempts": 1}
REFUSE = Fault(kind=FaultKind.FAIL, error=CloneFailed("the home is read-only"))
ONLY_B = {"from": "Names", "names": ["team-b"]}


def one_copy_at_a_time(schedule: FaultSchedule | None = None, **spec: Any) -> Simulation:
    """Return an operator with one clean clone of team-a, whose source bears one copy at a time."""
    sim = begin_clean(schedule or FaultSchedule(), replicas=1, **spec)
    sim.cluster.apply(Kind.SOURCE, manifests.clean_source(limits=ONE))
    sim.run(2)
    return sim


def machine_of(sim: Simulation) -> Machine:
    uid = replica(sim, 1)["metadata"]["uid"]
    return next(m for m in sim.world.state.machines.values() if m.stamp and m.stamp.incarnation == uid)


def reserved(sim: Simulation) -> bool:
    """Return whether the copy stands in the ledger; its Job is made by the next pass."""
    found = sim.get(Kind.REPLICA, "dev-1", "team-a") or {}
    return bool((found.get("status") or {}).get("operation", {}).get("kind") == "HomeCopy")


def wait_reserved(sim: Simulation) -> None:
    sim.run(600, until=lambda: reserved(sim))
    assert reserved(sim)
    assert sim.kubelet.runs == []


def another_gets_its_turn(sim: Simulation) -> bool:
    sim.cluster.apply(Kind.VMCLONE, manifests.vmclone("late", "team-b", replicas=1))
    sim.run(400, until=lambda: condition(vmclone(sim, "late", "team-b"), "Ready")[0] == "True")
    return condition(vmclone(sim, "late", "team-b"), "Ready") == ("True", "AllReady")


def test_a_copy_that_could_not_be_begun_leaves_no_secret_and_gives_its_turn_back() -> None:
    sim = one_copy_at_a_time(FaultSchedule(at_call("guest exec copy-access", REFUSE)), retry=ONCE)
    sim.run(300, until=lambda: bool(sim.schedule.struck))
    sim.run(60)
    assert condition(replica(sim, 1), "Stalled") == ("True", "CloneFailed")
    assert [name for name in leftovers(sim) if "vmclone-home" in name] == []
    assert another_gets_its_turn(sim)
    assert "read-only" in str(replica(sim, 1)["status"]["conditions"])


def test_a_turn_that_may_not_be_used_any_more_is_not_taken() -> None:
    """The only attempt failed: until a person asks for the next one, others go on."""
    sim = one_copy_at_a_time(retry=ONCE)
    sim.kubelet.outcomes = [Ended.COPY_FAILED]
    sim.run(300, until=lambda: condition(replica(sim, 1), "HomeCopied") == ("False", "CopyFailed"))
    sim.run(120)
    assert another_gets_its_turn(sim)
    assert len(sim.kubelet.runs) == 2
    asked = {"vmclone.dev/retry-at": "now"}
    sim.cluster.overwrite(Key(Kind.REPLICA, "team-a", "dev-1"), lambda d: d["metadata"].update(annotations=asked))
    wait_ready(sim, 1)


def test_a_copy_whose_attempts_are_used_up_stands_in_no_line() -> None:
    sim = one_copy_at_a_time(retry=ONCE)
    sim.kubelet.outcomes = [Ended.COPY_FAILED]
    sim.run(300, until=lambda: condition(replica(sim, 1), "HomeCopied") == ("False", "CopyFailed"))
    sim.kubelet.copy_seconds = 300
    sim.cluster.apply(Kind.VMCLONE, manifests.vmclone("late", "team-b", replicas=1))
    sim.run(300, until=lambda: bool(sim.kubelet.running()))
    asked = {"vmclone.dev/other": "now"}
    sim.cluster.overwrite(Key(Kind.REPLICA, "team-a", "dev-1"), lambda d: d["metadata"].update(annotations=asked))
    sim.run(70)
    told = next(c for c in replica(sim, 1)["status"]["conditions"] if c["type"] == "Stalled")
    assert (told["reason"], "maxAttempts allows no more" in told["message"]) == ("CopyFailed", True)


def test_a_turn_that_another_was_faster_to_take_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    async def too_late(part: HomePart) -> bool:
        tried.append(part.replica.key.name)
        return False

    sim = one_copy_at_a_time()
    with monkeypatch.context() as patch:
        patch.setattr(HomePart, "take_turn", too_late)
        sim.run(600, until=lambda: len(tried) == 2)
        assert "operation" not in replica(sim, 1)["status"]
    wait_ready(sim, 1)
    assert len(sim.kubelet.runs) == 1


def falls_silent(machine: Machine) -> None:
    machine.has_agent = False


def is_switched_off(machine: Machine) -> None:
    machine.power = Power.OFF


AWAY: dict[str, Callable[[Machine], None]] = {"silent": falls_silent, "off": is_switched_off}


@pytest.mark.parametrize("goes", AWAY.values(), ids=AWAY.keys())
def test_a_clone_that_goes_away_before_its_job_is_made_holds_up_nobody(goes: Callable[[Machine], None]) -> None:
    """A refresh: the address of the clone is known, and nobody answers there."""
    sim = ready_clean(1, homeCopy=ON_REQUEST)
    sim.cluster.apply(Kind.SOURCE, manifests.clean_source(limits=ONE))
    ask_for_sync(sim, replicas=1, homeCopy=ON_REQUEST)
    sim.run(600, until=lambda: reserved(sim))
    goes(machine_of(sim))
    assert another_gets_its_turn(sim)
    mine = replica(sim, 1)["metadata"]["uid"]
    assert [run.incarnation == mine for run in sim.kubelet.runs[:2]] == [True, False]


def test_a_clone_that_is_delivered_off_and_goes_off_in_mid_copy_holds_up_nobody() -> None:
    off: dict[str, Any] = {"homeCopy": ON_REQUEST, "template": {"power": "Off"}}
    sim = ready_clean(1, **off)
    sim.cluster.apply(Kind.SOURCE, manifests.clean_source(limits=ONE))
    machine = machine_of(sim)
    machine.power, machine.powered_at = Power.ON, sim.clock() - 60
    sim.cluster.apply(Kind.BACKEND, manifests.backend())
    ask_for_sync(sim, "now", replicas=1, **off)
    sim.run(600, until=lambda: len(sim.kubelet.running()) == 1)
    sim.kubelet.outcomes = [Ended.INTERRUPTED]
    is_switched_off(machine)
    assert len(sim.kubelet.running()) == 1
    assert another_gets_its_turn(sim)


def test_a_clone_that_falls_silent_while_its_home_arrives_keeps_its_receipt_and_holds_up_nobody() -> None:
    sim = one_copy_at_a_time()
    sim.run(600, until=lambda: bool(sim.kubelet.running()))
    falls_silent(machine_of(sim))
    assert another_gets_its_turn(sim)
    assert condition(replica(sim, 1), "HomeCopied") == ("True", "Copied")
    assert replica(sim, 1)["status"]["homeCopy"]["files"] == 7


def consent_goes(sim: Simulation) -> None:
    sim.cluster.apply(Kind.SOURCE, manifests.clean_source(allowedNamespaces=ONLY_B))


def it_is_paused(sim: Simulation) -> None:
    sim.cluster.apply(Kind.VMCLONE, manifests.vmclone(replicas=1, paused=True))


UNHEARD: dict[str, Callable[[Simulation], None]] = {"consent": consent_goes, "a pause": it_is_paused}


@pytest.mark.parametrize("happens", UNHEARD.values(), ids=UNHEARD.keys())
def test_what_no_event_told_counts_before_a_copy_begins(happens: Callable[[Simulation], None]) -> None:
    sim = begin_clean(FaultSchedule(), replicas=1)
    wait_reserved(sim)
    sim.silence()
    sim.clock.advance(2)  # a live read of the last second counts
    happens(sim)
    sim.run(50)
    assert sim.kubelet.runs == []
    assert [name for name in leftovers(sim) if "vmclone-home" in name] == []


def test_what_only_the_pod_would_refuse_is_said_before_there_is_a_secret() -> None:
    sim = begin_clean(FaultSchedule(), replicas=1, homeCopy={"extraExcludes": ["+ everything"]})
    made: list[str] = []
    sim.cluster.watchers.append(lambda kind, _, d: made.append(d["metadata"]["name"]) if kind is Kind.SECRET else None)
    sim.run(300)
    assert condition(replica(sim, 1), "Stalled") == ("True", "HomeCopyRefused")
    assert "'+ everything' reads like a filter rule" in str(replica(sim, 1)["status"]["conditions"])
    assert [name for name in made if name.startswith("vmclone-home")] == []
    sim.cluster.apply(Kind.VMCLONE, manifests.vmclone(replicas=1))
    wait_ready(sim, 1)


LEFT: dict[str, dict[str, Any]] = {
    "by the annotation": {"annotations": {"vmclone.dev/orphan-on-delete": "true"}},
    "by the policy": {"deletion": {"onDelete": "Orphan"}},
}


@pytest.mark.parametrize("wish", LEFT.values(), ids=LEFT.keys())
def test_a_vm_that_is_left_behind_is_open_to_no_copy(wish: dict[str, Any]) -> None:
    """It was delivered, and its home is refreshed just now: one that never was would be removed by the policy."""
    spec = {"homeCopy": ON_REQUEST} | {key: value for key, value in wish.items() if key != "annotations"}
    sim = ready_clean(1, **spec)
    ask_for_sync(sim, replicas=1, **spec)
    wait_copying(sim)
    machine = machine_of(sim)
    assert machine.guest.copy_keys
    document = manifests.vmclone(replicas=1, **spec)
    document["metadata"]["annotations"] = wish.get("annotations", {})
    sim.cluster.apply(Kind.VMCLONE, document)
    sim.cluster.remove(DEV)
    sim.run(60)
    assert sim.get(Kind.VMCLONE, "dev", "team-a") is None
    assert any(left is machine for left in sim.world.state.machines.values())
    assert machine.guest.copy_keys == {}


def test_a_deletion_says_which_pod_it_waits_for() -> None:
    sim = copying()
    sim.kubelet.grace_seconds = 20
    job = sim.kubelet.runs[0].key.name
    sim.cluster.remove(DEV)
    sim.run(10)
    told = next(c for c in replica(sim, 1)["status"]["conditions"] if c["type"] == "Deleting")
    assert told["message"] == f"waits for the pod of Job {job}"
    sim.run(60)
    assert sim.get(Kind.VMCLONE, "dev", "team-a") is None


def test_a_refresh_that_could_not_be_begun_says_why_and_is_tried_again() -> None:
    sim = ready_clean(1, homeCopy=ON_REQUEST)
    sim.schedule.choose = at_call("guest exec copy-access", REFUSE)
    ask_for_sync(sim, replicas=1, homeCopy=ON_REQUEST)
    sim.run(10)
    step = next(s for s in replica(sim, 1)["status"]["steps"] if s["name"] == "HomeCopy")
    assert (step["state"], "read-only" in step["message"]) == ("Failed", True)
    assert condition(replica(sim, 1), "Ready")[0] == "True"
    sim.run(60)
    assert len(sim.kubelet.runs) == 2
