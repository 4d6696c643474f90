"""Stories of homes where something else goes wrong: nobody is held up, nothing is said that is not so."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from tests.crash.lives import begin_clean, wait_ready, watched
from tests.support import manifests
from tests.support.simulation import Simulation
from tests.support.stories import (
    DEV,
    ask_for_sync,
    change,
    condition,
    copying,
    leftovers,
    ready_clean,
    replica,
    vmclone,
    wait_copying,
)

from vmclone_operator.homecopy.outcome import Ended
from vmclone_operator.kube.cluster import Key, Kind
from vmclone_operator.providers.fake import Fault, FaultKind, FaultSchedule

ON_REQUEST = {"refresh": "OnRequest"}
ONE = {"maxParallelCopies": 1}
ONLY_B = {"from": "Names", "names": ["team-b"]}


def one_at_a_time(replicas: int) -> Simulation:
    """Return an operator that copies one home, while the others and those of team-b wait."""
    sim = begin_clean(FaultSchedule(), replicas=replicas)
    sim.cluster.apply(Kind.SOURCE, manifests.clean_source(limits=ONE))
    sim.run(5)
    sim.cluster.apply(Kind.VMCLONE, manifests.vmclone("late", "team-b", replicas=1))
    sim.kubelet.copy_seconds = 60
    sim.run(75)
    assert len(sim.kubelet.running()) == 1
    return sim


def late_is_ready(sim: Simulation) -> bool:
    return condition(vmclone(sim, "late", "team-b"), "Ready") == ("True", "AllReady")


def silence(sim: Simulation, ordinal: int = 1) -> None:
    """Let the guest agent of a clone fall silent for good."""
    uid = replica(sim, ordinal)["metadata"]["uid"]
    next(m for m in sim.world.state.machines.values() if m.stamp and m.stamp.incarnation == uid).has_agent = False


def pause(sim: Simulation) -> None:
    change(sim, replicas=3, paused=True)


def take_consent_away(sim: Simulation) -> None:
    sim.cluster.apply(Kind.SOURCE, manifests.clean_source(limits=ONE, allowedNamespaces=ONLY_B))


def agents_fall_silent(sim: Simulation) -> None:
    sim.kubelet.outcomes = [Ended.INTERRUPTED]
    for ordinal in (1, 2, 3):
        silence(sim, ordinal)


HELD_UP: dict[str, Callable[[Simulation], None]] = {
    "paused": pause,
    "without consent": take_consent_away,
    "in clones that do not answer": agents_fall_silent,
}


@pytest.mark.parametrize("trouble", HELD_UP.values(), ids=HELD_UP.keys())
def test_copies_that_may_not_go_on_hold_up_nobody_else(trouble: Callable[[Simulation], None]) -> None:
    """They stood in the queue before; a turn that nobody uses would be lost for as long as the operator runs."""
    sim = one_at_a_time(3)
    trouble(sim)
    sim.run(300, until=lambda: late_is_ready(sim))
    assert late_is_ready(sim)
    assert list(sim.kubelet.most_at_once.values()) == [1]


def test_a_clone_without_an_address_takes_no_turn() -> None:
    sim = begin_clean(FaultSchedule(), replicas=1)
    sim.cluster.apply(Kind.SOURCE, manifests.clean_source(limits=ONE))
    sim.run(2)
    sim.run(200, until=lambda: replica(sim, 1)["status"].get("state") == "Verify")
    silence(sim)
    sim.cluster.apply(Kind.VMCLONE, manifests.vmclone("late", "team-b", replicas=1))
    sim.run(300, until=lambda: late_is_ready(sim))
    assert late_is_ready(sim)


def test_without_consent_a_copy_whose_job_was_taken_away_is_not_begun_again_and_spins_not() -> None:
    sim = copying()
    sim.cluster.apply(Kind.SOURCE, manifests.clean_source(allowedNamespaces=ONLY_B))
    sim.cluster.remove(sim.kubelet.runs[0].key)
    before = sim.passes
    sim.run(300)
    assert sim.passes - before < 100
    assert len(sim.kubelet.runs) == 1
    assert condition(replica(sim, 1), "Stalled") == ("True", "SourceNotGranted")


def test_a_refresh_that_cannot_be_begun_leaves_the_clone_ready_and_says_why() -> None:
    sim = ready_clean(1, homeCopy=ON_REQUEST)
    refuse = Fault(kind=FaultKind.FAIL)
    sim.schedule.choose = lambda point: refuse if point.call == "guest exec copy-access" else None
    ask_for_sync(sim, replicas=1, homeCopy=ON_REQUEST)

    def look() -> bool:
        assert condition(replica(sim, 1), "Ready")[0] == "True"
        return False

    watched(sim, 120, until=look)
    step = next(s for s in replica(sim, 1)["status"]["steps"] if s["name"] == "HomeCopy")
    assert step["state"] == "Failed"
    assert "away" in step["message"]
    sim.schedule.choose = lambda _: None
    watched(sim, 300, until=look)
    assert len(sim.kubelet.runs) == 2


def test_a_refresh_asked_for_while_paused_waits_and_the_clone_stays_ready() -> None:
    sim = ready_clean(1, homeCopy=ON_REQUEST)
    ask_for_sync(sim, replicas=1, homeCopy=ON_REQUEST, paused=True)
    asked = {"vmclone.dev/sync-requested-at": "now"}
    sim.cluster.overwrite(Key(Kind.REPLICA, "team-a", "dev-1"), lambda d: d["metadata"].update(annotations=asked))
    before = len(sim.cluster.writes)
    sim.run(600)
    assert condition(replica(sim, 1), "Ready")[0] == "True"
    assert len(sim.cluster.writes) - before <= 3
    assert len(sim.kubelet.runs) == 1
    ask_for_sync(sim, replicas=1, homeCopy=ON_REQUEST)
    sim.run(120)
    assert len(sim.kubelet.runs) == 2


def test_a_pause_takes_the_key_out_of_the_clone() -> None:
    sim = copying()
    assert any(machine.guest.copy_keys for machine in sim.world.state.machines.values())
    change(sim, replicas=1, paused=True)
    sim.run(30)
    assert not any(machine.guest.copy_keys for machine in sim.world.state.machines.values())


def test_a_vm_that_is_left_behind_leaves_no_job_and_no_secret() -> None:
    sim = copying()
    wish = manifests.vmclone(replicas=1)
    wish["metadata"]["annotations"] = {"vmclone.dev/orphan-on-delete": "true"}
    sim.cluster.apply(Kind.VMCLONE, wish)
    sim.cluster.remove(DEV)
    sim.run(60)
    assert sim.get(Kind.VMCLONE, "dev", "team-a") is None
    assert leftovers(sim) == []
    assert sim.kubelet.running() == []
    assert len(sim.world.inventory().clones) == 1


def test_a_copy_that_is_no_longer_wanted_is_forgotten() -> None:
    sim = begin_clean(FaultSchedule(), replicas=1)
    sim.kubelet.outcomes = [Ended.TOO_LARGE]
    sim.run(2)
    sim.run(120, until=lambda: condition(replica(sim, 1), "HomeCopied") == ("False", "TooLarge"))
    change(sim, replicas=1, homeCopy={"policy": "Skip"})
    wait_ready(sim, 1)
    assert condition(replica(sim, 1), "HomeCopied") == ("True", "Skipped")
    sim.run(60)
    assert "operation" not in replica(sim, 1)["status"]


def test_a_key_that_is_missing_is_named_and_creating_it_helps() -> None:
    sim = begin_clean(FaultSchedule(), replicas=1)
    sim.cluster.remove(Key(Kind.SECRET, "vmclone-system", "home-key"))
    sim.run(200)
    assert condition(replica(sim, 1), "Stalled") == ("True", "HomeAccessMissing")
    told = next(c for c in replica(sim, 1)["status"]["conditions"] if c["type"] == "Stalled")["message"]
    assert "Secret home-key in namespace vmclone-system" in told
    sim.cluster.apply(Kind.SECRET, manifests.home_key())
    wait_ready(sim, 1)
    assert len(sim.kubelet.runs) == 1


def test_the_source_says_whether_its_home_can_be_reached() -> None:
    sim = begin_clean(FaultSchedule(), replicas=0)
    sim.run(5)
    source = sim.get(Kind.SOURCE, "golden-dev")
    assert source is not None
    assert condition(source, "HomeAccess") == ("True", "KeyFound")
    sim.cluster.apply(Kind.SOURCE, manifests.clean_source(home={**manifests.HOME, "sshKeySecretRef": {"name": "none"}}))
    sim.run(5)
    source = sim.get(Kind.SOURCE, "golden-dev")
    assert source is not None
    assert condition(source, "HomeAccess") == ("False", "HomeAccessMissing")


def test_a_long_copy_writes_its_progress_at_most_every_ten_seconds() -> None:
    sim = begin_clean(FaultSchedule(), replicas=1)
    sim.kubelet.copy_seconds = 1000
    run = wait_copying(sim)[0]
    pod = (run.key.namespace, f"{run.key.name}-pod")
    before = len(sim.cluster.writes)

    def further() -> bool:
        percent = min(99, int((sim.clock() - run.began) / 10))
        sim.cluster.logs[pod] = json.dumps({"phase": "Copying", "percent": percent, "etaSeconds": 1000 - percent * 10})
        return False

    sim.run(600, until=further)
    written = sim.cluster.writes[before:].count("VMCloneReplica/dev-1")
    assert 50 <= written <= 62


def test_bytes_of_a_copy_are_told_with_other_news_and_never_alone() -> None:
    sim = begin_clean(FaultSchedule(), replicas=1)
    sim.kubelet.copy_seconds = 1000
    run = wait_copying(sim)[0]
    pod = (run.key.namespace, f"{run.key.name}-pod")
    told = {"phase": "Copying", "percent": 50, "totalBytes": 10_000}

    def more() -> bool:
        sim.cluster.logs[pod] = json.dumps({**told, "doneBytes": int(sim.clock() - run.began) * 10})
        return False

    sim.run(30, until=more)
    before, seen = len(sim.cluster.writes), vmclone(sim)["status"]["progress"]
    assert 0 < seen["doneBytes"] < seen["totalBytes"] == 10_000
    sim.run(300, until=more)
    assert (sim.cluster.writes[before:], vmclone(sim)["status"]["progress"]) == ([], seen)
    wait_ready(sim, 1)
    assert vmclone(sim)["status"]["progress"] == {"percent": 100, "doneBytes": 700, "totalBytes": 700}


def test_a_settled_clean_clone_costs_no_write() -> None:
    sim = ready_clean(2)
    sim.run(3600)  # its CloneSource counts clones and copies now and then
    before = len(sim.cluster.writes)
    sim.run(4 * 3600)
    assert sim.cluster.writes[before:] == []


def test_a_clean_replica_costs_few_writes_in_its_life() -> None:
    """Beside the twelve of any replica: the attempt, its Job, its end, its removal, and two of progress."""
    sim = ready_clean(2)
    assert sim.cluster.writes.count("VMCloneReplica/dev-1") <= 18
