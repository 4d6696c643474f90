"""The steps of a replica: each carries out one decision and returns the status that says so.

Called by the replica pass, which writes the status afterwards; what must be durable before a call was
written by the pass before.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from vmclone_operator.api.replica import ClonedFromStatus, GuestStatus, ScrubStatus, VMCloneReplicaStatus
from vmclone_operator.api.vmclone import VMCloneSpec
from vmclone_operator.domain import guest, guest_keys
from vmclone_operator.domain.adoption import made_from
from vmclone_operator.domain.backend import BackendSession, GuestCommand, Mode, Power, Seed
from vmclone_operator.domain.conditions import ConditionWriter, is_true
from vmclone_operator.domain.errors import CloneFailed, KeyMalformed, UserUnknown
from vmclone_operator.domain.guest_keys import Change
from vmclone_operator.domain.pace import Pace
from vmclone_operator.domain.plan import Situation
from vmclone_operator.domain.rollout import point_to_clone_from
from vmclone_operator.domain.steps import Do
from vmclone_operator.engine.context import Engine
from vmclone_operator.engine.guest.access_pass import KeysPart, malformed
from vmclone_operator.engine.guest.identity_pass import IdentityPart, no_task
from vmclone_operator.engine.home.home_pass import HomePart
from vmclone_operator.engine.home.home_steps import HomeSteps, had_before
from vmclone_operator.engine.jobs.copy_jobs import copy_jobs_of
from vmclone_operator.engine.objects.lineage import is_deleting
from vmclone_operator.engine.objects.parsed import vmclone_spec, vmclone_status
from vmclone_operator.engine.objects.replica import Replica
from vmclone_operator.engine.replica import making
from vmclone_operator.engine.secrets import seed_secret, user_data
from vmclone_operator.engine.source import consent
from vmclone_operator.kube.cluster import Document, Key, Kind

Act = Callable[["ReplicaSteps", Situation, VMCloneReplicaStatus], Awaitable[VMCloneReplicaStatus]]
HomeAct = Callable[[HomeSteps, Situation, VMCloneReplicaStatus], Awaitable[VMCloneReplicaStatus]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaSteps:
    """What the steps work on."""

    engine: Engine
    replica: Replica
    spec: VMCloneSpec
    session: BackendSession
    consent: consent.Consent
    home: HomePart
    identity: IdentityPart
    keys: KeysPart
    pace: Pace

    async def carry_out(self, do: Do, situation: Situation, status: VMCloneReplicaStatus) -> VMCloneReplicaStatus:
        """Carry out a decision."""
        if do in _HOME_ACTS:
            return await _HOME_ACTS[do](await self._home_steps(), situation, status)
        return await _ACTS[do](self, situation, status)

    async def _home_steps(self) -> HomeSteps:
        source = self.session
        if self.consent.source_backend not in ("", self.replica.spec.backend):
            source = await self.engine.session(self.consent.source_backend)
        return HomeSteps(part=self.home, session=self.session, source_session=source, pace=self.pace)

    async def reserve(self, situation: Situation, status: VMCloneReplicaStatus) -> VMCloneReplicaStatus:
        """Record names, ids and the attempt; the write that `run` does next makes it durable."""
        await self.engine.ensure_finalizer(Kind.REPLICA, self.replica.document)
        intent = await making.new_attempt(self.engine, self.replica, self.spec, situation)
        access = guest_keys.begun(self.keys.wanted, status.access)
        return status.model_copy(update={"intent": intent, "access": access})

    async def start_clone(self, situation: Situation, status: VMCloneReplicaStatus) -> VMCloneReplicaStatus:
        """Read the frozen point and the grants live, then ask for the clone."""
        intent, frozen = situation.intent, situation.frozen
        vmclone = await self.engine.live(Key(Kind.VMCLONE, self.replica.stamp.namespace, self.replica.stamp.vmclone))
        if intent is None or frozen is None or not await self._still_wanted(vmclone, frozen.id):
            return status
        wanted = self.replica.clone_intent(
            intent,
            source_id=frozen.source_id,
            mode=situation.mode,
            seed=await self._seed(situation.mode),
            pool=self.replica.disk(self.spec).pool or "",
            made_from=made_from(self.spec, situation.mode),
        )
        shape = await making.shape_of_clone(self.engine, self.replica, self.consent)
        name = making.source_name(self.engine, self.replica, self.consent)
        labels = self.spec.template.labels
        wanted = replace(wanted, shape=shape, source_name=name, frozen_handle=frozen.handle, labels=labels)
        progress = await self.session.start_clone(wanted)
        if progress.done:
            return self._provisioned(status, progress.external_id, frozen.id, frozen.fingerprint)
        self.pace.not_before(progress.again_seconds)
        return making.followed(self.engine, status, progress)

    async def _seed(self, mode: Mode) -> Seed:
        """Return what cloud-init is told; in mode Clean with the clone's keys, which are made before it."""
        if mode is Mode.DISK:
            return self.replica.seed()
        pair = await seed_secret.ensure_host_key(self.engine, self.replica.stamp.incarnation)
        login = self._login()
        return replace(
            self.replica.seed(),
            user=login.user,
            authorized_keys=login.keys,
            host_key=pair.private,
            host_public_key=pair.public,
            extra=await user_data.read(
                self.engine, self.replica.stamp.namespace, self.replica.cloud_init(self.spec.template)
            ),
        )

    def _login(self) -> guest_keys.Wanted:
        """Return who may log in; raises UserUnknown when nobody says for whom, KeyMalformed for what is no key."""
        wanted = self.keys.wanted
        if wanted is None and self.spec.access.authorized_keys:
            raise UserUnknown(
                "spec.access.authorizedKeys are wanted, but the CloneSource names no home.user to give them to (or is"
                " gone); ask the platform team"
            )
        problem = malformed(self.spec, self.consent.source)
        if problem:
            raise KeyMalformed(problem)
        return wanted or guest_keys.Wanted()

    async def _still_wanted(self, vmclone: Document | None, frozen_id: str) -> bool:
        if vmclone is None or is_deleting(vmclone) or vmclone["metadata"]["uid"] != self.replica.vmclone_uid:
            return False
        points, wish = vmclone_status(vmclone).frozen_points, vmclone_spec(vmclone)
        if wish.paused or wish.plan.mode == "DryRun":
            return False
        point = point_to_clone_from(points, frozen_id if self._copies_begun() else "")
        there = point is not None and point.id == frozen_id
        return there and (await consent.check(self.engine, vmclone, live=True)).blocker is None

    def _copies_begun(self) -> bool:
        """Return whether full copies of this attempt are there already: they go on from where they began."""
        intent = self.replica.status.intent
        return intent is not None and bool(intent.finished)

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
        await self.session.set_power(self.replica.ref, Power.ON)
        return status.model_copy(update={"guest_task": no_task(status.guest_task)})  # it was of another boot

    async def power_off(self, _: Situation, status: VMCloneReplicaStatus) -> VMCloneReplicaStatus:
        """Switch the clone off: it is to be delivered so."""
        await self.session.set_power(self.replica.ref, Power.OFF)
        return status.model_copy(update={"guest_task": no_task(status.guest_task)})  # it went down with the boot

    async def release_network_wait(self, _: Situation, status: VMCloneReplicaStatus) -> VMCloneReplicaStatus:
        """Tell the boot not to wait for a network that a quarantined guest cannot have."""
        await self.session.guest_exec(self.replica.ref, guest.RELEASE_NETWORK_WAIT)
        return status

    async def reserve_task(self, situation: Situation, status: VMCloneReplicaStatus) -> VMCloneReplicaStatus:
        """Record the run that resets the identity; the write that `run` does next makes it durable."""
        return status.model_copy(update={"guest_task": self.identity.new_task(self._identity_command(situation))})

    async def reset_identity(self, situation: Situation, status: VMCloneReplicaStatus) -> VMCloneReplicaStatus:
        """Start the identity reset in the guest; it goes on by itself."""
        command = self._identity_command(situation)
        if status.access is not None and (keys := self.keys.wanted) is not None:
            status = status.model_copy(update={"access": guest_keys.installed(status.access, keys)})
        if situation.task is not None:
            return await self.identity.start_task(command, status)
        answer = await self.session.guest_exec(self.replica.ref, command)
        if answer.exit_code != 0:
            raise CloneFailed(f"the identity reset could not be started: {answer.stderr or answer.stdout}")
        return status

    def _identity_command(self, situation: Situation) -> GuestCommand:
        login = self._login()
        return guest.identity_command(
            token=self.replica.stamp.incarnation,
            hostname=self.replica.vm_name,
            user=login.user,
            authorized_keys=login.keys,
            keep_host_key=situation.mode is Mode.CLEAN,
            scrub=self.identity.scrub(),
            own_disks=situation.clone.own_disks if situation.clone is not None else (),
        )

    async def record_identity(self, situation: Situation, status: VMCloneReplicaStatus) -> VMCloneReplicaStatus:
        """Record the identity that was read back; only then may the links go up."""
        probe = situation.probe
        if probe is None:
            return status
        identity = GuestStatus(
            hostname=probe.hostname, machine_id_hash=probe.machine_id_hash, ssh_host_keys=probe.ssh_host_keys
        )
        proven = not situation.problems
        told = "machine-id, host key and hostname were read back from the running guest"
        conditions = self._writer().put(
            status.conditions,
            "IdentityReset",
            status=proven,
            reason="Verified" if proven else situation.problem_reason,
            message=told if proven else "; ".join(situation.problems),
        )
        scrub = self._scrubbed(probe) if situation.mode is Mode.DISK else None
        update = {"guest": identity, "guest_task": None, "conditions": conditions, "scrub": scrub}
        status = status.model_copy(update=update)
        return had_before(status, self._writer()) if await self._has_home(situation.mode, probe) else status

    async def _has_home(self, mode: Mode, probe: guest.GuestProbe) -> bool:
        """Return whether nothing is left to do for its home: then it waits for no source. A Job is ended as usual."""
        incarnation = self.replica.stamp.incarnation
        if mode is not Mode.CLEAN or probe.home_copied != incarnation:
            return False
        return not await copy_jobs_of(self.engine).names_of(incarnation)

    def _scrubbed(self, probe: guest.GuestProbe) -> ScrubStatus:
        report = probe.scrub
        now = self.engine.timestamp() if not report.left else ""
        return ScrubStatus(scope=report.scope, files=report.files, units_masked=report.units, verified_time=now)

    async def connect(self, _: Situation, status: VMCloneReplicaStatus) -> VMCloneReplicaStatus:
        """Set the links up."""
        await self.session.connect_network(self.replica.ref)
        return status

    async def record_ready(self, situation: Situation, status: VMCloneReplicaStatus) -> VMCloneReplicaStatus:
        """Record the addresses; with that the replica is ready."""
        if status.guest is None:
            return status
        conditions = status.conditions
        if not is_true(conditions, "HomeCopied"):
            reason, message = _WITHOUT_COPY[situation.mode]
            conditions = self._writer().put(conditions, "HomeCopied", status=True, reason=reason, message=message)
        if situation.mode is Mode.CLEAN:
            await seed_secret.forget_host_key(self.engine, self.replica.stamp.incarnation)
        identity = status.guest.model_copy(update={"addresses": situation.addresses or status.guest.addresses})
        first = status.ready_time or self.engine.timestamp()
        return status.model_copy(update={"guest": identity, "conditions": conditions, "ready_time": first})

    async def record_keys(self, _: Situation, status: VMCloneReplicaStatus) -> VMCloneReplicaStatus:
        """Take the keys that are wanted now into the ledger."""
        status, wait = await self.keys.record(status)
        self.pace.not_before(wait)
        return status

    async def replace_keys(self, _: Situation, status: VMCloneReplicaStatus) -> VMCloneReplicaStatus:
        """Bring the clone the keys that are wanted now."""
        status, wait = await self.keys.replace(status)
        self.pace.not_before(wait)
        return status

    async def tell_keys(self, situation: Situation, status: VMCloneReplicaStatus) -> VMCloneReplicaStatus:
        """Say that a change of the keys waits, or no more."""
        if situation.keys.change is Change.TAKEN_BACK:
            return self.keys.take_back(status)
        return self.keys.tell(situation.keys, status)

    async def report_missing(self, _: Situation, status: VMCloneReplicaStatus) -> VMCloneReplicaStatus:
        """Say that the clone is gone; the VMClone pass removes this replica and makes it again."""
        message = "the clone was deleted at the backend"
        conditions = self._writer().put(status.conditions, "Drifted", status=True, reason="Missing", message=message)
        await self.engine.events.post(
            Kind.REPLICA, self.replica.document, reason="CloneMissing", action="Rebuild", note=message, warning=True
        )
        return status.model_copy(update={"conditions": conditions})

    def _writer(self) -> ConditionWriter:
        return self.engine.writer_for(self.replica.document)


