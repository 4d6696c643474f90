"""The steps of a replica: each carries out one decision and returns the status that says so.

Called by the replica pass, which writes the status afterwards; what must be durable before a call was
written by the pass before.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from vmclone_operator.api.replica import ClonedFromStatus, GuestStatus, IntentStatus, VMCloneReplicaStatus
from vmclone_operator.api.vmclone import VMCloneSpec, VMCloneStatus
from vmclone_operator.domain import guest, naming
from vmclone_operator.domain.backend import BackendSession, OperationState, Power
from vmclone_operator.domain.conditions import ConditionWriter
from vmclone_operator.domain.errors import CloneFailed, UserUnknown
from vmclone_operator.domain.plan import Do, Situation
from vmclone_operator.engine import consent
from vmclone_operator.engine.context import Engine, is_deleting
from vmclone_operator.engine.replica import Replica
from vmclone_operator.kube.cluster import Document, Key, Kind

Act = Callable[["ReplicaSteps", Situation, VMCloneReplicaStatus], Awaitable[VMCloneReplicaStatus]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaSteps:
    """What the steps work on."""

    engine: Engine
    replica: Replica
    spec: VMCloneSpec
    session: BackendSession
    consent: consent.Consent

    async def carry_out(self, do: Do, situation: Situation, status: VMCloneReplicaStatus) -> VMCloneReplicaStatus:
        """Carry out a decision."""
        return await _ACTS[do](self, situation, status)

    async def reserve(self, situation: Situation, status: VMCloneReplicaStatus) -> VMCloneReplicaStatus:
        """Record names, ids and the attempt; the write that `run` does next makes it durable."""
        await self.engine.ensure_finalizer(Kind.REPLICA, self.replica.document)
        intent = IntentStatus(
            op="Clone",
            token=self.engine.new_token(),
            vm_name=self.replica.vm_name,
            uuid=naming.clone_uuid(self.replica.stamp.incarnation),
            frozen_point=situation.frozen.id if situation.frozen is not None else "",
            recorded_time=self.engine.timestamp(),
        )
        return status.model_copy(update={"intent": intent})

    async def start_clone(self, situation: Situation, status: VMCloneReplicaStatus) -> VMCloneReplicaStatus:
        """Read the frozen point and the grants live, then ask for the clone."""
        intent, frozen = situation.intent, situation.frozen
        vmclone = await self.engine.live(Key(Kind.VMCLONE, self.replica.stamp.namespace, self.replica.stamp.vmclone))
        if intent is None or frozen is None or not await self._still_wanted(vmclone, frozen.id):
            return status
        operation = await self.session.start_clone(
            self.replica.clone_intent(token=intent.token, source_id=frozen.source_id, frozen_token=frozen.id)
        )
        if (await self.session.poll(operation)).state is OperationState.DONE:
            return self._provisioned(status, operation.target, frozen.id, frozen.fingerprint)
        return status

    async def _still_wanted(self, vmclone: Document | None, frozen_id: str) -> bool:
        if vmclone is None or is_deleting(vmclone) or vmclone["metadata"]["uid"] != self.replica.stamp.vmclone_uid:
            return False
        points = VMCloneStatus.model_validate(vmclone.get("status") or {}).frozen_points
        if VMCloneSpec.model_validate(vmclone["spec"]).paused:
            return False
        there = any(point.id == frozen_id and point.completion_time for point in points)
        return there and (await consent.check(self.engine, vmclone, live=True)).blocker is None

    async def record_clone(self, situation: Situation, status: VMCloneReplicaStatus) -> VMCloneReplicaStatus:
        """Record a clone that is complete; also one whose reply was lost."""
        clone, intent = situation.clone, situation.intent
        if clone is None:
            return status
        if intent is None:
            # The status was wiped from a live object: the finalizer may be gone with it.
            await self.engine.ensure_finalizer(Kind.REPLICA, self.replica.document)
        frozen = situation.frozen
        known = frozen if frozen is not None and intent is not None and intent.frozen_point == frozen.id else None
        frozen_id = intent.frozen_point if intent is not None else ""
        return self._provisioned(status, clone.external_id, frozen_id, known.fingerprint if known else "")

    def _provisioned(
        self, status: VMCloneReplicaStatus, external_id: str, frozen_id: str, fingerprint: str
    ) -> VMCloneReplicaStatus:
        conditions = self._writer().put(
            status.conditions,
            "Provisioned",
            status=True,
            reason="Provisioned",
            message="the clone's disks are complete",
        )
        cloned_from = ClonedFromStatus(frozen_point=frozen_id, fingerprint=fingerprint)
        update = {"external_id": external_id, "cloned_from": cloned_from, "conditions": conditions}
        return status.model_copy(update=update)

    async def power_on(self, _: Situation, status: VMCloneReplicaStatus) -> VMCloneReplicaStatus:
        """Switch the clone on; its links are as they were made: down until its identity is proven."""
        await self.session.set_power(self.replica.stamp, Power.ON)
        return status

    async def release_network_wait(self, _: Situation, status: VMCloneReplicaStatus) -> VMCloneReplicaStatus:
        """Tell the boot not to wait for a network that a quarantined guest cannot have."""
        await self.session.guest_exec(self.replica.stamp, guest.RELEASE_NETWORK_WAIT)
        return status

    async def reset_identity(self, _: Situation, status: VMCloneReplicaStatus) -> VMCloneReplicaStatus:
        """Start the identity reset in the guest; it goes on by itself."""
        home = self.consent.source.home if self.consent.source is not None else None
        keys = self.spec.access.authorized_keys or (home.authorized_keys if home else ())
        if keys and home is None:
            raise UserUnknown(
                "spec.access.authorizedKeys are wanted, but the CloneSource names no home.user to give them to (or is"
                " gone); ask the platform team"
            )
        command = guest.identity_command(
            token=self.replica.stamp.incarnation,
            hostname=self.replica.vm_name,
            user=home.user if home else "",
            authorized_keys=keys if home else (),
        )
        answer = await self.session.guest_exec(self.replica.stamp, command)
        if answer.exit_code != 0:
            raise CloneFailed(f"the identity reset could not be started: {answer.stderr or answer.stdout}")
        return status

    async def record_identity(self, situation: Situation, status: VMCloneReplicaStatus) -> VMCloneReplicaStatus:
        """Record the identity that was read back; only then may the links go up."""
        probe = situation.probe
        if probe is None:
            return status
        identity = GuestStatus(
            hostname=probe.hostname, machine_id_hash=probe.machine_id_hash, ssh_host_keys=probe.ssh_host_keys
        )
        conditions = self._writer().put(
            status.conditions,
            "IdentityReset",
            status=True,
            reason="Verified",
            message="machine-id, host key and hostname were read back from the running guest",
        )
        return status.model_copy(update={"guest": identity, "conditions": conditions})

    async def connect(self, _: Situation, status: VMCloneReplicaStatus) -> VMCloneReplicaStatus:
        """Set the links up."""
        await self.session.connect_network(self.replica.stamp)
        return status

    async def record_ready(self, situation: Situation, status: VMCloneReplicaStatus) -> VMCloneReplicaStatus:
        """Record the addresses; with that the replica is ready."""
        if status.guest is None:
            return status
        writer = self._writer()
        conditions = writer.put(
            status.conditions, "HomeCopied", status=True, reason="FrozenWithDisk", message="the home came with the disk"
        )
        identity = status.guest.model_copy(update={"addresses": situation.addresses})
        return status.model_copy(update={"guest": identity, "conditions": conditions})

    async def report_missing(self, _: Situation, status: VMCloneReplicaStatus) -> VMCloneReplicaStatus:
        """Say that the clone is gone; the VMClone pass removes this replica and makes it again."""
        message = "the clone was deleted at the backend"
        conditions = self._writer().put(status.conditions, "Drifted", status=True, reason="Missing", message=message)
        await self.engine.events.post(
            Kind.REPLICA, self.replica.document, reason="CloneMissing", action="Rebuild", note=message, warning=True
        )
        return status.model_copy(update={"conditions": conditions})

    def _writer(self) -> ConditionWriter:
        generation = self.replica.document["metadata"].get("generation", 1)
        return ConditionWriter(generation=generation, now=self.engine.timestamp())


_ACTS: dict[Do, Act] = {
    Do.RESERVE: ReplicaSteps.reserve,
    Do.START_CLONE: ReplicaSteps.start_clone,
    Do.RECORD_CLONE: ReplicaSteps.record_clone,
    Do.POWER_ON: ReplicaSteps.power_on,
    Do.RELEASE_NETWORK_WAIT: ReplicaSteps.release_network_wait,
    Do.RESET_IDENTITY: ReplicaSteps.reset_identity,
    Do.RECORD_IDENTITY: ReplicaSteps.record_identity,
    Do.CONNECT: ReplicaSteps.connect,
    Do.RECORD_READY: ReplicaSteps.record_ready,
    Do.REPORT_MISSING: ReplicaSteps.report_missing,
}
