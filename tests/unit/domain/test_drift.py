"""Drift: what is told of a clone that somebody changed, and whose turn a repair or a daily look is."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest

from vmclone_operator.domain.backend import (
    Leftover,
    LeftoverKind,
    ObservedClone,
    Owner,
    Power,
    Shape,
    Stamp,
)
from vmclone_operator.domain.conditions import Progress
from vmclone_operator.domain.daily import DAY_SECONDS, is_due
from vmclone_operator.domain.drift import Drift, DriftKind, drift_of
from vmclone_operator.domain.orphans import Orphans, suspects
from vmclone_operator.domain.plan import Situation, decide
from vmclone_operator.domain.rollout import ReplicaView, repairable
from vmclone_operator.domain.steps import Do

GIB = 1024**3
MADE = Shape(cpus=2, memory_bytes=GIB, networks=("default",))

DRIFTS = {
    "nothing changed": (MADE, MADE, ""),
    "more CPUs": (MADE, Shape(cpus=8, memory_bytes=GIB, networks=("default",)), "2 CPUs became 8"),
    "less memory": (
        MADE,
        Shape(cpus=2, memory_bytes=GIB // 2, networks=("default",)),
        "1024 MiB of memory became 512 MiB",
    ),
    "another network": (
        MADE,
        Shape(cpus=2, memory_bytes=GIB, networks=("lab", "dmz")),
        "networks default became lab, dmz",
    ),
    "a network taken away": (MADE, Shape(cpus=2, memory_bytes=GIB), "networks default became (none)"),
    "a backend that tells no shape": (MADE, Shape(), ""),
    "a clone from before shapes were recorded": (None, MADE, ""),
}


@pytest.mark.parametrize(("made", "seen", "says"), DRIFTS.values(), ids=DRIFTS.keys())
def test_a_changed_shape_is_told_in_what_was_and_is(made: Shape | None, seen: Shape, says: str) -> None:
    drift = drift_of(made, seen, foreign="")
    wanted = f"the clone's VM was changed at the backend: {says}"
    assert drift == (Drift(kind=DriftKind.RECONFIGURED, message=wanted) if says else None)


def test_a_clone_without_a_vm_is_missing_and_one_without_a_stamp_foreign() -> None:
    missing, foreign = drift_of(MADE, None, foreign=""), drift_of(MADE, None, foreign="dev-1-abcdef")
    assert missing is not None
    assert missing.kind is DriftKind.MISSING
    assert foreign is not None
    assert foreign.kind is DriftKind.FOREIGN
    assert "dev-1-abcdef" in foreign.message


def test_a_clone_whose_vm_lost_its_stamp_waits_for_a_person_and_is_not_made_again() -> None:
    decision = decide(Situation(incarnation="n", provisioned=True, foreign="dev-1-abcdef"))
    assert (decision.do, decision.reason, decision.progress) == (Do.NOTHING, "Foreign", Progress.STALLED)


def view(ordinal: int, *, ready: bool = True, reconfigured: bool = False, deleting: bool = False) -> ReplicaView:
    return ReplicaView(
        name=f"dev-{ordinal}",
        ordinal=ordinal,
        uid=str(ordinal),
        ready=ready,
        reconfigured=reconfigured,
        deleting=deleting,
    )


REPAIRS = {
    "nobody drifted": ([view(1), view(2)], []),
    "one drifted": ([view(1, reconfigured=True), view(2)], [1]),
    "two drifted: the highest ordinal first": ([view(1, reconfigured=True), view(2, reconfigured=True)], [2]),
    "the one that is not ready first": ([view(1, reconfigured=True, ready=False), view(2, reconfigured=True)], [1]),
    "another one is not ready": ([view(1, reconfigured=True), view(2, ready=False)], []),
    "another one is being removed": ([view(1, reconfigured=True), view(2, deleting=True)], []),
    "another one is not made yet": ([view(1, reconfigured=True)], []),
}


@pytest.mark.parametrize(("replicas", "ordinals"), REPAIRS.values(), ids=REPAIRS.keys())
def test_reconfigured_clones_are_made_anew_one_at_a_time(replicas: Sequence[ReplicaView], ordinals: list[int]) -> None:
    assert [r.ordinal for r in repairable(replicas, wanted=2)] == ordinals


def test_each_name_is_due_exactly_once_a_day_however_the_looks_fall() -> None:
    names = [f"replica-{n}" for n in range(200)]
    start = 1_700_000_000.0
    for pause in (1, 299.7, 7200, DAY_SECONDS):
        looks = [start + n * pause for n in range(int(DAY_SECONDS / pause) + 1)]
        looks[-1] = start + DAY_SECONDS
        spans = list(pairwise(looks)) if pause > 1 else [(start, start + DAY_SECONDS)]
        assert {name: sum(is_due(name, *span) for span in spans) for name in names} == dict.fromkeys(names, 1)


def test_the_daily_looks_are_spread_over_the_day() -> None:
    start = 1_700_000_000.0
    in_an_hour = sum(is_due(f"replica-{n}", start, start + 3600) for n in range(2400))
    assert 50 <= in_an_hour <= 150


def clone(number: int) -> ObservedClone:
    stamp = Stamp(
        instance="i", namespace="team-a", vmclone="dev", vmclone_uid="u", ordinal=number, incarnation=f"n{number}"
    )
    return ObservedClone(
        stamp=stamp,
        token="t",
        external_id=f"id-{number}",
        vm_name=f"dev-{number}",
        complete=True,
        power=Power.ON,
        connected=True,
        agent=True,
    )


LEFTOVER = Leftover(
    kind=LeftoverKind.FROZEN_POINT, owner=Owner(instance="i", vmclone_uid="u"), name="vmclone-base-x-u-f1", token="f1"
)


def test_an_orphan_is_a_vm_whose_incarnation_does_not_live() -> None:
    assert suspects([clone(2), clone(1)], {"n2"}) == (clone(1),)
    assert suspects([clone(2), clone(1)], set()) == (clone(1), clone(2))


def test_only_orphans_that_are_named_by_their_id_are_asked_for() -> None:
    orphans = Orphans(clones=(clone(1), clone(2)), leftovers=(LEFTOVER,))
    assert not orphans.named_in("")
    assert not orphans.named_in("dev-1, *, golden-dev, vmclone-")
    assert orphans.named_in(" id-2 ,id-9,") == Orphans(clones=(clone(2),))
    assert orphans.named_in(f"id-1,{LEFTOVER.name}").leftovers == (LEFTOVER,)
    assert orphans.without(orphans.named_in(f"id-2,{LEFTOVER.name}")) == Orphans(clones=(clone(1),))


def test_what_is_told_of_many_orphans_stays_short_and_says_what_to_do() -> None:
    message = Orphans(clones=tuple(clone(n) for n in range(500)), leftovers=(LEFTOVER,)).told()
    assert message.startswith("500 VMs, 1 frozen points carry our stamp")
    assert "and 498 more" in message
    assert "vmclone.dev/remove-orphans" in message
    assert len(message) < 500
