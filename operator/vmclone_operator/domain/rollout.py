"""Decisions of a VMClone as a whole: which replicas should exist, whose turn it is, which frozen points stay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from vmclone_operator.api.vmclone import FrozenPointStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaView:
    """What the VMClone pass needs to know of one replica."""

    name: str
    ordinal: int
    uid: str
    deleting: bool = False
    provisioned: bool = False
    missing: bool = False
    """Its clone was deleted by hand."""
    reconfigured: bool = False
    """Its clone has another shape than it was made with."""
    frozen_point: str = ""
    """The frozen point that its disks stand on, or that its intent names."""
    independent: bool = False
    """Its disks are complete copies of their own: it needs no frozen point any more."""
    ready: bool = False
    current: bool = True
    """It was made from the template as it is now."""
    marked: bool = False
    """Somebody said that it is the one to go."""
    created: str = ""
    """When its object was made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaChanges:
    """Replicas to make and to remove."""

    create: tuple[int, ...] = ()
    delete: tuple[ReplicaView, ...] = ()
    """Too many: they do not come back."""
    remake: tuple[ReplicaView, ...] = ()
    """Their clones were deleted by hand: another incarnation follows."""


class ScaleDown(StrEnum):
    """Which replicas go when there are too many."""

    HIGHEST_ORDINAL = "HighestOrdinal"
    NEWEST = "Newest"
    MARKED = "Marked"


def plan_replicas(
    existing: Sequence[ReplicaView], *, wanted: int, may_make: bool, scale_down: ScaleDown = ScaleDown.HIGHEST_ORDINAL
) -> ReplicaChanges:
    """Return what must change so that as many replicas exist as are wanted, the lowest free ordinals filled first.

    A replica whose clone was deleted by hand is removed, and so made again under a new incarnation:
    the same UUID would bring its predecessor's machine-id back. Without `may_make` (paused, or no consent)
    only what is too much goes: nothing ever blocks a removal.
    """
    missing = [r for r in existing if r.missing and may_make and not r.deleting]
    going = {r.uid for r in missing}
    surplus = _surplus([r for r in existing if r.uid not in going], missing, wanted, scale_down)
    going |= {r.uid for r in surplus}
    staying = [r.ordinal for r in existing if not r.deleting and r.uid not in going]
    taken, held = set(staying), {r.ordinal for r in existing}
    free = [n for n in range(1, wanted + 1) if n not in taken][: max(0, wanted - len(staying))]
    return ReplicaChanges(
        create=tuple(n for n in free if n not in held) if may_make else (),
        delete=tuple(surplus),
        remake=tuple(sorted(missing, key=lambda r: -r.ordinal)),
    )


def _surplus(
    others: Sequence[ReplicaView], missing: Sequence[ReplicaView], wanted: int, scale_down: ScaleDown
) -> list[ReplicaView]:
    """Return who is too much, the first to go first.

    By ordinal, whoever is being removed or remade keeps its place: one that is rebuilt comes back.
    """
    if scale_down is ScaleDown.HIGHEST_ORDINAL:
        kept = {r.uid for r in sorted([*others, *missing], key=lambda r: r.ordinal)[:wanted]}
        return sorted((r for r in others if not r.deleting and r.uid not in kept), key=lambda r: -r.ordinal)
    alive = [r for r in others if not r.deleting]
    order = sorted(alive, key=lambda r: -r.ordinal)
    if scale_down is ScaleDown.NEWEST:
        order.sort(key=lambda r: r.created, reverse=True)
    else:
        order.sort(key=lambda r: not r.marked)
    return order[: max(0, len(alive) - wanted)]


