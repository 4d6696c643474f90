"""Which replicas of an older template may go now, and which of too many: one row a promise."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from vmclone_operator.domain.rollout import ReplicaView, ScaleDown, plan_replicas, replaceable


def view(ordinal: int, **more: object) -> ReplicaView:
    return ReplicaView(name=f"dev-{ordinal}", ordinal=ordinal, uid=f"u{ordinal}", **more)  # type: ignore[arg-type]


def old(ordinal: int) -> ReplicaView:
    return view(ordinal, ready=True, current=False)


def broken(ordinal: int) -> ReplicaView:
    return view(ordinal, current=False)


def new(ordinal: int) -> ReplicaView:
    return view(ordinal, ready=True)


REPLACED = {
    "all old and ready: the highest": ([old(1), old(2), old(3)], 1, [3]),
    "two may be away: the two highest": ([old(1), old(2), old(3)], 2, [3, 2]),
    "one is being remade: nobody else": ([old(1), old(2), view(3)], 1, []),
    "one is gone and not made yet: nobody else": ([old(1), old(2)], 1, []),
    "one is going: nobody else": ([old(1), old(2), view(3, deleting=True, current=False)], 1, []),
    "the new one is ready: the next": ([old(1), old(2), new(3)], 1, [2]),
    "an old one that is not ready goes first": ([broken(1), old(2), old(3)], 1, [1]),
    "an old one that is not ready counts as away": ([broken(1), old(2), old(3)], 2, [1, 3]),
    "a new one that fails stops it, whatever the old ones are": ([broken(1), old(2), view(3)], 1, []),
    "all new: nobody": ([new(1), new(2), new(3)], 3, []),
    "more may be away than there are": ([old(1), old(2), old(3)], 100, [3, 2, 1]),
}


@pytest.mark.parametrize(("existing", "most", "expected"), REPLACED.values(), ids=REPLACED.keys())
def test_no_more_are_replaced_than_may_be_away(existing: Sequence[ReplicaView], most: int, expected: list[int]) -> None:
    assert [r.ordinal for r in replaceable(existing, wanted=3, max_unavailable=most)] == expected


AGED = [view(1, created="t3"), view(2, created="t1", marked=True), view(3, created="t2")]
GOING = [view(1, deleting=True), view(2), view(3)]
FEWER = {
    "by number": (AGED, ScaleDown.HIGHEST_ORDINAL, 2, [3], []),
    "by age": (AGED, ScaleDown.NEWEST, 1, [1, 3], []),
    "by mark, then by number": (AGED, ScaleDown.MARKED, 1, [2, 3], []),
    "a mark alone removes nobody": (AGED, ScaleDown.MARKED, 3, [], []),
    "a gap is filled before a new number": ([view(1), view(3)], ScaleDown.MARKED, 3, [], [2]),
    "a gap is left while there are enough": ([view(1), view(3)], ScaleDown.HIGHEST_ORDINAL, 2, [], []),
    "by number, one that is rebuilt keeps its place": (GOING, ScaleDown.HIGHEST_ORDINAL, 2, [3], []),
    "by mark, one that goes is not counted": (GOING, ScaleDown.MARKED, 2, [], []),
}


@pytest.mark.parametrize(("existing", "how", "wanted", "gone", "made"), FEWER.values(), ids=FEWER.keys())
def test_those_go_that_people_said(
    existing: Sequence[ReplicaView], how: ScaleDown, wanted: int, gone: list[int], made: list[int]
) -> None:
    changes = plan_replicas(existing, wanted=wanted, may_make=True, scale_down=how)
    assert ([r.ordinal for r in changes.delete], [*changes.create]) == (gone, made)