_WITHOUT_COPY = {
    Mode.DISK: ("FrozenWithDisk", "the home came with the disk"),
    Mode.CLEAN: ("Skipped", "spec.homeCopy.policy is Skip"),
}
_HOME_ACTS: dict[Do, HomeAct] = {
    Do.RESERVE_COPY: HomeSteps.reserve_copy,
    Do.START_COPY: HomeSteps.start_copy,
    Do.RECORD_COPY: HomeSteps.record_copy,
    Do.STOP_COPY: HomeSteps.stop_copy,
    Do.CLEAN_COPY: HomeSteps.clean_copy,
}
_ACTS: dict[Do, Act] = {
    Do.RESERVE: ReplicaSteps.reserve,
    Do.START_CLONE: ReplicaSteps.start_clone,
    Do.RECORD_CLONE: ReplicaSteps.record_clone,
    Do.POWER_ON: ReplicaSteps.power_on,
    Do.POWER_OFF: ReplicaSteps.power_off,
    Do.RELEASE_NETWORK_WAIT: ReplicaSteps.release_network_wait,
    Do.RESERVE_TASK: ReplicaSteps.reserve_task,
    Do.RESET_IDENTITY: ReplicaSteps.reset_identity,
    Do.RECORD_IDENTITY: ReplicaSteps.record_identity,
    Do.CONNECT: ReplicaSteps.connect,
    Do.RECORD_READY: ReplicaSteps.record_ready,
    Do.RECORD_KEYS: ReplicaSteps.record_keys,
    Do.REPLACE_KEYS: ReplicaSteps.replace_keys,
    Do.TELL_KEYS: ReplicaSteps.tell_keys,
    Do.REPORT_MISSING: ReplicaSteps.report_missing,
}
