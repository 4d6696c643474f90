"""The pass of one VMClone: sessions, replicas, frozen points, and the only writer of its status."""

from __future__ import annotations

import logging

from vmclone_operator.api.replica import VMCloneReplicaStatus
from vmclone_operator.api.vmclone import SessionStatus, VMCloneSpec, VMCloneStatus
from vmclone_operator.domain.conditions import ConditionWriter, is_true
from vmclone_operator.domain.errors import CloneError, LeadershipLost, RetryLater
from vmclone_operator.domain.plan import Blocker
from vmclone_operator.domain.rollout import ReplicaView, plan_replicas
from vmclone_operator.engine import consent
from vmclone_operator.engine.clone_report import summarised, view_of
from vmclone_operator.engine.context import Engine, is_deleting
from vmclone_operator.engine.frozen_pass import FrozenPass
from vmclone_operator.engine.replica import controller_of, new_replica, replica_labels
from vmclone_operator.engine.session_names import conflict_with, recorded_sessions, wanted_sessions
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

    async def run(self) -> float | None:
        """Return after how many seconds to look again, or None when events will say."""
        if self._document.get("status", {}).get("sessions") or self._replicas():
            self._document = await self._engine.ensure_finalizer(Kind.VMCLONE, self._document)
        found = await consent.check(self._engine, self._document)
        status = self._status()
        recorded = recorded_sessions(status, self._replicas())
        blocker = found.blocker or conflict_with(self._document, recorded, self._neighbours())
        if blocker is None:
            status = await self._record_sessions(status, recorded)
        await self._change_replicas(status, found, blocker)
        problem: CloneError | None = None
        again: float | None = None
        try:
            status, again = await self._frozen_points(found).run(status, blocker)
        except LeadershipLost:
            raise
        except CloneError as error:
            problem, status = error, self._status()
            blocker = Blocker(reason=error.reason, message=str(error), retrying=isinstance(error, RetryLater))
        later = await self._report(status, found, blocker, urgent=problem is not None)
        if problem is not None:
            raise problem
        return later if again is None else again

    def _frozen_points(self, found: consent.Consent) -> FrozenPass:
        return FrozenPass(
            engine=self._engine,
            document=self._document,
            spec=self._spec,
            found=found,
            views=self._views(),
            commit=self._commit_points,
        )

    def _neighbours(self) -> list[Document]:
        namespace = self._document["metadata"]["namespace"]
        return [d for d in self._engine.cache.all(Kind.VMCLONE) if d["metadata"]["namespace"] == namespace]

    def _status(self) -> VMCloneStatus:
        return VMCloneStatus.model_validate(self._document.get("status") or {})

    async def _commit(self, status: VMCloneStatus) -> VMCloneStatus:
        """Write what must be durable before the next step."""
        self._document = await self._engine.write_status(Kind.VMCLONE, self._document, dumped(status))
        return status

    async def _commit_points(self, status: VMCloneStatus) -> VMCloneStatus:
        self._document = await self._engine.ensure_finalizer(Kind.VMCLONE, self._document)
        written = await self._commit(status)
        self._wake_waiting()
        return written

    async def _record_sessions(self, status: VMCloneStatus, recorded: dict[int, str]) -> VMCloneStatus:
        """Record the sessions before the first replica that bears one."""
        rows = tuple(
            SessionStatus(ordinal=n, session=s) for n, s in sorted(wanted_sessions(self._document, recorded).items())
        )
        if rows == status.sessions:
            return status
        self._document = await self._engine.ensure_finalizer(Kind.VMCLONE, self._document)
        return await self._commit(status.model_copy(update={"sessions": rows}))

    async def _change_replicas(self, status: VMCloneStatus, found: consent.Consent, blocker: Blocker | None) -> None:
        """Make and remove VMCloneReplica objects; their own passes do the work."""
        may_make = blocker is None and not self._spec.paused
        changes = plan_replicas(self._views(), wanted=self._spec.replicas, may_make=may_make)
        for view in changes.delete:
            document = next(d for d in self._replicas() if d["metadata"]["uid"] == view.uid)
            await self._engine.cluster.delete(Kind.REPLICA, document)
        sessions = {row.ordinal: row.session for row in status.sessions}
        for ordinal in changes.create:
            await self._create_replica(ordinal, sessions[ordinal], found.backend_name)
        for document in self._replicas():
            await self._restore_labels(document)

    async def _restore_labels(self, document: Document) -> None:
        """Put our labels back on a replica that lost them."""
        present, wanted = document["metadata"].get("labels") or {}, replica_labels(self._document, document)
        if not is_deleting(document) and not wanted.items() <= present.items():
            await self._engine.write_labels(Kind.REPLICA, document, {**present, **wanted})

    async def _create_replica(self, ordinal: int, session: str, backend: str) -> None:
        wanted = new_replica(self._document, ordinal=ordinal, session=session, backend=backend)
        try:
            made = await self._engine.cluster.create(Kind.REPLICA, wanted)
        except Conflict:
            # Ours from a pass whose reply was lost, or one still being removed: the live object tells.
            key = Key(Kind.REPLICA, wanted["metadata"]["namespace"], wanted["metadata"]["name"])
            document = await self._engine.cluster.get(key)
            if document is not None:
                self._engine.saw(Kind.REPLICA, document)
            return
        self._engine.saw(Kind.REPLICA, made)

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

    def _wake_waiting(self) -> None:
        for document in self._replicas():
            if not is_true(VMCloneReplicaStatus.model_validate(document.get("status") or {}).conditions, "Ready"):
                self._engine.queue.add(key_of(Kind.REPLICA, document))

    async def _report(
        self, status: VMCloneStatus, found: consent.Consent, blocker: Blocker | None, *, urgent: bool
    ) -> float | None:
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
        if wait > 0 and not fresh and not urgent:
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
            if state in ("", "Failed", "Paused"):
                self._engine.queue.add(key_of(Kind.REPLICA, document))
