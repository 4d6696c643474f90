"""Stories of mode Clean: fresh VMs, and homes that are carried over by Jobs, never more than the source bears."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

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
    ready,
    ready_clean,
    replica,
    vmclone,
    wait_copying,
    wipe,
)

from vmclone_operator.homecopy.outcome import Ended
from vmclone_operator.kube.cluster import Document, Key, Kind
from vmclone_operator.providers.fake import FaultSchedule

ON_REQUEST = {"refresh": "OnRequest"}
REPLICA = Key(Kind.REPLICA, "team-a", "dev-1")


def home_step(sim: Simulation, ordinal: int = 1) -> Document:
    step: Document = next(s for s in replica(sim, ordinal)["status"]["steps"] if s["name"] == "HomeCopy")
    return step


def stays_ready(sim: Simulation, ordinal: int = 1) -> Callable[[], bool]:
    """Return a look at a replica that fails as soon as it is not Ready."""

    def look() -> bool:
        assert condition(replica(sim, ordinal), "Ready")[0] == "True", replica(sim, ordinal)["status"]["conditions"]
        return False

    return look


def test_clean_clones_become_ready_with_their_homes_and_leave_no_job_or_secret() -> None:
    sim = ready_clean(2)
    for ordinal in (1, 2):
        status = replica(sim, ordinal)["status"]
        assert condition(replica(sim, ordinal), "HomeCopied") == ("True", "Copied")
        assert (status["homeCopy"]["files"], status["homeCopy"]["excluded"]) == (7, {"ssh-keys": 3})
        assert status["homeCopy"]["completionTime"]
        assert "operation" not in status
        assert home_step(sim, ordinal).get("attempt", 0) == 0
    assert leftovers(sim) == []
    assert len(sim.kubelet.runs) == 2
    assert all(machine.guest.copy_keys == {} for machine in sim.world.state.machines.values())


def test_people_read_how_far_the_copy_is() -> None:
    sim = copying(2)
    sim.run(12)
    assert vmclone(sim)["status"]["summary"] == "0/2 ready, 2 copying 40%"
    assert condition(replica(sim, 1), "HomeCopied") == ("False", "Copying")
    assert replica(sim, 1)["status"]["percent"] == 74
    assert home_step(sim)["job"] == sim.kubelet.runs[0].key.name


def test_five_copies_at_a_time_over_two_vmclones_first_come_first_served() -> None:
    sim = begin_clean(FaultSchedule(), replicas=4)
    sim.run(10)
    sim.cluster.apply(Kind.VMCLONE, manifests.vmclone("late", "team-b", replicas=3))
    wait_ready(sim, 4)
    sim.run(300, until=lambda: vmclone(sim, "late", "team-b")["status"].get("readyReplicas") == 3)
    everybody = [d for key, d in sim.cluster.documents.items() if key.kind is Kind.REPLICA]
    came = {
        d["metadata"]["uid"]: next(s["startTime"] for s in d["status"]["steps"] if s["name"] == "HomeCopy")
        for d in everybody
    }
    served = [came[run.incarnation] for run in sim.kubelet.runs]
    assert len(served) == 7
    assert served == sorted(served)
    assert list(sim.kubelet.most_at_once.values()) == [5]


def test_a_limit_of_one_is_kept_and_the_place_in_the_queue_is_told() -> None:
    sim = begin_clean(FaultSchedule(), replicas=3)
    sim.cluster.apply(Kind.SOURCE, manifests.clean_source(limits={"maxParallelCopies": 1}))
    wait_copying(sim, 1)
    sim.run(2)
    assert [home_step(sim, n).get("queuePosition", 0) for n in (1, 2, 3)] == [0, 1, 2]
    assert vmclone(sim)["status"]["summary"] == "0/3 ready, 3 copying 40%"
    wait_ready(sim, 3)
    assert list(sim.kubelet.most_at_once.values()) == [1]


def test_a_copy_that_fails_is_tried_again_later_each_time_and_its_vm_is_kept() -> None:
    sim = begin_clean(FaultSchedule(), replicas=1)
    sim.kubelet.outcomes = [Ended.INTERRUPTED, Ended.COPY_FAILED]
    sim.run(600, until=lambda: len(sim.kubelet.runs) == 2)
    assert condition(vmclone(sim), "Reconciling")[0] == "True"
    wait_ready(sim, 1)
    began = [run.began for run in sim.kubelet.runs]
    assert len(began) == 3
    waits = [later - earlier - sim.kubelet.copy_seconds for earlier, later in pairwise(began)]
    assert waits[0] >= 15
    assert waits[1] >= 30
    assert home_step(sim)["attempt"] == 2
    assert list(sim.world.effects.creates.values()) == list(sim.world.effects.boots.values()) == [1]
    assert replica(sim, 1)["status"]["homeCopy"]["attempts"] == 3
    assert leftovers(sim) == []


@pytest.mark.parametrize("reason", [Ended.HOST_KEY_MISMATCH, Ended.TOO_LARGE, Ended.SECRET_FOUND])
def test_what_needs_a_person_stalls_and_is_tried_again_all_the_same(reason: Ended) -> None:
    sim = begin_clean(FaultSchedule(), replicas=1)
    sim.kubelet.outcomes = [reason, reason]
    sim.run(300)
    assert condition(replica(sim, 1), "Stalled") == ("True", reason.value)
    assert condition(replica(sim, 1), "HomeCopied") == ("False", reason.value)
    assert condition(vmclone(sim), "Stalled") == ("True", reason.value)
    told = next(c for c in vmclone(sim)["status"]["conditions"] if c["type"] == "Stalled")
    assert f"told: {reason.value}" in told["message"]
    assert [name for name in leftovers(sim) if "vmclone-home" in name] == []
    wait_ready(sim, 1)
    assert len(sim.kubelet.runs) == 3
    assert condition(replica(sim, 1), "HomeCopied") == ("True", "Copied")


def test_a_pod_that_vanishes_is_one_failed_attempt() -> None:
    sim = copying()
    sim.kubelet.vanish(sim.kubelet.running()[0])
    sim.run(10)
    assert condition(replica(sim, 1), "HomeCopied") == ("False", "CopyFailed")
    wait_ready(sim, 1)
    assert len(sim.kubelet.runs) == 2


def test_a_pause_ends_a_running_copy_and_lifting_it_goes_on() -> None:
    sim = copying()
    change(sim, replicas=1, paused=True)
    sim.run(120)
    assert sim.kubelet.running() == []
    assert [name for name in leftovers(sim) if "home" in name] == []
    assert condition(vmclone(sim), "Stalled") == ("True", "Paused")
    assert len(sim.kubelet.runs) == 1
    change(sim, replicas=1)
    wait_ready(sim, 1)
    assert len(sim.kubelet.runs) == 2
    assert condition(replica(sim, 1), "HomeCopied") == ("True", "Copied")


def test_a_deletion_in_the_middle_of_a_copy_removes_job_and_secret_before_the_vm() -> None:
    sim = copying(2)
    sim.cluster.remove(DEV)

    def look() -> bool:
        reading = {run.incarnation for run in sim.kubelet.running()}
        there = {m.stamp.incarnation for m in sim.world.state.machines.values() if m.stamp}
        assert reading <= there, "a copy runs into a clone that is gone"
        return sim.get(Kind.VMCLONE, "dev", "team-a") is None

    sim.run(120, until=look)
    assert look()
    assert leftovers(sim) == []
    assert sim.world.inventory().files == ()


MODES: dict[str, Callable[[], Simulation]] = {
    "mode Clean": lambda: ready_clean(1, homeCopy=ON_REQUEST),
    "mode Disk": lambda: disk_with_home(),  # noqa: PLW0108  - defined below
}


def disk_with_home() -> Simulation:
    sim = ready(1, homeCopy=ON_REQUEST)
    sim.cluster.apply(Kind.SECRET, manifests.home_key())
    sim.cluster.apply(Kind.SOURCE, manifests.source(home=manifests.HOME))
    sim.run(5)
    return sim


@pytest.mark.parametrize("begun", MODES.values(), ids=MODES.keys())
def test_a_refresh_on_request_is_answered_once_and_the_clone_stays_ready(begun: Callable[[], Simulation]) -> None:
    sim = begun()
    before = len(sim.kubelet.runs)
    ask_for_sync(sim, "2026-01-01T10:00:00Z", replicas=1, homeCopy=ON_REQUEST)
    watched(sim, 600, until=stays_ready(sim))
    assert len(sim.kubelet.runs) == before + 1
    assert replica(sim, 1)["status"]["homeCopy"]["handledSyncAt"] == "2026-01-01T10:00:00Z"
    assert condition(replica(sim, 1), "HomeCopied") == ("True", "Copied")
    assert leftovers(sim) == []
    ask_for_sync(sim, "2026-01-01T11:00:00Z", replicas=1, homeCopy=ON_REQUEST)
    watched(sim, 600, until=stays_ready(sim))
    assert len(sim.kubelet.runs) == before + 2


def test_a_refresh_that_fails_is_told_and_tried_again_while_the_clone_stays_ready() -> None:
    sim = ready_clean(1, homeCopy=ON_REQUEST)
    sim.kubelet.outcomes = [Ended.TOO_LARGE]
    ask_for_sync(sim, replicas=1, homeCopy=ON_REQUEST)
    watched(sim, 60, until=stays_ready(sim))
    assert condition(replica(sim, 1), "HomeCopied") == ("False", "TooLarge")
    assert (home_step(sim)["state"], home_step(sim)["message"]) == ("Failed", "told: TooLarge")
    assert vmclone(sim)["status"].get("failedReplicas", 0) == 0
    watched(sim, 900, until=stays_ready(sim))
    assert condition(replica(sim, 1), "HomeCopied") == ("True", "Copied")


def test_without_the_policy_a_request_is_not_answered() -> None:
    sim = ready_clean(1)
    ask_for_sync(sim, replicas=1)
    sim.run(120)
    assert len(sim.kubelet.runs) == 1


def test_a_wiped_status_does_not_copy_over_a_home_that_people_work_in() -> None:
    """The guest itself remembers that its home was copied."""
    sim = ready_clean(2)
    for name in ("dev-1", "dev-2"):
        wipe(sim, Key(Kind.REPLICA, "team-a", name), finalizers=[], labels={})
    wait_ready(sim, 2)
    assert len(sim.kubelet.runs) == 2
    assert condition(replica(sim, 1), "HomeCopied") == ("True", "Copied")
    assert leftovers(sim) == []
    assert set(sim.world.effects.creates.values()) == {1}


def test_policy_skip_copies_nothing_and_says_so() -> None:
    sim = ready_clean(1, homeCopy={"policy": "Skip"})
    assert condition(replica(sim, 1), "HomeCopied") == ("True", "Skipped")
    assert sim.kubelet.runs == []
    assert leftovers(sim) == []


def test_a_source_without_home_access_is_named_and_access_given_later_helps() -> None:
    sim = begin_clean(FaultSchedule(), replicas=1)
    sim.cluster.apply(Kind.SOURCE, manifests.clean_source(home={"user": "dev"}))
    sim.run(200)
    assert condition(replica(sim, 1), "Stalled") == ("True", "HomeAccessMissing")
    told = next(c for c in replica(sim, 1)["status"]["conditions"] if c["type"] == "Stalled")["message"]
    assert "CloneSource golden-dev" in told
    sim.cluster.apply(Kind.SOURCE, manifests.clean_source())
    wait_ready(sim, 1)


def test_consent_that_is_taken_away_ends_no_copy_and_begins_none() -> None:
    sim = begin_clean(FaultSchedule(), replicas=2)
    limit = {"maxParallelCopies": 1}
    sim.cluster.apply(Kind.SOURCE, manifests.clean_source(limits=limit))
    wait_copying(sim, 1)
    nobody = {"from": "Names", "names": ["other"]}
    sim.cluster.apply(Kind.SOURCE, manifests.clean_source(limits=limit, allowedNamespaces=nobody))
    sim.run(300)
    assert [run.ended - run.began >= sim.kubelet.copy_seconds for run in sim.kubelet.runs if run.ended] == [True]
    assert condition(replica(sim, 2), "Stalled") == ("True", "SourceNotGranted")
    assert condition(replica(sim, 1), "Ready")[0] == "True"
    sim.cluster.apply(Kind.SOURCE, manifests.clean_source())
    wait_ready(sim, 2)
    assert condition(replica(sim, 2), "HomeCopied") == ("True", "Copied")
