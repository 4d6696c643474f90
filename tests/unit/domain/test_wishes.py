"""What a wish comes to: how disks are made, which plan it is, who approved it, and what it costs."""

from __future__ import annotations

import pytest

from vmclone_operator.api.plan import PlanAction, PlanStatus
from vmclone_operator.domain import wishes
from vmclone_operator.domain.backend import Capabilities, Consistency, DiskCopy, Finding, GuestChannel, Mode, Power
from vmclone_operator.domain.rollout import ReplicaChanges, ReplicaView
from vmclone_operator.domain.source_values import AS_THE_SOURCE, Shape
from vmclone_operator.domain.wishes import Cost

BOTH, NO_LINKED, NO_FULL = Capabilities(), Capabilities(linked=False), Capabilities(full=False)
NEITHER = Capabilities(linked=False, full=False)
GIB = 1 << 30
CREATE = PlanAction(op="Create", replica="dev-1", why="ScaleUp")
SECOND = PlanAction(op="Create", replica="dev-2", why="ScaleUp")
REMOVE = PlanAction(op="Delete", replica="dev-1", why="ScaleDown")

CHOICES = {
    "auto takes linked where it can": ("Auto", BOTH, DiskCopy.LINKED, False, False),
    "auto falls back to full and says why": ("Auto", NO_LINKED, DiskCopy.FULL, True, False),
    "auto is linked where full is missing": ("Auto", NO_FULL, DiskCopy.LINKED, False, False),
    "auto is refused where nothing is to be had": ("Auto", NEITHER, DiskCopy.LINKED, False, True),
    "linked stays linked": ("Linked", BOTH, DiskCopy.LINKED, False, False),
    "linked never becomes full": ("Linked", NO_LINKED, DiskCopy.LINKED, False, True),
    "full never becomes linked": ("Full", NO_FULL, DiskCopy.FULL, False, True),
}


@pytest.mark.parametrize(("requested", "able", "actual", "falls_back", "refused"), CHOICES.values(), ids=CHOICES.keys())
def test_disks_are_made_as_asked_or_not_at_all(
    requested: str, able: Capabilities, actual: DiskCopy, falls_back: bool, refused: bool
) -> None:
    choice = wishes.choose_copy(requested, able)
    assert (choice.actual, bool(choice.fallback_reason), bool(choice.refused)) == (actual, falls_back, refused)


def test_everything_that_a_backend_cannot_do_is_found_at_once() -> None:
    able = Capabilities(linked=False, modes=frozenset({Mode.CLEAN}))
    found = wishes.missing_capabilities(able, Mode.DISK, wishes.choose_copy("Linked", able), AS_THE_SOURCE)
    assert [finding.reason for finding in found] == ["CapabilityMissing", "CapabilityMissing"]


def test_a_backend_without_a_way_into_guests_is_refused() -> None:
    able = Capabilities(guest=GuestChannel.NONE)
    (found,) = wishes.missing_capabilities(able, Mode.DISK, wishes.choose_copy("Auto", able), AS_THE_SOURCE)
    assert (found.reason, "identity" in found.message) == ("CapabilityMissing", True)


@pytest.mark.parametrize("sizes", [True, False])
def test_a_size_is_for_a_backend_that_has_sizes(sizes: bool) -> None:
    able, shape = Capabilities(sizes=sizes), Shape(size="Standard_D2s_v5")
    found = wishes.missing_capabilities(able, Mode.DISK, wishes.choose_copy("Auto", able), shape)
    assert ["template.size" in finding.message for finding in found] == ([] if sizes else [True])


def test_a_backend_whose_guests_run_tasks_is_taken() -> None:
    able = Capabilities(guest=GuestChannel.TASK)
    assert wishes.missing_capabilities(able, Mode.DISK, wishes.choose_copy("Auto", able), AS_THE_SOURCE) == ()


_QUIET, _ROUGH = Capabilities(), Capabilities(quiesce=False)
_COLD = Capabilities(freeze_running=False)
FREEZES = {
    "a source that runs, held still": (_QUIET, Power.ON, Consistency.QUIESCED, False, ""),
    "a source that runs and cannot be held still": (_ROUGH, Power.ON, Consistency.QUIESCED, False, "CrashConsistent"),
    "a source that runs, and a crash is acceptable": (_ROUGH, Power.ON, Consistency.CRASH_CONSISTENT, False, ""),
    "a source that is off, where none can be held still": (_ROUGH, Power.OFF, Consistency.QUIESCED, False, ""),
    "a source that runs, where it may not": (_COLD, Power.ON, Consistency.CRASH_CONSISTENT, False, "StopForClone"),
    "a source that runs and is stopped before": (_COLD, Power.ON, Consistency.QUIESCED, True, ""),
}


