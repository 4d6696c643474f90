"""The keys' part of a replica's pass: who may log in to a clone in use follows the wish.

Two writes around one command: the new keys are in the ledger before they are in the clone, and the old ones leave the
ledger after they left the clone. A clone that is off is never started for it; the change waits, and is told.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from vmclone_operator.api.replica import AccessStatus, GuestTaskStatus, VMCloneReplicaStatus
from vmclone_operator.api.source import CloneSourceSpec
from vmclone_operator.api.vmclone import VMCloneSpec
from vmclone_operator.domain import guest_keys
from vmclone_operator.domain.backend import BackendSession, GuestCommand, GuestResult, ObservedClone, Power
from vmclone_operator.domain.conditions import find
from vmclone_operator.domain.errors import ActionNeeded, AgentNotReady, KeyMalformed
from vmclone_operator.domain.guest_keys import Change, KeysSituation, Wanted
from vmclone_operator.domain.guest_tasks import LOOK_SECONDS, task_of
from vmclone_operator.engine.context import Engine
from vmclone_operator.engine.guest.identity_pass import no_task
from vmclone_operator.engine.ledger import guest_tasks
from vmclone_operator.engine.objects.replica import Replica
from vmclone_operator.engine.source.consent import Consent
from vmclone_operator.kube.cluster import Document, Kind, key_of

CONDITION = "AccessApplied"
PENDING, REPLACED, REFUSED = "KeysPending", "KeysReplaced", "KeysRefused"
_SILENT_SECONDS = 60.0
_REFUSED_SECONDS, _LONGEST_SECONDS = 300.0, 3600.0


def wanted_keys(spec: VMCloneSpec, source: CloneSourceSpec | None) -> Wanted | None:
    """Return the keys that may log in, None while nobody says for whom."""
    if source is None:
        return None
    keys = spec.access.authorized_keys or (source.home.authorized_keys if source.home is not None else ())
    if keys and source.home is None:
        return None
    return Wanted(user=source.home.user if source.home is not None else "", keys=keys)


def malformed(spec: VMCloneSpec, source: CloneSourceSpec | None) -> str:
    """Return which of the keys that may log in is none, and where it is written; empty when all are well."""
    if spec.access.authorized_keys:
        return guest_keys.malformed(spec.access.authorized_keys, "spec.access.authorizedKeys")
    if source is None or source.home is None:
        return ""
    return guest_keys.malformed(source.home.authorized_keys, "the CloneSource's spec.home.authorizedKeys")


def wake_other_keys(
    engine: Engine, spec: VMCloneSpec, source: CloneSourceSpec | None, replicas: Iterable[Document]
) -> None:
    """Wake the replicas whose clones were given other keys than those that are wanted now, or say that they were."""
    wanted = wanted_keys(spec, source)
    if wanted is None:
        return
    for document in replicas:
        status = document.get("status") or {}
        access = status.get("access")
        if access and status.get("guest") and (access.get("applied", "") != wanted.digest or _waits(status)):
            engine.queue.add(key_of(Kind.REPLICA, document))


def _waits(status: Document) -> bool:
    return any(row["type"] == CONDITION and row["status"] == "False" for row in status.get("conditions", ()))


@dataclass(frozen=True, kw_only=True)
class KeysPart:
    """Brings one clone the keys that are wanted."""

    engine: Engine
    replica: Replica
    session: BackendSession
    spec: VMCloneSpec
    consent: Consent

    @cached_property
    def wanted(self) -> Wanted | None:
        """Return the keys that may log in, None while nobody says for whom."""
        return wanted_keys(self.spec, self.consent.source)

    @property
    def _turn(self) -> str:
        """Return the name of this change: another one does not wait because this one was refused."""
        wanted = self.wanted
        return f"keys of {self.replica.stamp.incarnation} {wanted.digest if wanted is not None else ''}"

    def situation(self, status: VMCloneReplicaStatus, clone: ObservedClone | None) -> KeysSituation:
        """Return what comes next for the keys of a clone that people can reach, or of one before its reset."""
        if status.guest is None:
            prepared = guest_keys.is_prepared(status.access, self.wanted)
            return KeysSituation(change=Change.NONE if prepared else Change.RECORD)
        if clone is None or not clone.connected:
            return KeysSituation()
        obstacle, again = self._obstacle(clone)
        change = guest_keys.next_of(status.access, self.wanted, ready=not obstacle)
        told = find(status.conditions, CONDITION)
        if change is Change.NONE:
            waited = told is not None and told.status == "False" and self.wanted is not None
            return KeysSituation(change=Change.TAKEN_BACK if waited else change)
        held = self.engine.looks.wait(self._turn)
        if held > 0:
            return KeysSituation(change=Change.WAIT, again_seconds=held)
        is_told = told is not None and (told.status, told.reason, told.message) == ("False", PENDING, obstacle)
        return KeysSituation(change=change, pending="" if is_told else obstacle, again_seconds=again)

    def _obstacle(self, clone: ObservedClone) -> tuple[str, float | None]:
        """Return why the guest cannot be told now, and when to look again where no event tells of a change."""
        if self.spec.paused:
            return "its keys are changed once spec.paused is false", None
        if self.consent.blocker is not None:
            return f"its keys are not changed: {self.consent.blocker.message}", None
        if self.spec.plan.mode == "DryRun":
            return "its keys are not changed while spec.plan.mode is DryRun", None
        if clone.power is not Power.ON:
            return "the clone is off; its keys are changed when it runs", None
        if not clone.agent:
            return "the guest agent does not answer; its keys are changed when it does", _SILENT_SECONDS
        return "", None

    def tell(self, keys: KeysSituation, status: VMCloneReplicaStatus) -> VMCloneReplicaStatus:
        """Say that a change waits, and for what."""
        return self._with(status, status.access, applied=False, reason=PENDING, message=keys.pending)

    def take_back(self, status: VMCloneReplicaStatus) -> VMCloneReplicaStatus:
        """Say that the clone has the keys that are wanted: the change that waited is wanted no more."""
        message = "the clone has the keys that are wanted"
        return self._with(status, status.access, applied=True, reason=REPLACED, message=message)

    async def record(self, status: VMCloneReplicaStatus) -> tuple[VMCloneReplicaStatus, float]:
        """Take the wanted keys into the ledger before they are in the clone, and the task that is to put them there.

        Return the status, and for how long to wait until the next look at the task before it: two at once would leave
        what the slower one puts in.
        """
        wanted, access = self.wanted, status.access
        if wanted is None:
            return status, 0.0
        if status.guest is None:
            return status.model_copy(update={"access": guest_keys.resetting(access, wanted)}), 0.0
        if access is None:
            return status, 0.0
        record = guest_keys.recorded(access, wanted)
        if await guest_tasks.runs_tasks(self.engine, self.replica):
            try:
                runs = await guest_tasks.is_open(self.engine, self.replica, self.session, line=access.task)
            except AgentNotReady as error:
                return self._silent(status, access, error), 0.0
            if runs:
                return status, LOOK_SECONDS
            record = record.model_copy(update={"task": self._task_for(record, wanted)})
        return status.model_copy(update={"access": record}), 0.0

    def _task_for(self, record: AccessStatus, wanted: Wanted) -> GuestTaskStatus | None:
        """Return the ledger's line of the task to come; what no guest can be given has none, and is told later."""
        before = no_task(record.task)
        try:
            command = guest_keys.command(record, wanted)
        except ValueError:
            return before
        attempt = self.engine.new_token()
        return GuestTaskStatus(
            run=task_of(command, attempt).run,
            attempt=attempt,
            replaces=before.replaces if before is not None else "",
            recorded_time=self.engine.timestamp(),
        )

    async def replace(self, status: VMCloneReplicaStatus) -> tuple[VMCloneReplicaStatus, float]:
        """Put the wanted keys into the clone and take those out that are wanted no more.

        Return the status, and for how long to wait until the next look at a task that runs.
        """
        wanted, access = self.wanted, status.access
        if access is None or wanted is None:
            return status, 0.0
        try:
            command = self._command(access, wanted)
            if not await self._is_written(access, command):
                return status.model_copy(update={"access": guest_keys.unwritten(access)}), 0.0
            answer = await self._answer(access, command)
        except AgentNotReady as error:
            return self._silent(status, access, error), 0.0
        except ActionNeeded as error:
            return self._refused(status, access, str(error)), 0.0
        if answer is None:
            return status, LOOK_SECONDS
        return self._answered(status, access, wanted, answer), 0.0

    def _answered(
        self, status: VMCloneReplicaStatus, access: AccessStatus, wanted: Wanted, answer: GuestResult
    ) -> VMCloneReplicaStatus:
        """Say what became of the change."""
        if answer.exit_code != 0:
            return self._refused(status, access, answer.stderr or answer.stdout)
        gone = len(set(access.keys) - set(wanted.fingerprints))
        message = f"{len(wanted.fingerprints)} keys may log in, {gone} of ours may no more"
        done = guest_keys.replaced(access, wanted, now=self.engine.timestamp())
        return self._with(status, done, applied=True, reason=REPLACED, message=message)

    async def _is_written(self, access: AccessStatus, command: GuestCommand) -> bool:
        """Return whether the ledger has the task that this is; with another comment in a key it is another one."""
        if not await guest_tasks.runs_tasks(self.engine, self.replica):
            return True
        return access.task is not None and access.task.run == task_of(command, access.task.attempt).run

    async def _answer(self, access: AccessStatus, command: GuestCommand) -> GuestResult | None:
        """Return what the clone answered; None while it runs the task of the ledger."""
        if access.task is None:
            return await self.session.guest_exec(self.replica.ref, command)
        return await guest_tasks.answered_as_written(self.engine, self.replica, self.session, command, line=access.task)

    def _silent(self, status: VMCloneReplicaStatus, access: AccessStatus, error: AgentNotReady) -> VMCloneReplicaStatus:
        """Say that the guest does not answer; it is asked again later."""
        self.engine.looks.not_before(self._turn, _SILENT_SECONDS)
        return self._with(status, access, applied=False, reason=PENDING, message=str(error))

    def _command(self, access: AccessStatus, wanted: Wanted) -> GuestCommand:
        """Return the command; raises KeyMalformed for what no guest can be given."""
        try:
            return guest_keys.command(access, wanted)
        except ValueError as error:
            raise KeyMalformed(malformed(self.spec, self.consent.source) or str(error)) from error

    def _refused(self, status: VMCloneReplicaStatus, access: AccessStatus, why: str) -> VMCloneReplicaStatus:
        """Say why the clone did not take the keys; it is asked again later each time."""
        wait = min(_REFUSED_SECONDS * 2 ** min(access.attempts, 8), _LONGEST_SECONDS)
        self.engine.looks.not_before(self._turn, wait)
        message = f"the clone does not take its new keys: {why.strip()}; it is tried again"
        return self._with(status, guest_keys.refused(access), applied=False, reason=REFUSED, message=message)

    def _with(
        self,
        status: VMCloneReplicaStatus,
        access: AccessStatus | None,
        *,
        applied: bool,
        reason: str,
        message: str,
    ) -> VMCloneReplicaStatus:
        writer = self.engine.writer_for(self.replica.document)
        conditions = writer.put(status.conditions, CONDITION, status=applied, reason=reason, message=message)
        return status.model_copy(update={"conditions": conditions, "access": access})
