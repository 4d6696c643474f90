"""Stories of what a second pair of eyes found: stuck, starved, looping or leaking. Each one failed before."""

from __future__ import annotations

from tests.crash.lives import begin, wait_ready
from tests.support import manifests
from tests.support.stories import DEV, change, condition, ready, replica, sessions, vmclone, wipe

from vmclone_operator.domain.errors import CloneFailed
from vmclone_operator.domain.naming import clone_uuid
from vmclone_operator.kube.cluster import Key, Kind
from vmclone_operator.providers.fake import Fault, FaultKind, FaultSchedule, at_call

NOBODY = {"from": "Names", "names": ["other"]}


def test_a_stuck_vmclone_leaves_the_slots_of_its_backend_to_others() -> None:
    sim = begin(FaultSchedule(), replicas=1)
    wait_ready(sim, 1)
    sim.world.add_source("no-agent", agent=False)
    sim.cluster.apply(Kind.SOURCE, manifests.source("no-agent", vm="no-agent"))
    stuck = manifests.vmclone("stuck", replicas=12, source={"name": "no-agent"})
    sim.cluster.apply(Kind.VMCLONE, stuck)
    sim.run(120)
    assert condition(vmclone(sim, "stuck"), "Stalled")[0] == "True"
    change(sim, replicas=3)
    wait_ready(sim, 3)


def test_a_freeze_that_is_refused_is_said_and_not_hammered() -> None:
    refuse = Fault(kind=FaultKind.FAIL, error=CloneFailed("no room for the backup"))
    sim = begin(FaultSchedule(at_call("backup-begin", refuse, times=10_000)), replicas=1)
    sim.run(600)
    told = next(c for c in vmclone(sim)["status"]["conditions"] if c["type"] == "Stalled")
    assert "no room for the backup" in told["message"]
    assert sum("fsfreeze" in p.call for p, _ in sim.schedule.struck) + len(sim.schedule.struck) <= 30
    sim.schedule.choose = lambda _: None
    wait_ready(sim, 1)


def test_a_deletion_during_a_clone_is_seen_within_a_second_whatever_was_read_before() -> None:
    for moment in (0.5, 1, 2, 3, 3.1, 3.2, 5):
        sim = begin(FaultSchedule(), replicas=2)
        sim.run(moment)
        sim.cluster.remove(DEV)
        asked = sim.clock()
        sim.run(30, until=lambda sim=sim: sim.get(Kind.VMCLONE, "dev", "team-a") is None)  # type: ignore[misc]
        assert sim.clock() - asked <= 6, f"deleted at {moment} s"
        assert sim.world.inventory().files == ()


def test_three_vmclones_that_wish_for_one_session_never_share_it() -> None:
    sim = ready(1)
    for name in ("second", "third"):
        sim.cluster.apply(Kind.VMCLONE, manifests.vmclone(name, replicas=1, sessionPrefix="dev"))
        sim.run(60)
    assert condition(vmclone(sim, "second"), "Stalled") == ("True", "SessionConflict")
    assert condition(vmclone(sim, "third"), "Stalled") == ("True", "SessionConflict")
    sim.cluster.remove(DEV)
    sim.run(60)
    assert sessions(sim, "second") == ["dev"]
    assert condition(vmclone(sim, "third"), "Stalled") == ("True", "SessionConflict")


def test_scaling_down_works_without_consent_and_while_paused() -> None:
    sim = ready(3)
    sim.cluster.apply(Kind.SOURCE, manifests.source(allowedNamespaces=NOBODY))
    change(sim, replicas=2)
    sim.run(60)
    assert len(sim.world.inventory().clones) == 2
    change(sim, replicas=1, paused=True)
    sim.run(60)
    assert len(sim.world.inventory().clones) == 1


def test_a_missing_clone_that_may_not_be_remade_costs_no_busy_loop() -> None:
    sim = ready(1)
    change(sim, replicas=1, paused=True)
    sim.run(10)
    sim.world.remove_by_hand(sim.world.state.machines[clone_uuid(replica(sim, 1)["metadata"]["uid"])])
    before = sim.passes
    sim.run(600)
    assert sim.passes - before < 100


