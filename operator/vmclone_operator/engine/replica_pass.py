"""The pass of one VMCloneReplica: gather its situation, decide, carry out one step, write what is new."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from vmclone_operator.api.replica import VMCloneReplicaStatus
from vmclone_operator.api.vmclone import VMCloneSpec, VMCloneStatus
from vmclone_operator.domain import guest
from vmclone_operator.domain.backend import BackendSession, ObservedClone, Owner, Power
from vmclone_operator.domain.conditions import is_true
from vmclone_operator.domain.errors import AgentNotReady
from vmclone_operator.domain.plan import BOOTING, Decision, Do, Situation, Step, decide
from vmclone_operator.domain.rollout import has_turn, newest_complete
from vmclone_operator.engine import consent
from vmclone_operator.engine.cache import is_unfinished
from vmclone_operator.engine.context import Engine
from vmclone_operator.engine.replica import Replica, reported
from vmclone_operator.engine.replica_steps import ReplicaSteps
from vmclone_operator.engine.written import dumped
from vmclone_operator.kube.cluster import Document, Kind

log = logging.getLogger(__name__)

_BOOT_LIMIT = timedelta(minutes=10)


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
        if self._replica.status.intent is not None:
            document = await self._engine.ensure_finalizer(Kind.REPLICA, self._replica.document)
            self._replica = replace(self._replica, document=document)
        self._consent = await consent.check(self._engine, self._vmclone)
        situation = await self._gather()
        decision = decide(situation)
        status = self._replica.status
        if decision.do is not Do.NOTHING:
            steps = ReplicaSteps(
                engine=self._engine,
                replica=self._replica,
                spec=self._spec,
                session=self._session,
                consent=self._consent,
            )
            status = await steps.carry_out(decision.do, situation, status)
        if decision.do is Do.START_CLONE:
            made = is_true(status.conditions, "Provisioned")
            decision = BOOTING if made else replace(decision, again_seconds=2)  # made within the call: one write less
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
        source = VMCloneStatus.model_validate(self._vmclone.get("status") or {}).source
        if set(source.addresses) & set(addresses):
            return "the source"
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
        document = self._engine.newest(Kind.REPLICA, self._replica.document)
        now, generation = self._engine.timestamp(), document["metadata"].get("generation", 1)
        final = reported(status, decision, generation=generation, now=now)
        before = self._replica.status.state
        await self._engine.write_status(Kind.REPLICA, document, dumped(final))
        if final.state != before:
            await self._tell(final)

    async def _tell(self, status: VMCloneReplicaStatus) -> None:
        """Log a step that began, and post the one Event that people wait for."""
        stamp = self._replica.stamp
        place = {"vmclone": f"{stamp.namespace}/{stamp.vmclone}", "ordinal": stamp.ordinal, "vm": self._replica.vm_name}
        log.info("replica", extra={**place, "step": status.state, "backend": self._replica.spec.backend})
        if status.state == Step.READY.value and status.guest is not None:
            note = f"{self._replica.vm_name} is ready at {', '.join(status.guest.addresses)}"
            document = self._replica.document
            await self._engine.events.post(Kind.REPLICA, document, reason="Ready", action="Verify", note=note)


def _order(document: Document) -> tuple[str, str]:
    meta = document["metadata"]
    return meta["creationTimestamp"], f"{meta['namespace']}/{meta['name']}"
