"""The identity's part of a replica's pass: what the guest is told to reset and scrub, and what its answer proves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vmclone_operator.api.vmclone import VMCloneSpec
from vmclone_operator.domain import guest
from vmclone_operator.domain.backend import BackendSession, Mode, ObservedClone, Power
from vmclone_operator.domain.errors import AgentNotReady
from vmclone_operator.engine import seed_secret
from vmclone_operator.engine.consent import Consent
from vmclone_operator.engine.context import Engine
from vmclone_operator.engine.replica import Replica
from vmclone_operator.homecopy.scrub import scrub_request
from vmclone_operator.kube.cluster import Document


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
class IdentityPart:
    """Asks one clone's guest, and judges what it says."""

    engine: Engine
    replica: Replica
    session: BackendSession
    spec: VMCloneSpec
    consent: Consent
    mode: Mode

    async def probe(self, clone: ObservedClone | None) -> guest.GuestProbe | None:
        """Ask the guest; nothing while it cannot answer."""
        if clone is None or not clone.complete or not clone.agent or clone.power is not Power.ON:
            return None
        try:
            answer = await self.session.guest_exec(self.replica.ref, guest.PROBE)
            return guest.parse_probe(answer.stdout)
        except AgentNotReady:
            return None

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
