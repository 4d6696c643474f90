"""Decisions of a VMClone as a whole: which replicas should exist, whose turn it is, which frozen points stay."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

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
    frozen_point: str = ""
    """The frozen point that its disks stand on, or that its intent names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaChanges:
    """Replicas to make and to remove."""

    create: tuple[int, ...] = ()
    delete: tuple[ReplicaView, ...] = ()


def plan_replicas(existing: Sequence[ReplicaView], *, wanted: int, may_make: bool) -> ReplicaChanges:
    """Return what must change so that exactly the ordinals 1..wanted exist; the highest go first.

    A replica whose clone was deleted by hand is removed, and so made again under a new incarnation:
    the same UUID would bring its predecessor's machine-id back. Without `may_make` (paused, or no consent)
    only what is too much goes: nothing ever blocks a removal.
    """
    held = {r.ordinal for r in existing}
    surplus = [r for r in existing if not r.deleting and (r.ordinal > wanted or (r.missing and may_make))]
    return ReplicaChanges(
        create=tuple(n for n in range(1, wanted + 1) if n not in held) if may_make else (),
        delete=tuple(sorted(surplus, key=lambda r: -r.ordinal)),
    )


def newest_complete(points: Sequence[FrozenPointStatus]) -> FrozenPointStatus | None:
    """Return the newest frozen point that is complete."""
    complete = [p for p in points if p.completion_time]
    return max(complete, key=lambda p: (p.frozen_time, p.recorded_time), default=None)


def open_point(points: Sequence[FrozenPointStatus]) -> FrozenPointStatus | None:
    """Return the frozen point that is intended or still being copied; there is at most one."""
    return next((p for p in points if not p.completion_time), None)


def waits_for_clone(replicas: Sequence[ReplicaView]) -> bool:
    """Return whether a replica has no clone yet, and so needs a frozen point."""
    return any(not r.provisioned and not r.deleting for r in replicas)


def releasable(points: Sequence[FrozenPointStatus], replicas: Sequence[ReplicaView]) -> tuple[FrozenPointStatus, ...]:
    """Return the frozen points that nothing stands on any more and nothing will.

    The newest stays while any replica is left: rebuilds and scale-up clone from it.
    """
    used = {r.frozen_point for r in replicas if r.frozen_point}
    newest = newest_complete(points)
    kept = {newest.id} if newest is not None and replicas else set()
    return tuple(p for p in points if p.completion_time and p.id not in used and p.id not in kept)


def has_turn(me: tuple[str, str], ahead: Collection[tuple[str, str]], limit: int) -> bool:
    """Return whether a replica may begin: fewer than `limit` unfinished ones come before it.

    Order is (creation time, name): first come, first served over all VMClones of the backend.
    """
    return sum(1 for other in ahead if other < me) < limit


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