@pytest.mark.parametrize(("able", "power", "consistency", "stops", "remedy"), FREEZES.values(), ids=FREEZES.keys())
def test_a_freeze_that_a_backend_cannot_do_is_refused_before_the_source_is_touched(
    able: Capabilities, power: Power, consistency: Consistency, stops: bool, remedy: str
) -> None:
    found = wishes.cannot_freeze(able, power, consistency, stops=stops)
    assert bool(found) is bool(remedy)
    assert all(one.reason == "CapabilityMissing" and remedy in one.message for one in found)


def test_a_plan_has_a_name_that_follows_its_actions_and_its_wish() -> None:
    plan = wishes.plan_hash([CREATE], {"revision": "1"})
    assert plan == wishes.plan_hash([CREATE], {"revision": "1"})
    others = {wishes.plan_hash([SECOND], {"revision": "1"}), wishes.plan_hash([CREATE], {"revision": "2"})}
    assert plan not in others
    assert not wishes.plan_hash([], {"revision": "1"})


APPROVED = PlanStatus(hash="h", actions=(CREATE, SECOND))
UNDER_WAY = {
    "all of it is left": (APPROVED, [CREATE, SECOND], "h", True),
    "a part is left": (APPROVED, [SECOND], "h", True),
    "more than was approved": (APPROVED, [CREATE, REMOVE], "h", False),
    "another plan was approved": (APPROVED, [CREATE], "other", False),
    "nothing was approved": (APPROVED, [CREATE], "", False),
    "there was no plan": (PlanStatus(), [CREATE], "", False),
    "it was blocked": (PlanStatus(hash="h", actions=(CREATE,), blockers=("no room",)), [CREATE], "h", False),
}


@pytest.mark.parametrize(("previous", "left", "approved", "expected"), UNDER_WAY.values(), ids=UNDER_WAY.keys())
def test_an_approval_covers_what_it_named(
    previous: PlanStatus, left: list[PlanAction], approved: str, expected: bool
) -> None:
    assert wishes.under_way(previous, left, approved) is expected


def test_what_is_removed_to_be_made_again_is_told_as_both() -> None:
    def view(ordinal: int) -> ReplicaView:
        return ReplicaView(name=f"dev-{ordinal}", ordinal=ordinal, uid=f"u{ordinal}")

    changes = ReplicaChanges(create=(4,), delete=(view(5),), remake=(view(2),))
    sessions = {n: f"dev-{n}" for n in range(1, 6)}
    told = [(a.op, a.replica, a.why) for a in wishes.actions_of(changes, [view(3)], [1], sessions)]
    assert told == [
        ("Delete", "dev-5", "ScaleDown"),
        ("Delete", "dev-2", "Missing"),
        ("Delete", "dev-3", "Replace"),
        ("Create", "dev-4", "ScaleUp"),
        ("Create", "dev-2", "Missing"),
        ("Create", "dev-3", "Replace"),
        ("Create", "dev-1", "Unfinished"),
    ]


def cost(clones: int, *, at_a_time: int = 5, point: bool = True, full: bool = False) -> Cost:
    return Cost(clones=clones, at_a_time=at_a_time, disk_bytes=GIB, new_point=point, full=full)


COSTS = {
    "nothing to make costs nothing": (cost(0), 0, 0),
    "linked: the point once, an overlay each": (cost(2), GIB + (128 << 20), 65),
    "linked from a point that is there": (cost(2, point=False), 128 << 20, 60),
    "full: the point and a copy each": (cost(3, full=True), 4 * GIB, 80),
    "more waves take longer": (cost(4, at_a_time=2, point=False), 256 << 20, 121),
}


@pytest.mark.parametrize(("of", "size", "seconds"), COSTS.values(), ids=COSTS.keys())
def test_the_estimate_counts_what_is_written_and_waited_for(of: Cost, size: int, seconds: int) -> None:
    assert (wishes.estimate(of).bytes, wishes.estimate(of).seconds) == (size, seconds)


def test_findings_of_one_kind_keep_their_reason_and_mixed_ones_are_blocked() -> None:
    one, other = Finding(reason="CapabilityMissing", message="a"), Finding(reason="ImageNotFound", message="b")
    assert wishes.reason_of([one, one]) == "CapabilityMissing"
    assert wishes.reason_of([one, other]) == "Blocked"
    assert wishes.sentences([one, other]) == ("a", "b")
