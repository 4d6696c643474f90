"""The pass of one VMCloneReplica: gather its situation, decide, carry out one step, write what is new."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta

from vmclone_operator.api.replica import ClonedFromStatus, GuestStatus, IntentStatus, VMCloneReplicaStatus
from vmclone_operator.api.vmclone import VMCloneSpec, VMCloneStatus
from vmclone_operator.domain import guest, naming
from vmclone_operator.domain.backend import BackendSession, ObservedClone, OperationState, Owner, Power
from vmclone_operator.domain.conditions import ConditionWriter, is_true
from vmclone_operator.domain.errors import AgentNotReady, CloneFailed
from vmclone_operator.domain.plan import BOOTING, Decision, Do, Situation, decide
from vmclone_operator.domain.rollout import has_turn, newest_complete
from vmclone_operator.engine import consent
from vmclone_operator.engine.cache import is_unfinished
from vmclone_operator.engine.context import Engine, is_deleting
from vmclone_operator.engine.replica import Replica, reported
from vmclone_operator.engine.written import dumped
from vmclone_operator.kube.cluster import Document, Key, Kind

_BOOT_LIMIT = timedelta(minutes=10)

Act = Callable[["ReplicaPass", Situation, VMCloneReplicaStatus], Awaitable[VMCloneReplicaStatus]]


class ReplicaPass:
    """One look at one replica, and at most one step."""

    def __init__(self, engine: Engine, replica: Replica, vmclone: Document, session: BackendSession) -> None:
        self._engine = engine
        self._replica = replica
        self._vmclone = vmclone
        self._session = session
        self._spec = VMCloneSpec.model_validate(vmclone["spec"])
        self._consent = consent.Consent()

    async def run(self) -> float | None:
        """Return after how many seconds to look again, or None when events will say."""
        self._consent = await consent.check(self._engine, self._vmclone)
        situation = await self._gather()
        decision = decide(situation)
        status = self._replica.status
        if decision.do is not Do.NOTHING:
            status = await _ACTS[decision.do](self, situation, status)
        if decision.do is Do.START_CLONE and is_true(status.conditions, "Provisioned"):
            decision = BOOTING  # made within the call: one write less
        await self._write(status, decision)
        return decision.again_seconds

    async def _gather(self) -> Situation:
        status = self._replica.status
        clones = await self._session.find_clones(
            Owner(instance=self._replica.stamp.instance, incarnation=self._incarnation)
        )
        clone = clones[0] if clones else None
        probe = await self._probe(clone, status)
        known = self._siblings()
        name = self._replica.vm_name
        problems: tuple[str, ...] = ()
        reason = ""
        if probe is not None and probe.state_of(self._incarnation) is guest.IdentityState.DONE:
            problems = guest.identity_problems(probe, token=self._incarnation, hostname=name, siblings=known)
            reason = guest.identity_reason(probe, token=self._incarnation, hostname=name, siblings=known)
        addresses = await self._addresses(clone, status)
        points = VMCloneStatus.model_validate(self._vmclone.get("status") or {}).frozen_points
        return Situation(
            incarnation=self._incarnation,
            paused=self._spec.paused,
            blocker=self._consent.blocker,
            turn=self._has_turn(),
            intent=status.intent,
            frozen=newest_complete(points),
            clone=clone,
            provisioned=is_true(status.conditions, "Provisioned"),
            guest=status.guest,
            probe=probe,
            addresses=addresses,
            address_conflict=self._address_conflict(addresses),
            boot_overdue=self._boot_overdue(status),
            problems=problems,
            problem_reason=reason,
        )

    @property
    def _incarnation(self) -> str:
        return self._replica.stamp.incarnation

    async def _probe(self, clone: ObservedClone | None, status: VMCloneReplicaStatus) -> guest.GuestProbe | None:
        """Ask the guest, while its answers still decide something."""
        if (
            clone is None
            or not clone.complete
            or not clone.agent
            or clone.power is not Power.ON
            or status.guest is not None
        ):
            return None
        try:
            answer = await self._session.guest_exec(self._replica.stamp, guest.PROBE)
            return guest.parse_probe(answer.stdout)
        except AgentNotReady:
            return None

    async def _addresses(self, clone: ObservedClone | None, status: VMCloneReplicaStatus) -> tuple[str, ...]:
        if clone is None or not clone.agent or not clone.connected or status.guest is None:
            return ()
        if status.guest.addresses and is_true(status.conditions, "Ready"):
            return ()
        try:
            return tuple(await self._session.guest_addresses(self._replica.stamp))
        except AgentNotReady:
            return ()

    def _sibling_documents(self) -> list[Document]:
        mine = self._replica.key
        found = self._engine.cache.replicas_of(self._replica.stamp.vmclone_uid)
        return [d for d in found if d["metadata"]["name"] != mine.name]

    def _siblings(self) -> Sequence[guest.KnownIdentity]:
        found = []
        for document in self._sibling_documents():
            recorded = (document.get("status") or {}).get("guest") or {}
            if recorded:
                found.append(
                    guest.KnownIdentity(
                        name=document["metadata"]["name"],
                        hostname=recorded.get("hostname", ""),
                        machine_id_hash=recorded.get("machineIDHash", ""),
                        ssh_host_keys=tuple(recorded.get("sshHostKeys", ())),
                    )
                )
        return found

    def _address_conflict(self, addresses: Sequence[str]) -> str:
        for document in self._sibling_documents():
            held = ((document.get("status") or {}).get("guest") or {}).get("addresses", ())
            if set(held) & set(addresses):
                return str(document["metadata"]["name"])
        return ""

    def _has_turn(self) -> bool:
        """Return whether fewer than the limits' number of unfinished replicas come before this one."""
        meta = self._replica.document["metadata"]
        me = (meta["creationTimestamp"], f"{meta['namespace']}/{meta['name']}")
        mine = [_order(d) for d in self._sibling_documents() if is_unfinished(d)]
        if not has_turn(me, mine, self._spec.rollout.max_in_flight):
            return False
        limit = self._consent.backend.limits.max_in_flight if self._consent.backend is not None else 1
        everybody = self._engine.cache.unfinished(self._replica.spec.backend)
        return has_turn(me, [_order(d) for d in everybody if d is not self._replica.document], limit)

    def _boot_overdue(self, status: VMCloneReplicaStatus) -> bool:
        boot = next((s for s in status.steps if s.name == "Boot" and not s.completion_time), None)
        if boot is None or not boot.start_time:
            return False
        return self._engine.now() - datetime.fromisoformat(boot.start_time) > _BOOT_LIMIT

    async def _write(self, status: VMCloneReplicaStatus, decision: Decision) -> None:
        document = self._replica.document
        document = self._engine.cache.get(self._replica.key) or document
        now, generation = self._engine.timestamp(), document["metadata"].get("generation", 1)
        final = reported(status, decision, generation=generation, now=now)
        await self._engine.write_status(Kind.REPLICA, document, dumped(final))

    async def reserve(self, situation: Situation, status: VMCloneReplicaStatus) -> VMCloneReplicaStatus:
        """Record names, ids and the attempt; the write that `run` does next makes it durable."""
        await self._engine.ensure_finalizer(Kind.REPLICA, self._replica.document)
        intent = IntentStatus(
            op="Clone",
            token=self._engine.new_token(),
            vm_name=self._replica.vm_name,
            uuid=naming.clone_uuid(self._incarnation),
            frozen_point=situation.frozen.id if situation.frozen is not None else "",
            recorded_time=self._engine.timestamp(),
        )
        return status.model_copy(update={"intent": intent})

    async def start_clone(self, situation: Situation, status: VMCloneReplicaStatus) -> VMCloneReplicaStatus:
        """Read the frozen point and the grants live, then ask for the clone."""
        intent, frozen = situation.intent, situation.frozen
        vmclone = await self._engine.live(Key(Kind.VMCLONE, self._replica.stamp.namespace, self._replica.stamp.vmclone))
        if intent is None or frozen is None or not await self._still_wanted(vmclone, frozen.id):
            return status
        operation = await self._session.start_clone(
            self._replica.clone_intent(token=intent.token, source_id=frozen.source_id, frozen_token=frozen.id)
        )
        if (await self._session.poll(operation)).state is OperationState.DONE:
            return self._provisioned(status, operation.target, frozen.id, frozen.fingerprint)
        return status

    async def _still_wanted(self, vmclone: Document | None, frozen_id: str) -> bool:
        if vmclone is None or is_deleting(vmclone) or vmclone["metadata"]["uid"] != self._replica.stamp.vmclone_uid:
            return False
        points = VMCloneStatus.model_validate(vmclone.get("status") or {}).frozen_points
        there = any(point.id == frozen_id and point.completion_time for point in points)
        return there and (await consent.check(self._engine, vmclone, live=True)).blocker is None

    async def record_clone(self, situation: Situation, status: VMCloneReplicaStatus) -> VMCloneReplicaStatus:
        """Record a clone that is complete; also one whose reply was lost."""
        clone, intent = situation.clone, situation.intent
        if clone is None:
            return status
        if intent is None:
            # The status was wiped from a live object: the finalizer may be gone with it.
            await self._engine.ensure_finalizer(Kind.REPLICA, self._replica.document)
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
        await self._session.set_power(self._replica.stamp, Power.ON)
        return status

    async def release_network_wait(self, _: Situation, status: VMCloneReplicaStatus) -> VMCloneReplicaStatus:
        """Tell the boot not to wait for a network that a quarantined guest cannot have."""
        await self._session.guest_exec(self._replica.stamp, guest.RELEASE_NETWORK_WAIT)
        return status

    async def reset_identity(self, _: Situation, status: VMCloneReplicaStatus) -> VMCloneReplicaStatus:
        """Start the identity reset in the guest; it goes on by itself."""
        home = self._consent.source.home if self._consent.source is not None else None
        keys = self._spec.access.authorized_keys or (home.authorized_keys if home else ())
        command = guest.identity_command(
            token=self._incarnation,
            hostname=self._replica.vm_name,
            user=home.user if home else "",
            authorized_keys=keys if home else (),
        )
        answer = await self._session.guest_exec(self._replica.stamp, command)
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
        await self._session.connect_network(self._replica.stamp)
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
        await self._engine.events.post(
            Kind.REPLICA, self._replica.document, reason="CloneMissing", action="Rebuild", note=message, warning=True
        )
        return status.model_copy(update={"conditions": conditions})

    def _writer(self) -> ConditionWriter:
        generation = self._replica.document["metadata"].get("generation", 1)
        return ConditionWriter(generation=generation, now=self._engine.timestamp())


_ACTS: dict[Do, Act] = {
    Do.RESERVE: ReplicaPass.reserve,
    Do.START_CLONE: ReplicaPass.start_clone,
    Do.RECORD_CLONE: ReplicaPass.record_clone,
    Do.POWER_ON: ReplicaPass.power_on,
    Do.RELEASE_NETWORK_WAIT: ReplicaPass.release_network_wait,
    Do.RESET_IDENTITY: ReplicaPass.reset_identity,
    Do.RECORD_IDENTITY: ReplicaPass.record_identity,
    Do.CONNECT: ReplicaPass.connect,
    Do.RECORD_READY: ReplicaPass.record_ready,
    Do.REPORT_MISSING: ReplicaPass.report_missing,
}


def _order(document: Document) -> tuple[str, str]:
    meta = document["metadata"]
    return meta["creationTimestamp"], f"{meta['namespace']}/{meta['name']}"