def test_wiped_sessions_come_back_as_the_replicas_bear_them() -> None:
    sim = ready(1)
    change(sim, replicas=3)
    wait_ready(sim, 3)
    wipe(sim, DEV)
    sim.run(30)
    assert [row["session"] for row in vmclone(sim)["status"]["sessions"]] == ["dev", "dev-2", "dev-3"]


def test_nothing_is_left_of_a_vmclone_whose_status_was_wiped() -> None:
    sim = ready(2)
    wipe(sim, DEV)
    sim.run(30)
    sim.cluster.remove(DEV)
    sim.run(60)
    assert sim.get(Kind.VMCLONE, "dev", "team-a") is None
    assert sim.world.inventory().files == ()


def test_a_deletion_ends_even_when_labels_and_owners_were_wiped() -> None:
    sim = ready(1)
    wipe(sim, Key(Kind.REPLICA, "team-a", "dev-1"), labels={}, ownerReferences=[])
    sim.cluster.remove(DEV)
    sim.run(120)
    assert sim.get(Kind.VMCLONE, "dev", "team-a") is None
    assert sim.world.inventory().files == ()


def test_finalizers_that_were_wiped_are_put_back_before_anything_leaks() -> None:
    sim = ready(1)
    for key in (DEV, Key(Kind.REPLICA, "team-a", "dev-1")):
        sim.cluster.overwrite(key, lambda d: d["metadata"].update(finalizers=[]))
    sim.run(30)
    sim.cluster.remove(DEV)
    sim.run(60)
    assert (sim.world.inventory().clones, sim.world.inventory().files) == ((), ())


def test_a_frozen_point_removed_by_hand_is_taken_again_for_the_next_clone() -> None:
    sim = ready(1)
    change(sim, replicas=0)
    sim.run(60)
    change(sim, replicas=1)
    wait_ready(sim, 1)
    assert sum(sim.world.effects.copies.values()) == 2


def test_a_clone_with_the_sources_address_is_not_ready() -> None:
    sim = begin(FaultSchedule(), replicas=1)
    sim.run(20)
    held = vmclone(sim)["status"]["source"]

    def claim(document: dict[str, dict[str, object]]) -> None:
        document["status"]["source"] = {**held, "addresses": ["10.0.0.2"]}

    sim.cluster.overwrite(DEV, claim)
    sim.run(120)
    assert condition(replica(sim, 1), "Stalled") == ("True", "DuplicateAddress")


def test_keys_that_nobody_can_be_given_are_not_dropped_silently() -> None:
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBrwWh4ph63ffHIm34829InQtTHpY9Peqbi7JNeSfqGi"
    sim = begin(FaultSchedule(), replicas=1)
    change(sim, replicas=1, access={"authorizedKeys": [key]})
    sim.run(200)
    assert condition(replica(sim, 1), "Stalled") == ("True", "UserUnknown")


def test_paused_replicas_are_paused_not_failed() -> None:
    sim = begin(FaultSchedule(), replicas=2)
    sim.run(10)
    change(sim, replicas=2, paused=True)
    sim.run(60)
    status = vmclone(sim)["status"]
    assert status.get("failedReplicas", 0) == 0
    assert {row["state"] for row in status["replicaStatuses"]} == {"Paused"}


def test_the_echo_of_our_own_write_never_gets_round_a_back_off() -> None:
    """Seed 139 once spun here: the watch told of our status write before its answer, and woke the same object."""
    refuse = Fault(kind=FaultKind.FAIL, error=CloneFailed("no room for the backup"))
    sim = begin(FaultSchedule(at_call("backup-begin", refuse, times=10_000)), replicas=1, late_events=False)
    sim.run(600)
    assert len(sim.schedule.struck) <= 30
    sim.schedule.choose = lambda point: Fault(kind=FaultKind.FAIL) if point.verb == "delete_clone" else None
    sim.cluster.remove(DEV)
    before = sim.passes
    sim.run(600)
    assert sim.passes - before <= 200
