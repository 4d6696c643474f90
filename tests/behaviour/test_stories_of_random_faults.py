"""Stories that a random schedule found (tests/crash), each in its smallest form. Each one failed before."""

from __future__ import annotations

from functools import partial

from tests.crash.lives import begin, begin_clean, wait_ready
from tests.support import manifests
from tests.support.second_leader import Stay
from tests.support.stories import DEV, ask_for_sync, copying, leftovers, ready, ready_clean, wait_copying, wipe

from vmclone_operator.homecopy.outcome import Ended
from vmclone_operator.kube.cluster import Key, Kind
from vmclone_operator.providers.fake import Fault, FaultKind, FaultSchedule, at_call

REPLICA = Key(Kind.REPLICA, "team-a", "dev-1")


def test_a_copy_whose_ledger_was_wiped_goes_on_and_no_second_one_begins() -> None:
    """Its second attempt runs, and the count of attempts is gone: a first one would write beside it."""
    sim = begin_clean(FaultSchedule(), replicas=1)
    sim.kubelet.outcomes = [Ended.INTERRUPTED]
    sim.run(600, until=lambda: len(sim.kubelet.runs) == 2)
    wait_copying(sim)
    wipe(sim, REPLICA)
    wait_ready(sim, 1)
    assert len(sim.kubelet.runs) == 2


def test_an_operator_that_slept_in_the_middle_of_a_copy_s_beginning_takes_back_what_it_made() -> None:
    """Another one brought the attempt to its end meanwhile: its key and its Job would have nobody to remove them."""
    sim = begin_clean(FaultSchedule(), replicas=1)

    def ended() -> None:
        sim.cluster.overwrite(REPLICA, lambda document: document["status"].pop("operation"))

    meanwhile = Fault(kind=FaultKind.MEANWHILE, meanwhile=ended)
    sim.schedule.choose = at_call("guest exec copy-access", meanwhile)
    sim.run(600, until=lambda: bool(sim.schedule.struck))
    assert not any("vmclone-home" in name for name in leftovers(sim))
    assert sim.kubelet.runs == []
    wait_ready(sim, 1)
    assert len(sim.kubelet.runs) == 1


def test_clones_that_go_in_mid_copy_while_the_backend_is_away_do_not_wake_each_other_for_ever() -> None:
    """Each gave its turn at the source back with every attempt, and woke whoever copies: itself, and the others."""
    sim = copying(3)
    sim.schedule.choose = lambda point: Fault(kind=FaultKind.FAIL) if point.verb != "kube" else None
    before = sim.passes
    sim.cluster.remove(DEV)
    sim.run(600, until=lambda: sim.passes - before > 600)
    assert sim.passes - before <= 600
    sim.schedule.choose = lambda _: None
    sim.run(120)
    assert (sim.get(DEV.kind, DEV.name, DEV.namespace), leftovers(sim)) == (None, [])


def test_a_request_for_a_refresh_does_not_wake_replicas_that_cannot_answer_it() -> None:
    """Each failure told something new, which woke the VMClone, which woke every replica that had not answered."""
    sim = ready_clean(2, homeCopy={"refresh": "OnRequest"})
    away = FaultKind.FAIL
    sim.schedule.choose = lambda point: Fault(kind=away) if point.verb == "find_clone" else None
    ask_for_sync(sim, replicas=2, homeCopy={"refresh": "OnRequest"})
    before = sim.passes
    sim.run(300, until=lambda: sim.passes - before > 600)
    assert sim.passes - before <= 600
    sim.schedule.choose = lambda _: None
    wait_ready(sim, 2)


def test_a_stray_frozen_point_is_removed_even_if_the_backend_does_not_answer_the_first_time() -> None:
    """The ledger of a freeze was wiped; what it left was looked for once, and a failure then left it for good."""
    sim = begin(FaultSchedule(), replicas=1)
    sim.run(1)
    wipe(sim, DEV)
    sim.schedule.choose = at_call("delete base", Fault(kind=FaultKind.FAIL), verb="release_frozen")
    wait_ready(sim, 1)
    assert sim.schedule.struck
    assert not [line for line in sim.world.inventory().files if line.startswith("nobody")]
    assert len(sim.world.inventory().frozen_points) == 1


