"""The pass of one VMClone: sessions, replicas, frozen points, and the only writer of its status."""

from __future__ import annotations

import logging

from vmclone_operator.api.replica import VMCloneReplicaStatus
from vmclone_operator.api.vmclone import SessionStatus, SourceStatus, VMCloneSpec, VMCloneStatus
from vmclone_operator.domain import naming
from vmclone_operator.domain.backend import BackendSession, Consistency, Owner, SourceInfo
from vmclone_operator.domain.conditions import ConditionWriter, is_true
from vmclone_operator.domain.errors import CloneError, LeadershipLost, RetryLater
from vmclone_operator.domain.plan import Blocker
from vmclone_operator.domain.rollout import ReplicaView, open_point, plan_replicas, session_conflicts
from vmclone_operator.engine import consent
from vmclone_operator.engine.cache import VMCLONE_UID_LABEL
from vmclone_operator.engine.clone_report import summarised, view_of
from vmclone_operator.engine.context import Engine, is_deleting
from vmclone_operator.engine.freezing import Freezer
from vmclone_operator.engine.replica import controller_of, new_replica
from vmclone_operator.engine.written import dumped
from vmclone_operator.kube.cluster import Conflict, Document, Key, Kind, key_of

log = logging.getLogger(__name__)

_STATUS_PAUSE_SECONDS = 1.0


