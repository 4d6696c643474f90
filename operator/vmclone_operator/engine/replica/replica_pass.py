"""The pass of one VMCloneReplica: gather its situation, decide, carry out one step, write what is new."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from vmclone_operator.api.replica import VMCloneReplicaStatus
from vmclone_operator.api.vmclone import FrozenPointStatus
from vmclone_operator.domain.backend import BackendSession, Mode, ObservedClone, Power
from vmclone_operator.domain.conditions import Progress, is_true
from vmclone_operator.domain.errors import ActionNeeded, AgentNotReady
from vmclone_operator.domain.home_copy import POD_TROUBLES, HomeSituation
from vmclone_operator.domain.pace import Pace
from vmclone_operator.domain.plan import Situation, booting, decide, with_keys
from vmclone_operator.domain.retry import past
from vmclone_operator.domain.rollout import point_to_clone_from
from vmclone_operator.domain.steps import SAFETY_NET_SECONDS, WAITING, Decision, Do, Step
from vmclone_operator.domain.units import seconds_of
from vmclone_operator.domain.wishes import dry_run_blocker
from vmclone_operator.engine.context import Engine
from vmclone_operator.engine.guest import overdue_boots
from vmclone_operator.engine.guest.access_pass import KeysPart
from vmclone_operator.engine.guest.identity_pass import IdentityPart
from vmclone_operator.engine.home.home_pass import HomePart
from vmclone_operator.engine.ledger.attempts import Attempts
from vmclone_operator.engine.ledger.written import dumped
from vmclone_operator.engine.objects.parsed import vmclone_spec, vmclone_status
from vmclone_operator.engine.objects.replica import Replica, reported
from vmclone_operator.engine.replica import drifting
from vmclone_operator.engine.replica.making import has_news
from vmclone_operator.engine.replica.replica_steps import ReplicaSteps
from vmclone_operator.engine.source import consent
from vmclone_operator.engine.work.queue import PassFailed
from vmclone_operator.kube.cluster import Document, Kind

log = logging.getLogger(__name__)

_GO_ON = frozenset({Do.START_CLONE, Do.RECORD_CLONE, Do.POWER_ON, Do.RESET_IDENTITY, Do.CONNECT})
"""After these a pass looks again at once, and goes on with the next step if that rests on nothing unwritten."""
_NEEDS_NO_WRITE = frozenset({Do.NOTHING, Do.POWER_ON, Do.RESET_IDENTITY, Do.RECORD_IDENTITY, Do.RECORD_READY})
"""The others rest on a record: a clone on its intent, its links on its identity, a copy on its turn."""
_UNMADE_SECONDS = 300.0
"""How often a VM is looked for that nobody began to make, where looks have a price."""
_PATIENCE = timedelta(minutes=2)
"""How long a replica may wait in line before its own status says so: in a burst most have their turn before."""


class ReplicaPass:
    """One look at one replica, and the steps that follow without a write between them."""

    def __init__(self, engine: Engine, replica: Replica, vmclone: Document, session: BackendSession) -> None:
        self._engine = engine
        self._replica = replica
        self._vmclone = vmclone
        self._session = session
        self._spec = vmclone_spec(vmclone)
        self._consent = consent.Consent()
        self._pace = Pace(look_seconds=engine.look_seconds(replica.spec.backend))

    async def run(self) -> float | None:
        """Return after how many seconds to look again, or None when events will say."""
        early = self._engine.looks.wait(f"pass of {self._incarnation}")
        if early > 0:  # woken by news of something else
            return early
        status = self._replica.status  # one that was wiped gets its id back, and never an intent again
        if status.intent is not None or status.external_id or self._replica.adopted:
            document = await self._engine.ensure_finalizer(Kind.REPLICA, self._replica.document)
            self._replica = replace(self._replica, document=document)
        self._consent = await consent.check(self._engine, self._vmclone)
        situation = await self._gather()
        decision, status = self._decided(situation)
        done = set[Do]()
        while decision.do is not Do.NOTHING:
            done.add(decision.do)
            status = await self._carried_out(decision, situation, status)
            if self._pace.look_seconds > 0 or not _may_go_on(decision.do, status):
                break  # where looks have a price, the next one is that of the next pass
            before = self._replica
            self._replica = self._with_status(status, decision)
            seen = await self._gather()
            following, told = self._decided(seen)
            if following.do not in _NEEDS_NO_WRITE or following.do in done:
                self._replica = before  # what this pass did is written first
                break
            decision, status, situation = following, told, seen
        if decision.do is Do.START_CLONE:
            made, more = is_true(status.conditions, "Provisioned"), has_news(self._replica.status, status)
            decision = (
                booting(situation.mode) if made else replace(decision, again_seconds=0 if more else 2)
            )  # made within the call: one write less
        if self._only_waits(decision):
            return SAFETY_NET_SECONDS
        await self._write(await drifting.told(self._engine, self._replica, status, situation), decision)
        if decision.do is Do.RECORD_COPY:  # written: the next pass does not record it again
            self._engine.copy_meter.copy_ended(self._replica.spec.backend, situation.home.job)
        return self._pace.wait(decision.again_seconds)

    def _decided(self, situation: Situation) -> tuple[Decision, VMCloneReplicaStatus]:
        """Return the next step, and the status with what people asked for since."""
        attempts = self._attempts
        decision, status = attempts.held_back(decide(situation), attempts.heeded(self._replica.status))
        return with_keys(situation, decision), status

    async def _carried_out(
        self, decision: Decision, situation: Situation, status: VMCloneReplicaStatus
    ) -> VMCloneReplicaStatus:
        """Carry out a step and return the status that says so; raises PassFailed when a person is needed."""
        attempts = self._attempts
        steps = ReplicaSteps(
            engine=self._engine,
            replica=self._replica,
            spec=self._spec,
            session=self._session,
            consent=self._consent,
            home=self._home,
            identity=self._identity,
            keys=self._keys,
            pace=self._pace,
        )
        try:
            status = await steps.carry_out(decision.do, situation, status)
        except ActionNeeded as error:
            told, status, wait = await attempts.given_up(error, decision, status)
            await self._write(status, told)
            raise PassFailed(str(error), after=wait, limit=wait) from error
        return attempts.carried_out(decision.do, status)

    def _with_status(self, status: VMCloneReplicaStatus, decision: Decision) -> Replica:
        """Return the replica as it would be if this were written: the next step may be one that needs no write."""
        document = self._replica.document
        generation = document["metadata"].get("generation", 1)
        told = reported(status, decision, generation=generation, now=self._engine.timestamp())
        return replace(self._replica, document={**document, "status": dumped(told)})

    def _only_waits(self, decision: Decision) -> bool:
        """Return whether a replica that has said nothing yet waits in line, and not for long: its VMClone says so."""
        document = self._replica.document
        spoken = (document.get("status") or {}).get("conditions")  # the API server itself fills in observedGeneration
        if spoken or decision.do is not Do.NOTHING or decision.again_seconds != SAFETY_NET_SECONDS:
            return False
        if decision.progress is not Progress.WORKING:
            return False
        made = document["metadata"].get("creationTimestamp") or self._engine.timestamp()
        return self._engine.now() - datetime.fromisoformat(made) < _PATIENCE

    async def _gather(self) -> Situation:
        status = self._replica.status
        provisioned = is_true(status.conditions, "Provisioned")
        clone = await self._look(status, provisioned=provisioned)
        look = await self._identity.look(clone)
        probe = look.probe
        foreign = await self._foreign_holder(clone, provisioned=provisioned)
        siblings = [] if probe is None else self._sibling_documents()  # nobody else is compared with them
        found = await self._identity.findings(probe, siblings)
        addresses = await self._addresses(clone, status)
        conflict = self._address_conflict(addresses)
        frozen = self._frozen_point(status)
        known = bool(addresses or (status.guest is not None and status.guest.addresses))
        boot_overdue = self._overdue(status, Step.BOOT, self._spec.timeouts.boot)
        silent = boot_overdue and status.guest is None and probe is None
        return Situation(
            incarnation=self._incarnation,
            mode=self._mode,
            paused=self._spec.paused,
            blocker=self._consent.blocker or dry_run_blocker(self._spec.plan.mode),
            turn=self._has_turn(clone, frozen),
            intent=status.intent,
            frozen=frozen,
            clone=clone,
            foreign=foreign,
            foreign_instance=await drifting.instance_of(self._session, self._replica.ref) if foreign else "",
            provisioned=provisioned,
            adopted=self._replica.adopted,
            guest=status.guest,
            probe=probe,
            task=look.task,
            addresses=addresses,
            address_conflict=conflict,
            boot_overdue=boot_overdue,
            console=await overdue_boots.console_of(
                self._engine, self._session, self._replica.ref, clone if silent else None
            ),
            clone_overdue=self._overdue(status, Step.CLONE, self._spec.timeouts.clone),
            power=self._replica.power,
            delivered=bool(status.ready_time),
            problems=found.problems,
            problem_reason=found.reason,
            warn_only=self._spec.identity.verify == "Warn",
            source_unknown=self._consent.source is None,
            scrub_outdated=found.outdated,
            keys=self._keys.situation(status, clone),
            home=await self._home.situation(status, reachable=known and not conflict and _answers(clone))
            if clone is not None and status.guest is not None
            else HomeSituation(),
        )

    async def _look(self, status: VMCloneReplicaStatus, *, provisioned: bool) -> ObservedClone | None:
        """Look the clone up; where looks have a price, not while nothing can be found by it.

        Nothing was made without an intent, so one look tells of a ledger that was wiped; with one, `start_clone` is
        called next and finds whatever is there.
        """
        priced = self._pace.look_seconds > 0
        unmade = priced and not (provisioned or self._replica.adopted or status.external_id)
        if unmade and (status.intent is not None or self._engine.looks.wait(self._incarnation) > 0):
            return None
        clone = await self._session.find_clone(self._replica.ref)
        if priced:
            self._engine.looks.not_before(f"pass of {self._incarnation}", self._pace.look_seconds)
        if unmade and clone is None:
            self._engine.looks.not_before(self._incarnation, _UNMADE_SECONDS)
        return clone

    async def _foreign_holder(self, clone: ObservedClone | None, *, provisioned: bool) -> str:
        """Return the VM that is where a clone was and carries our stamp no more."""
        if clone is not None or not (provisioned or self._replica.adopted):
            return ""
        return await self._session.unstamped(self._replica.ref)

    def _frozen_point(self, status: VMCloneReplicaStatus) -> FrozenPointStatus | None:
        """Return what to clone from: while disks are finished, what they were copied from."""
        points = vmclone_status(self._vmclone).frozen_points
        began = status.intent.frozen_point if status.intent is not None and status.intent.finished else ""
        return point_to_clone_from(points, began)

    @property
    def _mode(self) -> Mode:
        """Return the mode in use; status knows it while the source cannot be asked."""
        status = vmclone_status(self._vmclone)
        return Mode(self._consent.mode or status.mode or Mode.DISK.value)

    @property
    def _identity(self) -> IdentityPart:
        return IdentityPart(
            engine=self._engine,
            replica=self._replica,
            session=self._session,
            spec=self._spec,
            consent=self._consent,
            mode=self._mode,
        )

    @property
    def _home(self) -> HomePart:
        return HomePart(
            engine=self._engine,
            replica=self._replica,
            vmclone=self._vmclone,
            spec=self._spec,
            consent=self._consent,
        )

    @property
    def _keys(self) -> KeysPart:
        return KeysPart(
            engine=self._engine,
            replica=self._replica,
            session=self._session,
            spec=self._spec,
            consent=self._consent,
        )

    @property
    def _incarnation(self) -> str:
        return self._replica.stamp.incarnation

    async def _addresses(self, clone: ObservedClone | None, status: VMCloneReplicaStatus) -> tuple[str, ...]:
        if clone is None or not clone.agent or not clone.connected or status.guest is None:
            return ()
        known = status.guest.addresses and is_true(status.conditions, "Ready")
        if known and self._replica.key not in self._engine.thorough:
            return ()
        try:
            return tuple(await self._session.guest_addresses(self._replica.ref))
        except AgentNotReady:
            return ()

    def _sibling_documents(self) -> list[Document]:
        mine = self._replica.key
        found = self._engine.cache.replicas_of(self._replica.vmclone_uid)
        return [d for d in found if d["metadata"]["name"] != mine.name]

    def _address_conflict(self, addresses: Sequence[str]) -> str:
        source = vmclone_status(self._vmclone).source
        if set(source.addresses) & set(addresses):
            return "the source"
        owner = self._replica.vmclone_uid
        others = (key.name for address in addresses for key in self._engine.cache.at_address(owner, address))
        return min((name for name in others if name != self._replica.key.name), default="")

    def _has_turn(self, clone: ObservedClone | None, frozen: FrozenPointStatus | None) -> bool:
        """Return whether the replica has a slot (maxInFlight), if there is anything that it would need one for."""
        slots, key = self._engine.cache.slots, self._replica.key
        idle = self._spec.paused or self._spec.plan.mode == "DryRun" or self._consent.blocker is not None
        if clone is not None or frozen is None or idle:
            slots.withdraw(key)
            return True
        return slots.take(key, self._engine.cache.place_of(self._replica.document))

    def _overdue(self, status: VMCloneReplicaStatus, step: Step, limit: str) -> bool:
        """Return whether a step takes longer than it may; what waits for a slot has not begun."""
        begun = next((s for s in status.steps if s.name == step.value and not s.completion_time), None)
        if begun is None or not begun.start_time or begun.state == WAITING:
            return False
        return self._engine.now() - datetime.fromisoformat(begun.start_time) > timedelta(seconds=seconds_of(limit))

    @property
    def _attempts(self) -> Attempts:
        return Attempts(engine=self._engine, replica=self._replica, vmclone=self._vmclone, spec=self._spec)

    async def _write(self, status: VMCloneReplicaStatus, decision: Decision) -> None:
        status = status.model_copy(update={"retry": past(status.retry, decision)})
        document = self._engine.newest(Kind.REPLICA, self._replica.document)
        now, generation = self._engine.timestamp(), document["metadata"].get("generation", 1)
        final = reported(status, decision, generation=generation, now=now)
        await self._engine.write_status(Kind.REPLICA, document, dumped(final))
        if final.state != (document.get("status") or {}).get("state", ""):
            await self._tell(final)
        if decision.reason in POD_TROUBLES:
            await self._engine.events.post(
                Kind.REPLICA,
                document,
                reason=decision.reason,
                action=decision.step.value,
                note=decision.message,
                warning=True,
                once=True,
            )

    async def _tell(self, status: VMCloneReplicaStatus) -> None:
        """Log a step that began, and post the one Event that people wait for."""
        stamp = self._replica.stamp
        place = {"vmclone": f"{stamp.namespace}/{stamp.vmclone}", "ordinal": stamp.ordinal, "vm": self._replica.vm_name}
        log.info("replica", extra={**place, "step": status.state, "backend": self._replica.spec.backend})
        if status.state == Step.READY.value and status.guest is not None:
            where = f"at {', '.join(status.guest.addresses)}" if status.guest.addresses else "and switched off"
            note = f"{self._replica.vm_name} is ready {where}"
            document = self._replica.document
            await self._engine.events.post(Kind.REPLICA, document, reason="Ready", action="Verify", note=note)


def _may_go_on(do: Do, status: VMCloneReplicaStatus) -> bool:
    """Return whether the pass goes on after a step: not while disks are being made."""
    return do in _GO_ON and (do is not Do.START_CLONE or is_true(status.conditions, "Provisioned"))


def _answers(clone: ObservedClone) -> bool:
    return clone.power is Power.ON and clone.agent
