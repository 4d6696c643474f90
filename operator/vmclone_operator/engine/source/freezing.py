"""Frozen points of one VMClone: intend, freeze, follow the copy, let go. Part of the VMClone pass, its only writer.

The intent is written before the source is touched. A pass that finds an open intent thaws first: whoever
wrote it may have been killed with the source's file systems frozen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta

from vmclone_operator.api.vmclone import FrozenPointStatus
from vmclone_operator.domain.backend import BackendSession, Consistency, FreezeIntent, OperationState, Owner, Progress
from vmclone_operator.domain.errors import (
    ActionNeeded,
    AgentNotReady,
    CloneError,
    CloneFailed,
    FrozenPointInUse,
    RetryLater,
    SourceLocked,
)
from vmclone_operator.domain.pace import Pace
from vmclone_operator.domain.rollout import ReplicaView, open_point, releasable
from vmclone_operator.engine.backends.endpoints import host_of
from vmclone_operator.engine.context import Engine, stamp_time
from vmclone_operator.engine.objects.lineage import copied_sources, uid_of
from vmclone_operator.kube.cluster import Document

FREEZE_LIMIT = timedelta(seconds=5)
_LOST_PAUSE = timedelta(seconds=20)

Points = tuple[FrozenPointStatus, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FreezeStep:
    """The frozen points as they are now, and when to look again."""

    points: Points
    again_seconds: float | None = None
    problem: CloneError | None = None
    """Why the attempt is given up: raised once the points are written, so that it is told and backs off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Freezer:
    """Moves the frozen points of one VMClone one step on; every result must be written before the next step."""

    engine: Engine
    session: BackendSession
    owner: Owner
    backend: str
    consistency: Consistency
    image: str = ""
    """Mode Clean: the golden image that is copied instead; the source is not touched."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """See `PlanWish.labels`."""

    def intend(self, points: Points, source_id: str) -> Points:
        """Return the points with a new intent."""
        now = self.engine.now()
        intent = FrozenPointStatus(
            id=self.engine.new_token(),
            source_id=source_id,
            recorded_time=stamp_time(now),
            deadline=stamp_time(now + FREEZE_LIMIT),
        )
        return (*points, intent)

    async def advance(self, points: Points, *, may_begin: bool, found_open: bool) -> FreezeStep:
        """Freeze what is intended, or ask how the copy stands.

        `found_open`: the intent is not of this pass, so whoever wrote it may have left the source frozen. What has a
        handle has got beyond that: a backend that copies for minutes before the point in time is taken (Proxmox VE)
        freezes and thaws by itself, and a thaw of ours would break its copy.
        """
        point = open_point(points)
        if point is None:
            return FreezeStep(points=points)
        if point.frozen_time:
            return await self._step(points, point)
        async with self.engine.source_gate(self.backend, point.source_id):
            if found_open and not point.handle:
                await self._thaw(point.source_id)
            if not may_begin:
                return FreezeStep(points=points)
            return await self._step(points, point)

    async def give_up(self, points: Points) -> FreezeStep:
        """Forget an attempt that failed: the next one has a new name."""
        point = open_point(points)
        if point is None or point.frozen_time:
            return FreezeStep(points=points)
        async with self.engine.source_gate(self.backend, point.source_id):
            if not point.handle:
                await self._thaw(point.source_id)
            return await self._drop(points, point, None)

    async def _thaw(self, source_id: str) -> None:
        if self.image:
            return
        with suppress(AgentNotReady):  # a silent agent can not be asked; the guest's own watchdog thaws
            await self.session.thaw(source_id)

    async def release(self, points: Points, replicas: Sequence[ReplicaView]) -> FreezeStep:
        """Remove one frozen point that nothing needs any more; said first, for half of one is nothing to clone from.

        One that VMs still stand on stays as long as they do: orphans, or clones whose ledger was lost.
        """
        for point in releasable(points, replicas):
            if not point.release_time:
                marked = _replaced(points, point, {"release_time": self.engine.timestamp()})
                return FreezeStep(points=marked, again_seconds=0)
            try:
                return await self._drop(points, point, None)
            except FrozenPointInUse:
                continue
        return FreezeStep(points=points)

    async def _step(self, points: Points, point: FrozenPointStatus) -> FreezeStep:
        """Ask the backend for one step of an attempt, and keep what it says."""
        wait = self.engine.looks.wait(point.id)
        if wait > 0:
            return FreezeStep(points=points, again_seconds=wait)
        try:
            progress = await self.session.freeze(self._intent(point))
        except ActionNeeded as error:
            if not (point.frozen_time or point.handle or isinstance(error, CloneFailed)):
                await self._thaw(point.source_id)  # the guest may have frozen, and only its answer came too late
            return await self._drop(points, point, error)
        except SourceLocked as error:
            if point.frozen_time:
                raise
            # Locked by somebody else's freeze: an intent that stays open would have the next pass thaw it.
            return await self._drop(points, point, error)
        lost = progress.state is OperationState.LOST or (progress.done and progress.frozen is None)
        if lost:
            message = "the copy of the frozen point was interrupted (is there room on the storage?); it is taken again"
            return await self._drop(points, point, RetryLater(message, retry_after=_LOST_PAUSE))
        update = self._learned(point, progress)
        if progress.done:
            return FreezeStep(points=_replaced(points, point, update), again_seconds=0)
        pace = Pace(look_seconds=self.engine.look_seconds(self.backend))
        pace.not_before(progress.again_seconds)
        self.engine.looks.not_before(point.id, pace.look_seconds)
        return FreezeStep(points=_replaced(points, point, update), again_seconds=pace.wait(_again(point, update)))

    def _intent(self, point: FrozenPointStatus) -> FreezeIntent:
        return FreezeIntent(
            token=point.id,
            instance=self.owner.instance,
            vmclone_uid=self.owner.vmclone_uid,
            source_id=point.source_id,
            consistency=self.consistency,
            image=self.image,
            labels=self.labels,
            handle=point.handle,
        )

    def _learned(self, point: FrozenPointStatus, progress: Progress) -> Mapping[str, object]:
        """Return what the ledger did not have yet: the handle, the point in time, that the copy is complete."""
        update: dict[str, object] = {"handle": progress.handle} if progress.handle else {}
        frozen = progress.frozen
        if frozen is not None and not point.frozen_time:
            update |= {
                "frozen_time": frozen.frozen_time or self.engine.timestamp(),
                "consistency": frozen.consistency.value,
                "fingerprint": frozen.fingerprint,
                "borrowed": frozen.borrowed,
            }
        if frozen is not None and progress.done:
            update |= {"completion_time": self.engine.timestamp(), "bytes": frozen.allocated_bytes}
        return {name: value for name, value in update.items() if value != getattr(point, name)}

    async def _drop(self, points: Points, point: FrozenPointStatus, problem: CloneError | None) -> FreezeStep:
        """Remove what the provider has of a point, then forget it: a new attempt has a new name."""
        progress = await self.session.release_frozen(self.owner, point.id, point.handle)
        if not progress.done:
            kept = _replaced(points, point, {"handle": progress.handle or point.handle})
            return FreezeStep(points=kept, again_seconds=max(1, progress.again_seconds), problem=problem)
        left = tuple(p for p in points if p.id != point.id)
        return FreezeStep(points=left, again_seconds=0, problem=problem)


def copied_elsewhere(engine: Engine, vmclone: Document, vm: tuple[str, str]) -> Document | None:
    """Return the other VMClone for which a frozen point of this source, a backend and an id, is being copied now."""
    backend, source_id = vm
    host = host_of(engine.cache, backend)
    for other in engine.cache.copied(source_id):
        if uid_of(other) == uid_of(vmclone):
            continue
        for where, copied in copied_sources(other):
            if copied == source_id and host_of(engine.cache, where or backend) == host:
                return other
    return None


def _again(point: FrozenPointStatus, update: Mapping[str, object]) -> float:
    """Return when to ask again: at once with a handle that was just kept, else as fast as a small disk is copied."""
    if point.frozen_time or not update:
        return 0.5
    return 0.2 if "frozen_time" in update else 0.0


def _replaced(points: Points, point: FrozenPointStatus, update: Mapping[str, object]) -> Points:
    return tuple(p.model_copy(update=update) if p.id == point.id else p for p in points)