def test_a_clean_clone_that_never_was_delivered_is_no_orphan() -> None:
    """Its links are up from the beginning, but nobody was ever given it, and its home is not there."""
    sim = copying(2, deletion={"onDelete": "Orphan"})
    sim.cluster.remove(DEV)
    sim.run(120)
    assert sim.get(DEV.kind, DEV.name, DEV.namespace) is None
    assert [machine.name for machine in sim.world.state.machines.values()] == ["golden-dev"]


def test_a_read_that_nobody_answers_after_a_conflict_is_tried_again() -> None:
    """It was taken for a bug of ours: the pass ended with the API server's error instead of a wait."""
    sim = begin_clean(FaultSchedule(), replicas=1)
    touched = {"somebody": "was-here"}
    touch = partial(sim.cluster.overwrite, DEV, lambda document: document["metadata"].update(labels=touched))
    conflict = Fault(kind=FaultKind.MEANWHILE, meanwhile=touch)
    sim.schedule.choose = at_call("status VMClone", conflict)
    sim.loses_read = lambda: len(sim.schedule.struck) == 1 and sim.clock() < 20
    wait_ready(sim, 1)
    assert len(sim.schedule.struck) == 1


def test_a_finalizer_that_is_taken_away_after_the_ledger_was_wiped_is_put_back() -> None:
    """Only the intent was asked whether there is a VM to remove: it stayed, and its frozen point kept the VMClone."""
    sim = ready(1)
    wipe(sim, REPLICA)
    wait_ready(sim, 1)
    sim.cluster.overwrite(REPLICA, lambda document: document["metadata"].update(finalizers=[]))
    sim.run(30)
    sim.cluster.remove(DEV)
    sim.run(120)
    assert (sim.get(DEV.kind, DEV.name, DEV.namespace), sim.world.inventory().clones) == (None, ())


def test_a_turn_at_the_source_that_could_not_be_written_down_is_still_had() -> None:
    """It stood behind the one who came before it tried again, and that one behind the turn: neither ever copied."""
    sim = begin_clean(FaultSchedule(), replicas=2)
    sim.cluster.apply(Kind.SOURCE, manifests.clean_source(limits={"maxParallelCopies": 1}))
    a_moment_later = Fault(kind=FaultKind.THROTTLE, retry_after_seconds=0.5)
    sim.schedule.choose = at_call("guest addresses", a_moment_later, verb="guest_addresses")
    lost = iter([True])
    sim.loses_read = lambda: any(sim.engine.copy_turns.values()) and next(lost, False)
    wait_ready(sim, 2)
    assert next(lost, None) is None
    assert [run.how for run in sim.kubelet.runs] == [Ended.COPIED, Ended.COPIED]


def test_a_disk_that_another_operator_copied_meanwhile_is_not_copied_again() -> None:
    """Its own attempt had been refused, and it remembered the disk as one that it has yet to copy."""
    sim = begin(FaultSchedule(), replicas=1, disk={"copy": "Full"})
    sim.world.clone_seconds = 4
    sim.expect_second_leader(Stay(0, 600, 600, 600))
    sim.schedule.choose = at_call("copy disk", Fault(kind=FaultKind.THROTTLE))
    wait_ready(sim, 1)
    assert sim.schedule.struck
    assert sim.world.effects.finished_copied_again == []
    assert list(sim.world.effects.disk_copies.values()) == [1]


def test_a_frozen_point_whose_thaw_is_refused_leaves_nothing_if_it_is_wanted_no_more() -> None:
    """Its files were removed, and the backup that filled them was left running."""
    sim = begin(FaultSchedule(), replicas=1)
    sim.schedule.choose = at_call("thaw", Fault(kind=FaultKind.THROTTLE), verb="freeze")
    sim.run(600, until=lambda: bool(sim.schedule.struck))
    sim.cluster.remove(DEV)
    sim.run(60)
    assert (sim.get(DEV.kind, DEV.name, DEV.namespace), sim.world.inventory().frozen_points) == (None, ())