def replaceable(existing: Sequence[ReplicaView], *, wanted: int, max_unavailable: int) -> tuple[ReplicaView, ...]:
    """Return the replicas of an old template that may be removed now, to be made from the new one.

    At most `max_unavailable` wanted replicas are not ready at a time, whatever the cause. New ones that are not
    ready count, so a template that does not work stops after as many. Those of the old template that are
    not ready go first, for nobody misses them; then the highest ordinals.
    """
    staying = [r for r in existing if not r.deleting]
    unavailable = max(0, wanted - sum(r.ready for r in staying))
    under_way = max(0, wanted - len(staying)) + sum(r.current and not r.ready for r in staying)
    old = sorted((r for r in staying if not r.current), key=lambda r: -r.ordinal)
    broken = [r for r in old if not r.ready][: max(0, max_unavailable - under_way)]
    room = min(max_unavailable - unavailable, max_unavailable - under_way - len(broken))
    return (*broken, *[r for r in old if r.ready][: max(0, room)])


def repairable(existing: Sequence[ReplicaView], *, wanted: int) -> tuple[ReplicaView, ...]:
    """Return the one replica to remove now because its clone was reconfigured; none while others are not ready.

    Those that are not ready go first, for nobody misses them; then the highest ordinals.
    """
    staying = [r for r in existing if not r.deleting]
    if len(staying) < wanted or any(not r.ready and not r.reconfigured for r in staying):
        return ()
    changed = sorted((r for r in staying if r.reconfigured), key=lambda r: (r.ready, -r.ordinal))
    return tuple(changed[:1])


def newest_complete(points: Sequence[FrozenPointStatus]) -> FrozenPointStatus | None:
    """Return the newest frozen point that is complete, and stays so."""
    complete = [p for p in points if p.completion_time and not p.release_time]
    return max(complete, key=lambda p: (p.frozen_time, p.recorded_time), default=None)


def point_to_clone_from(points: Sequence[FrozenPointStatus], begun_from: str = "") -> FrozenPointStatus | None:
    """Return the frozen point for a replica: the one that its copies were begun from, else the newest.

    None while another one is being made: the source is not any more what the newest shows.
    """
    usable = (p for p in points if p.completion_time and not p.release_time)
    begun = next((p for p in usable if p.id == begun_from), None)
    if begun is None and open_point(points) is not None:
        return None
    return begun or newest_complete(points)


def open_point(points: Sequence[FrozenPointStatus]) -> FrozenPointStatus | None:
    """Return the frozen point that is intended or still being copied; there is at most one."""
    return next((p for p in points if not p.completion_time), None)


def waits_for_clone(replicas: Sequence[ReplicaView]) -> bool:
    """Return whether a replica has no clone yet, and so needs a frozen point."""
    return any(not r.provisioned and not r.deleting for r in replicas)


def freezes(points: Sequence[FrozenPointStatus], replicas: Sequence[ReplicaView]) -> bool:
    """Return whether a frozen point is being made, or has to be."""
    return open_point(points) is not None or (newest_complete(points) is None and waits_for_clone(replicas))


def releasable(points: Sequence[FrozenPointStatus], replicas: Sequence[ReplicaView]) -> tuple[FrozenPointStatus, ...]:
    """Return the frozen points that nothing stands on any more and nothing will, and those already on their way out.

    The newest stays while any replica is left that is linked or still made: rebuilds and scale-up clone from it.
    """
    leaning = [r for r in replicas if not r.independent]
    used = {r.frozen_point for r in leaning if r.frozen_point}
    newest = newest_complete(points)
    kept = {newest.id} if newest is not None and leaning else set()
    return tuple(p for p in points if p.release_time or (p.completion_time and p.id not in used and p.id not in kept))


def session_conflicts(
    mine: Mapping[int, str],
    recorded: Mapping[int, str],
    others: Mapping[str, tuple[str, bool, tuple[str, str]]],
    me: tuple[str, str],
) -> tuple[str, str] | None:
    """Return (session, other VMClone) for a session that another VMClone of the namespace holds.

    `others` maps a session to (VMClone name, whether it is recorded there, (creation time, uid)). A recorded
    session beats a wished one; of two wishes the older VMClone wins.
    """
    for ordinal, session in sorted(mine.items()):
        if session not in others or ordinal in recorded:
            continue
        name, taken, since = others[session]
        if taken or since < me:
            return session, name
    return None