class ClonePass:
    """One look at one VMClone, and the next step of everything that is not a replica's own."""

    def __init__(self, engine: Engine, vmclone: Document) -> None:
        self._engine = engine
        self._document = vmclone
        self._spec = VMCloneSpec.model_validate(vmclone["spec"])
        self._uid: str = vmclone["metadata"]["uid"]
        self._owner = Owner(instance=engine.instance, vmclone_uid=self._uid)

    async def run(self) -> float | None:
        """Return after how many seconds to look again, or None when events will say."""
        found = await consent.check(self._engine, self._document)
        blocker = found.blocker or self._session_conflict()
        status = self._status()
        again: float | None = None
        if blocker is None:
            status = await self._record_sessions(status)
            await self._change_replicas(status, found)
        problem: CloneError | None = None
        try:
            if found.backend_name:
                status, again = await self._frozen_points(status, found, blocker)
        except LeadershipLost:
            raise
        except CloneError as error:
            problem, status = error, self._status()
            blocker = Blocker(reason=error.reason, message=str(error), retrying=isinstance(error, RetryLater))
        later = await self._report(status, found, blocker)
        if problem is not None:
            raise problem
        return later if again is None else again

    def _status(self) -> VMCloneStatus:
        return VMCloneStatus.model_validate(self._document.get("status") or {})

    async def _commit(self, status: VMCloneStatus) -> VMCloneStatus:
        """Write what must be durable before the next step."""
        self._document = await self._engine.write_status(Kind.VMCLONE, self._document, dumped(status))
        return status

    def _session_conflict(self) -> Blocker | None:
        meta = self._document["metadata"]
        others: dict[str, tuple[str, bool, tuple[str, str]]] = {}
        for other in self._engine.cache.all(Kind.VMCLONE):
            known = other["metadata"]
            if known["namespace"] != meta["namespace"] or known["uid"] == self._uid:
                continue
            since = (known["creationTimestamp"], known["uid"])
            recorded = _recorded(VMCloneStatus.model_validate(other.get("status") or {}))
            for ordinal, session in _sessions(
                VMCloneSpec.model_validate(other["spec"]), recorded, known["name"]
            ).items():
                others[session] = (known["name"], ordinal in recorded, since)
        recorded = _recorded(self._status())
        mine = _sessions(self._spec, recorded, meta["name"])
        conflict = session_conflicts(mine, recorded, others, (meta["creationTimestamp"], self._uid))
        if conflict is None:
            return None
        message = (
            f"session {conflict[0]} is held by VMClone {conflict[1]}; write another spec.sessionPrefix in a new VMClone"
        )
        return Blocker(reason="SessionConflict", message=message)

    async def _record_sessions(self, status: VMCloneStatus) -> VMCloneStatus:
        """Record the sessions before the first replica that bears one."""
        recorded = _recorded(status)
        sessions = _sessions(self._spec, recorded, self._document["metadata"]["name"])
        if sessions == recorded:
            return status
        rows = tuple(SessionStatus(ordinal=n, session=s) for n, s in sorted(sessions.items()))
        self._document = await self._engine.ensure_finalizer(Kind.VMCLONE, self._document)
        return await self._commit(status.model_copy(update={"sessions": rows}))

    async def _change_replicas(self, status: VMCloneStatus, found: consent.Consent) -> None:
        """Make and remove VMCloneReplica objects; their own passes do the work."""
        changes = plan_replicas(self._views(), wanted=self._spec.replicas, paused=self._spec.paused)
        if changes.create or changes.delete:
            self._document = await self._engine.ensure_finalizer(Kind.VMCLONE, self._document)
        for view in changes.delete:
            document = next(d for d in self._replicas() if d["metadata"]["uid"] == view.uid)
            await self._engine.cluster.delete(Kind.REPLICA, document)
        sessions = _recorded(status)
        for ordinal in changes.create:
            await self._create_replica(ordinal, sessions[ordinal], found.backend_name)

    async def _create_replica(self, ordinal: int, session: str, backend: str) -> None:
        wanted = new_replica(self._document, ordinal=ordinal, session=session, backend=backend)
        try:
            made = await self._engine.cluster.create(Kind.REPLICA, wanted)
        except Conflict:
            # Ours from a pass whose reply was lost, or one still being removed: the live list tells.
            labels = {VMCLONE_UID_LABEL: self._uid}
            namespace = self._document["metadata"]["namespace"]
            for document in await self._engine.cluster.list(Kind.REPLICA, namespace=namespace, labels=labels):
                self._engine.cache.put(Kind.REPLICA, document)
            return
        self._engine.cache.put(Kind.REPLICA, made)
        self._engine.queue.add(key_of(Kind.REPLICA, made))

    def _replicas(self) -> list[Document]:
        """Return the replicas that this VMClone controls."""
        found = []
        for document in self._engine.cache.replicas_of(self._uid):
            owner = controller_of(document)
            if owner is not None and owner["uid"] == self._uid:
                found.append(document)
        return found

    def _views(self) -> list[ReplicaView]:
        return [view_of(document) for document in self._replicas()]

    async def _frozen_points(
        self, status: VMCloneStatus, found: consent.Consent, blocker: Blocker | None
    ) -> tuple[VMCloneStatus, float | None]:
        if not status.frozen_points and all(v.provisioned or v.deleting for v in self._views()):
            return status, None
        backend = self._engine.cache.get(Key(Kind.BACKEND, "", found.backend_name))
        session = await self._engine.sessions.get(backend, found.backend_name)
        freezer = Freezer(
            engine=self._engine,
            session=session,
            owner=self._owner,
            backend=found.backend_name,
            consistency=Consistency(self._spec.disk.consistency),
        )
        may_begin = blocker is None and not self._spec.paused
        if may_begin and not status.frozen_points:
            status = await self._intend(status, session, freezer, found)
        if _not_yet_frozen(status) and self._copied_elsewhere(status):
            return status, 1.0
        if may_begin and _not_yet_frozen(status):
            may_begin = await self._may_freeze_live()
        step = await freezer.advance(status.frozen_points, may_begin=may_begin)
        if step.points == status.frozen_points and step.again_seconds is None:
            step = await freezer.release(status.frozen_points, self._views())
        if step.points != status.frozen_points:
            status = await self._commit(status.model_copy(update={"frozen_points": step.points}))
            place = str(key_of(Kind.VMCLONE, self._document))
            log.info("frozen points", extra={"object": place, "count": len(step.points), "note": step.message})
            self._wake_waiting()
        return status, step.again_seconds

    async def _intend(
        self, status: VMCloneStatus, session: BackendSession, freezer: Freezer, found: consent.Consent
    ) -> VMCloneStatus:
        """Describe the source and record the freeze intent, before the source is touched."""
        if found.source is None:
            return status
        info = await session.describe_source(found.source.vm.name)
        points = freezer.intend(status.frozen_points, self._views(), info.source_id)
        if points == status.frozen_points:
            return status
        self._document = await self._engine.ensure_finalizer(Kind.VMCLONE, self._document)
        update = {"frozen_points": points, "source": _source_status(info, found.backend_name)}
        return await self._commit(status.model_copy(update=update))

    def _copied_elsewhere(self, status: VMCloneStatus) -> bool:
        """Return whether another VMClone's frozen point of this source is still copied: freezes queue per source.

        A backend may know only how the source's last copy ended, not whose it was; so none begins before that is told.
        """
        source_id = status.frozen_points[-1].source_id
        for other in self._engine.cache.all(Kind.VMCLONE):
            point = open_point(VMCloneStatus.model_validate(other.get("status") or {}).frozen_points)
            copied = point is not None and point.source_id == source_id and bool(point.frozen_time)
            if copied and other["metadata"]["uid"] != self._uid:
                return True
        return False

    async def _may_freeze_live(self) -> bool:
        """Read the wish and the grants live: the source is about to be touched."""
        live = await self._engine.live(key_of(Kind.VMCLONE, self._document))
        if live is None or is_deleting(live) or live["metadata"]["uid"] != self._uid:
            return False
        return (await consent.check(self._engine, live, live=True)).blocker is None

    def _wake_waiting(self) -> None:
        for document in self._replicas():
            if not is_true(VMCloneReplicaStatus.model_validate(document.get("status") or {}).conditions, "Ready"):
                self._engine.queue.add(key_of(Kind.REPLICA, document))

    async def _report(self, status: VMCloneStatus, found: consent.Consent, blocker: Blocker | None) -> float | None:
        """Write the summary, at most once a second; return when to try again if it was too early."""
        generation = self._document["metadata"].get("generation", 1)
        final = summarised(
            self._document,
            self._replicas(),
            status,
            mode=found.mode,
            blocker=blocker,
            writer=ConditionWriter(generation=generation, now=self._engine.timestamp()),
        )
        document = dumped(final)
        if document == self._document.get("status"):
            return None
        fresh = generation != status.observed_generation or final.ready_replicas != status.ready_replicas
        wait = self._engine.status_wait(self._uid, _STATUS_PAUSE_SECONDS)
        if wait > 0 and not fresh:
            return wait
        self._document = await self._engine.write_status(Kind.VMCLONE, self._document, document)
        self._engine.status_written(self._uid)
        if generation != status.observed_generation or blocker is None:
            self._wake_blocked()
        return None

    def _wake_blocked(self) -> None:
        """Wake replicas that waited for something only this object says: a grant, a pause that ended, more slots."""
        for document in self._replicas():
            state = (document.get("status") or {}).get("state", "")
            if state in ("", "Failed"):
                self._engine.queue.add(key_of(Kind.REPLICA, document))


def _recorded(status: VMCloneStatus) -> dict[int, str]:
    return {row.ordinal: row.session for row in status.sessions}


def _sessions(spec: VMCloneSpec, recorded: dict[int, str], name: str) -> dict[int, str]:
    return naming.assign_sessions(recorded, prefix=spec.session_prefix or name, replicas=spec.replicas)


def _not_yet_frozen(status: VMCloneStatus) -> bool:
    point = open_point(status.frozen_points)
    return point is not None and not point.frozen_time


def _source_status(info: SourceInfo, backend: str) -> SourceStatus:
    return SourceStatus(id=info.source_id, backend=backend, fingerprint=info.fingerprint)
