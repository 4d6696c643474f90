"""The part of a VMClone's pass that sees to its frozen points: is one needed, may it be taken, is it still good?

`domain/frozen_points.py` decides the next step; this module finds the answers to its questions, and does what it says.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from vmclone_operator.api.vmclone import FrozenPointStatus, SourceStatus, VMCloneSpec, VMCloneStatus
from vmclone_operator.domain import wishes
from vmclone_operator.domain.backend import BackendSession, Consistency, DiskCopy, Owner, PlanWish, Power, SourceInfo
from vmclone_operator.domain.errors import (
    ActionNeeded,
    CloneError,
    FrozenPointInUse,
    InsufficientSpace,
    PreflightFailed,
    RetryLater,
)
from vmclone_operator.domain.frozen_points import QUESTIONS, FrozenSituation, FrozenStep, next_step
from vmclone_operator.domain.rollout import ReplicaView, newest_complete, open_point, waits_for_clone
from vmclone_operator.domain.steps import SAFETY_NET_SECONDS, Blocker
from vmclone_operator.engine.backends.endpoints import host_of
from vmclone_operator.engine.context import Engine
from vmclone_operator.engine.ledger.freeze_attempts import FreezeAttempts, FreezeHold
from vmclone_operator.engine.objects.lineage import is_deleting, order_of
from vmclone_operator.engine.objects.replica import shape_of
from vmclone_operator.engine.source import consent
from vmclone_operator.engine.source.freezing import Freezer, FreezeStep, copied_elsewhere
from vmclone_operator.engine.source.source_power import AGAIN_SECONDS, SourcePower
from vmclone_operator.engine.source.source_vm import described
from vmclone_operator.kube.cluster import Document, Kind, key_of

log = logging.getLogger(__name__)

Commit = Callable[[VMCloneStatus], Awaitable[VMCloneStatus]]
"""Writes the status at once: what is done next rests on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What a pass did about the frozen points."""

    status: VMCloneStatus
    """As it was written."""
    again_seconds: float | None = None
    """When to look again; None when events will say."""
    hold: FreezeHold | None = None
    """What is said while the next freeze waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrozenPass:
    """Works on the frozen points of one VMClone."""

    engine: Engine
    document: Document
    spec: VMCloneSpec
    found: consent.Consent
    views: Sequence[ReplicaView]
    wanted: int
    commit: Commit

    async def run(self, status: VMCloneStatus, blocker: Blocker | None) -> Moved:
        """Move the frozen points a step on; raises what the backend fails with."""
        backend, hold = self.found.backend_name or status.source.backend, self._attempts.hold(status)
        known = FrozenSituation(
            points=status.frozen_points,
            waiting=waits_for_clone(self.views),
            allowed=blocker is None and not self.spec.paused,
            held=hold is not None,
            stops_source=self.spec.source_power == "StopForClone" and not self.found.image,
        )
        step, found_open = next_step(known), open_point(status.frozen_points) is not None
        if not backend or step is FrozenStep.NOTHING:
            return Moved(status=status)
        freezer = self._freezer(await self.engine.session(backend), backend)
        while step in QUESTIONS:
            status, known = await self._answered(step, status, known, freezer)
            step = next_step(known)
        if hold is not None and step is FrozenStep.HOLD_BACK:
            return await self._meanwhile(status, freezer, hold)
        if step is FrozenStep.WAIT_FOR_TURN:
            return Moved(status=status, again_seconds=SAFETY_NET_SECONDS)
        if step is FrozenStep.WAIT_FOR_SOURCE:
            return Moved(status=status, again_seconds=max(AGAIN_SECONDS, self.engine.look_seconds(backend)))
        return await self._advance(status, freezer, may_begin=known.may_freeze, found_open=found_open)

    async def _answered(
        self, question: FrozenStep, status: VMCloneStatus, known: FrozenSituation, freezer: Freezer
    ) -> tuple[VMCloneStatus, FrozenSituation]:
        """Return the status as written, and the situation with the answer to a question."""
        match question:
            case FrozenStep.LOOK_AT_SOURCE:
                known = replace(known, shows_source=await self._serves(status, freezer.session, freezer))
            case FrozenStep.INTEND:
                status = await self._ensure_point(status, freezer.session, freezer)
                known = replace(known, points=status.frozen_points, looked=True)
            case FrozenStep.TAKE_TURN:
                known = replace(known, has_turn=self._has_turn(status.frozen_points, freezer.backend))
            case FrozenStep.READ_LIVE:
                known = replace(known, consents=await self._may_freeze_live())
            case _:
                status, off = await self._power.ensure(status, Power.OFF)
                known = replace(known, source_off=off)
        return status, known

    def _expected(self) -> Sequence[ReplicaView]:
        """Return the replicas, and one that stands for those to come: until then the newest point stays."""
        staying = [view for view in self.views if not view.deleting]
        replaces = self.spec.rollout.update == "Recreate" and any(not view.current for view in staying)
        if len(staying) >= self.wanted and not replaces:
            return self.views
        return [*self.views, ReplicaView(name="", ordinal=0, uid="")]

    @property
    def _attempts(self) -> FreezeAttempts:
        return FreezeAttempts(engine=self.engine, document=self.document, spec=self.spec)

    @property
    def _power(self) -> SourcePower:
        return SourcePower(engine=self.engine, document=self.document, commit=self.commit)

    def _freezer(self, session: BackendSession, backend: str) -> Freezer:
        return Freezer(
            engine=self.engine,
            session=session,
            owner=Owner(instance=self.engine.instance, vmclone_uid=self.document["metadata"]["uid"]),
            backend=backend,
            consistency=Consistency(self.spec.disk.consistency),
            image=self.found.image,
            labels=self.spec.template.labels,
        )

    async def _advance(self, status: VMCloneStatus, freezer: Freezer, *, may_begin: bool, found_open: bool) -> Moved:
        try:
            step = await freezer.advance(status.frozen_points, may_begin=may_begin, found_open=found_open)
        except ActionNeeded as error:
            if not may_begin:
                raise
            step = FreezeStep(points=status.frozen_points, problem=error)
        step = await self._or_release(step, status, freezer)
        retry, problem, hold = status.retry, step.problem, None
        if isinstance(problem, ActionNeeded) and _ended(status.frozen_points, step.points):
            retry, hold = self._attempts.failed(status, problem)
        if len(_complete(step.points)) > len(_complete(status.frozen_points)):
            await self._release_strays(freezer)
            retry = None
        if (step.points, retry) != (status.frozen_points, status.retry):
            fewer = len(step.points) < len(status.frozen_points)
            status = await self.commit(status.model_copy(update={"frozen_points": step.points, "retry": retry}))
            if fewer:
                self.engine.held_plans.freed(self.engine.queue, self.found.backend_name or status.source.backend)
            place = str(key_of(Kind.VMCLONE, self.document))
            log.info("frozen points", extra={"object": place, "count": len(step.points), "problem": step.problem or ""})
        if hold is not None:
            return Moved(
                status=status, hold=hold.no_later_than(step.again_seconds if open_point(step.points) else None)
            )
        if problem is not None:
            raise problem
        return Moved(status=status, again_seconds=step.again_seconds)

    async def _meanwhile(self, status: VMCloneStatus, freezer: Freezer, hold: FreezeHold) -> Moved:
        """Clear away until the next attempt; what cannot be cleared now is no other news."""
        try:
            step = await self._or_release(await freezer.give_up(status.frozen_points), status, freezer)
        except ActionNeeded as error:
            place = str(key_of(Kind.VMCLONE, self.document))
            log.warning("while a freeze waits", extra={"object": place, "error": str(error)})
            return Moved(status=status, hold=hold)
        if step.points != status.frozen_points:
            status = await self.commit(status.model_copy(update={"frozen_points": step.points}))
        return Moved(status=status, hold=hold.no_later_than(step.again_seconds))

    async def _or_release(self, step: FreezeStep, status: VMCloneStatus, freezer: Freezer) -> FreezeStep:
        """Return the step, or where it found nothing to do, the removal of what nothing needs any more."""
        if step != FreezeStep(points=status.frozen_points):
            return step
        return await freezer.release(status.frozen_points, self._expected())

    async def _release_strays(self, freezer: Freezer) -> None:
        """Remove what an operator that slept in mid-freeze made under a token that was given up meanwhile.

        What is not one is read live: this operator may be the one that slept. A backend that is away is asked again
        before the new point counts as complete: nobody looks for strays afterwards.
        """
        live = await self.engine.cluster.get(key_of(Kind.VMCLONE, self.document))
        if live is None or live["metadata"]["uid"] != self.document["metadata"]["uid"]:
            return
        kept = {p.id for p in VMCloneStatus.model_validate(live.get("status") or {}).frozen_points}
        for token in await freezer.session.find_frozen(freezer.owner):
            if token in kept:
                continue
            try:
                await freezer.session.release_frozen(freezer.owner, token)
            except CloneError as error:
                if isinstance(error, RetryLater) and not isinstance(error, FrozenPointInUse):
                    raise
                log.warning("stray frozen point", extra={"token": token, "error": str(error)})

    async def _ensure_point(self, status: VMCloneStatus, session: BackendSession, freezer: Freezer) -> VMCloneStatus:
        """Keep the newest frozen point if it still exists and shows the source as it is; else intend another."""
        if self.found.source is None:
            return status
        info, fingerprint, points = await self._look(status, session, freezer)
        if not _shows(points, info.source_id, fingerprint):
            if not freezer.image:
                await self._preflight(status, session, info)
            points = freezer.intend(points, info.source_id)
            if status.retry is None:
                await self._say_again(info.name)
        if points == status.frozen_points:
            return status
        source = SourceStatus(
            id=info.source_id,
            backend=freezer.backend,
            clone_source=self.found.clone_source,
            fingerprint=fingerprint,
            addresses=info.addresses,
        )
        return await self.commit(status.model_copy(update={"frozen_points": points, "source": source}))

    async def _serves(self, status: VMCloneStatus, session: BackendSession, freezer: Freezer) -> bool:
        """Return whether no other frozen point is needed: the source may be again what the newest shows."""
        if self.found.source is None or newest_complete(status.frozen_points) is None:
            return False
        try:
            info, fingerprint, points = await self._look(status, session, freezer)
        except ActionNeeded:
            return False
        return _shows(points, info.source_id, fingerprint)

    async def _look(
        self, status: VMCloneStatus, session: BackendSession, freezer: Freezer
    ) -> tuple[SourceInfo, str, tuple[FrozenPointStatus, ...]]:
        """Return the source, what a point of it would show, and the points that still exist."""
        info = await described(self.engine, self.found)
        fingerprint = info.fingerprint
        if freezer.image:
            fingerprint = (await session.describe_image(freezer.image)).fingerprint
        points = status.frozen_points
        if points:
            held = set(await session.find_frozen(freezer.owner))
            points = tuple(p for p in points if p.borrowed or p.id in held)
        return info, fingerprint, points

    async def _say_again(self, source: str) -> None:
        """Say so when clones of one VMClone come from two points in time."""
        waiting = sum(not view.provisioned and not view.deleting for view in self.views)
        if any(view.provisioned for view in self.views):
            note = (
                f"{source} is frozen again for {waiting} replicas: what the others were made from is gone, or the"
                " source is another one by now; their content is of another time"
            )
            await self.engine.events.post(Kind.VMCLONE, self.document, reason="FrozenAgain", action="Freeze", note=note)

    async def _preflight(self, status: VMCloneStatus, session: BackendSession, info: SourceInfo) -> None:
        """Raise PreflightFailed with all findings, before the source is touched."""
        replicas = sum(not view.provisioned and not view.deleting for view in self.views)
        wish = PlanWish(
            replicas=replicas,
            pool=self.spec.disk.pool or "",
            full=status.copy_.actual == DiskCopy.FULL.value,
            shape=shape_of(self.spec.template),
            labels=self.spec.template.labels,
            consistency=None if self.spec.source_power == "StopForClone" else Consistency(self.spec.disk.consistency),
        )
        findings = await session.preflight(info, wish)
        if findings:
            told = "; ".join(finding.message for finding in findings)
            only_room = wishes.reason_of(findings) == InsufficientSpace.reason
            raise InsufficientSpace(told) if only_room else PreflightFailed(told)

    def _has_turn(self, points: Sequence[FrozenPointStatus], backend: str) -> bool:
        """Return whether no other VMClone's frozen point of this source is made or copied: freezes queue per source.

        A backend may know only how the source's last copy ended, not whose it was; so none begins before that is told.
        """
        wanted = open_point(points)
        if self.found.image or wanted is None:
            return True
        other = copied_elsewhere(self.engine, self.document, (backend, wanted.source_id))
        return self.engine.freeze_turns.take(
            f"{host_of(self.engine.cache, backend)}/{wanted.source_id}",
            key_of(Kind.VMCLONE, self.document),
            order_of(self.document),
            copied_for=None if other is None else key_of(Kind.VMCLONE, other),
        )

    async def _may_freeze_live(self) -> bool:
        """Read the wish and the grants live: the source is about to be touched."""
        live = await self.engine.live(key_of(Kind.VMCLONE, self.document))
        if live is None or is_deleting(live) or live["metadata"]["uid"] != self.document["metadata"]["uid"]:
            return False
        wish = VMCloneSpec.model_validate(live["spec"])
        if wish.paused or wish.plan.mode == "DryRun":
            return False
        return (await consent.check(self.engine, live, live=True)).blocker is None


def _ended(before: Sequence[FrozenPointStatus], after: Sequence[FrozenPointStatus]) -> bool:
    """Return whether an attempt is over: one that was never frozen, or that is forgotten."""
    point = open_point(before)
    return point is not None and (not point.frozen_time or open_point(after) is None)


def _shows(points: Sequence[FrozenPointStatus], source_id: str, fingerprint: str) -> bool:
    newest = newest_complete(points)
    return newest is not None and (newest.source_id, newest.fingerprint) == (source_id, fingerprint)


def _complete(points: Sequence[FrozenPointStatus]) -> list[FrozenPointStatus]:
    return [point for point in points if point.completion_time]
