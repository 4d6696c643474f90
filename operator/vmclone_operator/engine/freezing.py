"""Frozen points of one VMClone: intend, freeze, follow the copy, let go. Part of the VMClone pass, its only writer.

The intent is written before the source is touched. A pass that finds an open intent thaws first: whoever
wrote it may have been killed with the source's file systems frozen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from vmclone_operator.api.vmclone import FrozenPointStatus
from vmclone_operator.domain.backend import BackendSession, Consistency, FreezeIntent, Operation, OperationState, Owner
from vmclone_operator.domain.errors import (
    ActionNeeded,
    AgentNotReady,
    CloneError,
    CloneFailed,
    FrozenPointInUse,
    LeadershipLost,
    RetryLater,
    SourceLocked,
)
from vmclone_operator.domain.rollout import ReplicaView, open_point, releasable
from vmclone_operator.engine.context import Engine, stamp_time
from vmclone_operator.engine.endpoints import host_of
from vmclone_operator.engine.lineage import copied_sources, uid_of
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

        `found_open`: the intent is not of this pass, so whoever wrote it may have left the source frozen.
        """
        point = open_point(points)
        if point is None:
            return FreezeStep(points=points)
        if point.frozen_time:
            return await self._follow(points, point)
        async with self.engine.source_gate(self.backend, point.source_id):
            if found_open:
                await self._thaw(point.source_id)
            if not may_begin:
                return FreezeStep(points=points)
            return await self._freeze(points, point)

    async def give_up(self, points: Points) -> FreezeStep:
        """Forget an attempt that failed: the next one has a new name."""
        point = open_point(points)
        if point is None or point.frozen_time:
            return FreezeStep(points=points)
        async with self.engine.source_gate(self.backend, point.source_id):
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

    async def _freeze(self, points: Points, point: FrozenPointStatus) -> FreezeStep:
        intent = FreezeIntent(
            token=point.id,
            instance=self.owner.instance,
            vmclone_uid=self.owner.vmclone_uid,
            source_id=point.source_id,
            consistency=self.consistency,
            image=self.image,
        )
        try:
            frozen = await self.session.freeze(intent)
        except (CloneFailed, SourceLocked) as error:
            # Locked by somebody else's freeze: an intent that stays open would have the next pass thaw it.
            return await self._drop(points, point, error)
        except ActionNeeded as error:
            await self._thaw(point.source_id)  # the guest may have frozen, and only its answer came too late
            return await self._drop(points, point, error)
        update = {
            "frozen_time": self.engine.timestamp(),
            "consistency": frozen.consistency.value,
            "fingerprint": frozen.fingerprint,
        }
        frozen_point = point.model_copy(update=update)
        step = FreezeStep(points=_replaced(points, point, update), again_seconds=0.2)
        try:
            done = await self._completed(frozen_point)  # what is copied by now is written with the same write
        except ActionNeeded as error:  # a backend tells once how a copy failed, so it counts now
            return await self._failed_at_once(points, point, error, otherwise=step)
        if done is None:
            return step
        return FreezeStep(points=_replaced(points, point, {**update, **done}), again_seconds=0)

    async def _failed_at_once(
        self, points: Points, point: FrozenPointStatus, problem: ActionNeeded, *, otherwise: FreezeStep
    ) -> FreezeStep:
        """Forget a copy that failed at once; while it can not be removed, `otherwise`, which says that it was begun."""
        try:
            return await self._drop(points, point, problem)
        except LeadershipLost:
            raise
        except CloneError:
            return otherwise

    async def _follow(self, points: Points, point: FrozenPointStatus) -> FreezeStep:
        operation = Operation(kind="freeze", token=point.id, target=point.source_id)
        try:
            progress = await self.session.poll(operation)
        except ActionNeeded as error:
            return await self._drop(points, point, error)
        if progress.state is OperationState.RUNNING:
            return FreezeStep(points=points, again_seconds=0.5)
        if progress.state is OperationState.LOST or progress.frozen is None:
            message = "the copy of the frozen point was interrupted (is there room on the storage?); it is taken again"
            return await self._drop(points, point, RetryLater(message, retry_after=_LOST_PAUSE))
        update = {"completion_time": self.engine.timestamp(), "bytes": progress.frozen.allocated_bytes}
        return FreezeStep(points=_replaced(points, point, update), again_seconds=0)

    async def _completed(self, point: FrozenPointStatus) -> Mapping[str, object] | None:
        """Return what the status says of a copy that is complete; None while it runs, or if nobody knows.

        Raises ActionNeeded with what the copy failed with.
        """
        try:
            progress = await self.session.poll(Operation(kind="freeze", token=point.id, target=point.source_id))
        except LeadershipLost:
            raise
        except RetryLater:
            return None  # that it is frozen is written first; the next pass asks again
        if progress.state is not OperationState.DONE or progress.frozen is None:
            return None
        return {"completion_time": self.engine.timestamp(), "bytes": progress.frozen.allocated_bytes}

    async def _drop(self, points: Points, point: FrozenPointStatus, problem: CloneError | None) -> FreezeStep:
        """Remove what the provider has of a point, then forget it: a new attempt has a new name."""
        if not await self.session.release_frozen(self.owner, point.id):
            return FreezeStep(points=points, again_seconds=1, problem=problem)
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


def _replaced(points: Points, point: FrozenPointStatus, update: Mapping[str, object]) -> Points:
    return tuple(p.model_copy(update=update) if p.id == point.id else p for p in points)
