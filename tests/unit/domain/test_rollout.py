"""Which replicas exist, whose turn it is, and how long frozen points live."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from vmclone_operator.api.vmclone import FrozenPointStatus
from vmclone_operator.domain.naming import assign_sessions
from vmclone_operator.domain.rollout import (
    ReplicaView,
    newest_complete,
    plan_replicas,
    point_to_clone_from,
    releasable,
    session_conflicts,
    waits_for_clone,
)


def view(ordinal: int, **more: object) -> ReplicaView:
    return ReplicaView(name=f"dev-{ordinal}", ordinal=ordinal, uid=f"u{ordinal}", **more)  # type: ignore[arg-type]


def point(name: str, *, frozen: str = "t1", complete: bool = True) -> FrozenPointStatus:
    done = frozen if complete else ""
    return FrozenPointStatus(id=name, source_id="s", recorded_time=frozen, frozen_time=frozen, completion_time=done)


REPLICAS = {
    "nothing there: all are made": ([], 3, (1, 2, 3), ()),
    "scale up makes the missing ones": ([view(1)], 3, (2, 3), ()),
    "scale down removes the highest first": ([view(1), view(2), view(3)], 1, (), (3, 2)),
    "a removed one is not removed twice": ([view(1), view(2, deleting=True)], 1, (), ()),
    "an ordinal still going is not made again yet": ([view(1, deleting=True)], 1, (), ()),
    "a clone deleted by hand is removed to be made again": ([view(1, missing=True)], 1, (), (1,)),
    "as wanted: nothing": ([view(1), view(2)], 2, (), ()),
}


@pytest.mark.parametrize(("existing", "wanted", "create", "delete"), REPLICAS.values(), ids=REPLICAS.keys())
def test_replicas_become_what_is_wanted(
    existing: Sequence[ReplicaView], wanted: int, create: tuple[int, ...], delete: tuple[int, ...]
) -> None:
    changes = plan_replicas(existing, wanted=wanted, may_make=True)
    assert (changes.create, tuple(r.ordinal for r in (*changes.delete, *changes.remake))) == (create, delete)


def test_without_leave_to_make_only_what_is_too_much_goes() -> None:
    changes = plan_replicas([view(1, missing=True), view(2), view(3)], wanted=2, may_make=False)
    assert (changes.create, [r.ordinal for r in changes.delete]) == ((), [3])


SESSIONS = {
    "one replica is the prefix itself": ({}, 1, {1: "dev"}),
    "several are numbered": ({}, 3, {1: "dev-1", 2: "dev-2", 3: "dev-3"}),
    "1 -> 3 keeps the first name": ({1: "dev"}, 3, {1: "dev", 2: "dev-2", 3: "dev-3"}),
    "3 -> 1 keeps what was recorded": ({1: "dev-1", 2: "dev-2"}, 1, {1: "dev-1", 2: "dev-2"}),
    "none wanted, none named": ({}, 0, {}),
}


@pytest.mark.parametrize(("recorded", "replicas", "expected"), SESSIONS.values(), ids=SESSIONS.keys())
def test_a_session_keeps_its_name_for_life(recorded: dict[int, str], replicas: int, expected: dict[int, str]) -> None:
    assert assign_sessions(recorded, prefix="dev", replicas=replicas) == expected


WAITS = {
    "a replica without clone": ([view(1)], True),
    "all replicas have their clones": ([view(1, provisioned=True)], False),
    "a replica that goes needs none": ([view(1, deleting=True)], False),
    "no replica": ([], False),
}


@pytest.mark.parametrize(("replicas", "expected"), WAITS.values(), ids=WAITS.keys())
def test_a_frozen_point_is_needed_while_a_replica_has_no_clone(replicas: Sequence[ReplicaView], expected: bool) -> None:
    assert waits_for_clone(replicas) is expected


RELEASES = {
    "the newest stays while a replica is left": ([point("a")], [view(1, provisioned=True)], []),
    "the newest goes with the last replica": ([point("a")], [], ["a"]),
    "an older one stays while a clone stands on it": (
        [point("a", frozen="t1"), point("b", frozen="t2")],
        [view(1, frozen_point="a")],
        [],
    ),
    "an older one that nothing stands on goes": (
        [point("a", frozen="t1"), point("b", frozen="t2")],
        [view(1, frozen_point="b")],
        ["a"],
    ),
    "one still being copied is not released here": ([point("a", complete=False)], [], []),
}


@pytest.mark.parametrize(("points", "replicas", "expected"), RELEASES.values(), ids=RELEASES.keys())
def test_a_frozen_point_lives_as_long_as_something_needs_it(
    points: Sequence[FrozenPointStatus], replicas: Sequence[ReplicaView], expected: list[str]
) -> None:
    assert [p.id for p in releasable(points, replicas)] == expected


def test_the_newest_complete_point_is_cloned_from() -> None:
    points = [point("a", frozen="t1"), point("b", frozen="t3", complete=False), point("c", frozen="t2")]
    assert newest_complete(points) == points[2]


CONFLICTS = {
    "free": ({}, ("t1", "u1"), None),
    "recorded by another VMClone": ({"dev": ("other", True, ("t9", "u9"))}, ("t1", "u1"), ("dev", "other")),
    "wished by an older VMClone": ({"dev": ("other", False, ("t0", "u0"))}, ("t1", "u1"), ("dev", "other")),
    "wished by a younger VMClone": ({"dev": ("other", False, ("t2", "u2"))}, ("t1", "u1"), None),
}


@pytest.mark.parametrize(("others", "me", "expected"), CONFLICTS.values(), ids=CONFLICTS.keys())
def test_a_session_belongs_to_one_vmclone(
    others: dict[str, tuple[str, bool, tuple[str, str]]], me: tuple[str, str], expected: tuple[str, str] | None
) -> None:
    assert session_conflicts({1: "dev"}, {}, others, me) == expected


def test_a_recorded_session_is_never_taken_away() -> None:
    others = {"dev": ("other", True, ("t0", "u0"))}
    assert session_conflicts({1: "dev"}, {1: "dev"}, others, ("t1", "u1")) is None


FULL_ROWS = {
    "while one is still copied it stays": ([view(1, independent=True), view(2, frozen_point="a")], ()),
    "when all stand alone it goes": ([view(1, frozen_point="a", independent=True)], ("a",)),
    "beside linked ones it stays": ([view(1, independent=True), view(2, provisioned=True)], ()),
    "for one to come it stays": ([view(1, independent=True), ReplicaView(name="", ordinal=0, uid="")], ()),
}


@pytest.mark.parametrize(("replicas", "gone"), FULL_ROWS.values(), ids=FULL_ROWS.keys())
def test_the_point_of_full_copies_stays_until_the_last_is_done(
    replicas: Sequence[ReplicaView], gone: tuple[str, ...]
) -> None:
    assert tuple(p.id for p in releasable([point("a")], replicas)) == gone


def test_a_point_on_its_way_out_is_nothing_to_clone_from() -> None:
    going = point("a").model_copy(update={"release_time": "t2"})
    assert newest_complete([going]) is None
    assert point_to_clone_from([going, point("b", frozen="t0")], "a") == point("b", frozen="t0")
    assert releasable([going], [view(1, frozen_point="a")]) == (going,)


def test_copies_go_on_from_the_point_that_they_were_begun_from() -> None:
    old, new = point("a", frozen="t1"), point("b", frozen="t2")
    assert point_to_clone_from([old, new], "a") == old
    assert point_to_clone_from([old, new]) == new
