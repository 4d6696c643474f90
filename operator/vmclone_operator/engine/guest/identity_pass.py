"""The identity's part of a replica's pass: what the guest is told to reset and scrub, and what its answer proves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from vmclone_operator.api.replica import GuestTaskStatus, VMCloneReplicaStatus
from vmclone_operator.api.vmclone import VMCloneSpec
from vmclone_operator.domain import guest
from vmclone_operator.domain.backend import BackendSession, GuestCommand, Mode, ObservedClone, Power
from vmclone_operator.domain.errors import AgentNotReady
from vmclone_operator.domain.guest_tasks import TaskView, identity_at_once, view
from vmclone_operator.engine.context import Engine
from vmclone_operator.engine.ledger import guest_tasks
from vmclone_operator.engine.objects.replica import Replica
from vmclone_operator.engine.secrets import seed_secret
from vmclone_operator.engine.source.consent import Consent
from vmclone_operator.homecopy.scrub import scrub_request
from vmclone_operator.kube.cluster import Document


def no_task(ledger: GuestTaskStatus | None) -> GuestTaskStatus | None:
    """Return the ledger's line once its run is not waited for any more; the next one takes its place."""
    return None if ledger is None else GuestTaskStatus(replaces=ledger.run or ledger.replaces)


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a guest's answer proves."""

    problems: tuple[str, ...] = ()
    reason: str = ""
    """The condition reason of the first of them."""
    outdated: bool = False
    """The guest was scrubbed by other rules than those of now: it is asked again."""


NOTHING_FOUND = Findings()


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one look at a guest shows."""

    probe: guest.GuestProbe | None = None
    task: TaskView | None = None
    """Where guests run tasks: how the one of the ledger stands."""


NOT_ASKED = Look()


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityPart:
    """Asks one clone's guest, and judges what it says."""

    engine: Engine
    replica: Replica
    session: BackendSession
    spec: VMCloneSpec
    consent: Consent
    mode: Mode

    async def look(self, clone: ObservedClone | None) -> Look:
        """Ask the guest how far it is; nothing while it cannot answer, or once its identity is recorded."""
        if self.replica.status.guest is not None or clone is None or not clone.complete or not clone.agent:
            return NOT_ASKED
        if clone.power is not Power.ON:
            return NOT_ASKED
        if await guest_tasks.runs_tasks(self.engine, self.replica):
            seen = await self._task()
            return Look(probe=seen.probe, task=seen)
        try:
            answer = await self.session.guest_exec(self.replica.ref, guest.PROBE)
            return Look(probe=guest.parse_probe(answer.stdout))
        except AgentNotReady:
            return NOT_ASKED

    async def _task(self) -> TaskView:
        """Look at the task of the ledger."""
        ledger = self.replica.status.guest_task
        if ledger is None or not ledger.run:
            return TaskView()
        run = await self.session.guest_result(self.replica.ref, ledger.run)
        began = datetime.fromisoformat(ledger.recorded_time)
        return view(run, age_seconds=(self.engine.now() - began).total_seconds())

    def new_task(self, command: GuestCommand) -> GuestTaskStatus:
        """Return the ledger's line for another run of the identity task."""
        before = no_task(self.replica.status.guest_task)
        return self._written(command, replaces=before.replaces if before is not None else "")

    def _written(self, command: GuestCommand, *, replaces: str) -> GuestTaskStatus:
        attempt = self.engine.new_token()
        run = identity_at_once(command, attempt).run
        return GuestTaskStatus(run=run, attempt=attempt, replaces=replaces, recorded_time=self.engine.timestamp())

    async def start_task(self, command: GuestCommand, status: VMCloneReplicaStatus) -> VMCloneReplicaStatus:
        """Start the run that the ledger has; what it says has changed since: write another one down first."""
        ledger = status.guest_task
        if ledger is None:
            return status
        task = identity_at_once(command, ledger.attempt, replaces=ledger.replaces)
        if task.run != ledger.run:
            # The backend does not know the ledger's run: what is in its way is still what that was to replace.
            task_of_now = self._written(command, replaces=ledger.replaces or ledger.run)
            return status.model_copy(update={"guest_task": task_of_now})
        await self.session.guest_start(self.replica.ref, task)
        return status

    async def findings(self, probe: guest.GuestProbe | None, siblings: Sequence[Document]) -> Findings:
        """Return what is wrong with the identity that the guest shows once its reset is done."""
        token = self.replica.stamp.incarnation
        if probe is None or probe.state_of(token) is not guest.IdentityState.DONE:
            return NOTHING_FOUND
        known, name = _identities(siblings), self.replica.vm_name
        problems = guest.identity_problems(probe, token=token, hostname=name, siblings=known)
        if problems:
            reason = guest.identity_reason(probe, token=token, hostname=name, siblings=known)
            return Findings(problems=problems, reason=reason)
        return await self._seed_findings(probe) if self.mode is Mode.CLEAN else self._scrub_findings(probe)

    async def _seed_findings(self, probe: guest.GuestProbe) -> Findings:
        """Say so when cloud-init did not take the host key that was made for the clone."""
        pair = await seed_secret.host_key(self.engine, self.replica.stamp.incarnation)
        if pair is None or pair.public in probe.ssh_host_keys:
            return NOTHING_FOUND
        sentence = "sshd does not present the host key of the clone's seed: the image needs cloud-init (NoCloud)"
        return Findings(problems=(sentence,), reason="HostKeyMismatch")

    def _scrub_findings(self, probe: guest.GuestProbe) -> Findings:
        request = self.scrub()
        if request is None:
            return NOTHING_FOUND
        if probe.scrub.request != request.digest:
            return Findings(outdated=True)
        problem = guest.scrub_problem(probe.scrub, request)
        return NOTHING_FOUND if problem is None else Findings(problems=(problem[1],), reason=problem[0])

    def scrub(self) -> guest.ScrubRequest | None:
        """Return what the guest scrubs: in mode Disk the built-in scope and what the source's owner adds."""
        if self.mode is not Mode.DISK:
            return None
        return scrub_request(self.consent.source)


def _identities(siblings: Sequence[Document]) -> list[guest.KnownIdentity]:
    found = []
    for document in siblings:
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
