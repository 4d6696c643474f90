"""The plan of one VMClone: what is about to be done, what it costs, what speaks against it, and who lets it happen.

Everything is found out before anything is changed, and told at once. A plan that is being carried out stays as it
is until all of it is done: half of an approved plan must not ask for a second approval after a restart.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from vmclone_operator.api.disk import CopyStatus
from vmclone_operator.api.plan import PlanAction, PlanEstimate, PlanStatus
from vmclone_operator.api.vmclone import VMCloneSpec, VMCloneStatus
from vmclone_operator.domain import wishes
from vmclone_operator.domain.backend import Capabilities, Consistency, Finding, Mode, PlanWish
from vmclone_operator.domain.errors import ImageNotFound
from vmclone_operator.domain.revision import revision_of, user_disk
from vmclone_operator.domain.rollout import newest_complete
from vmclone_operator.domain.steps import Blocker
from vmclone_operator.domain.wishes import CopyChoice, Cost
from vmclone_operator.engine.context import Engine, annotation
from vmclone_operator.engine.objects.replica import shape_of
from vmclone_operator.engine.secrets import user_data
from vmclone_operator.engine.source import consent
from vmclone_operator.engine.source.source_vm import described
from vmclone_operator.engine.vmclone.replica_objects import ReplicaObjects
from vmclone_operator.kube.cluster import Document

APPROVED = "approved-plan"
"""The annotation that lets a plan happen, without our prefix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What became of planning."""

    plan: PlanStatus
    copy: CopyStatus
    verdict: Blocker | None = None
    """Why it is not carried out: findings, or nobody approved it."""
    carry_out: bool = True
    """Whether replicas may be made and removed; false while the plan is only told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planning:
    """What a plan rests on."""

    engine: Engine
    vmclone: Document
    spec: VMCloneSpec
    found: consent.Consent
    objects: ReplicaObjects
    sessions: Mapping[int, str]
    adopted: Collection[int] = ()
    """The ordinals whose VMs are there already."""

    async def run(self, status: VMCloneStatus) -> Planned:
        """Return the plan as it is now; raises what the backend fails with."""
        actions, begins = self._actions()
        if not actions:
            return Planned(plan=PlanStatus(), copy=status.copy_, carry_out=not self._told_only)
        same_wish = status.plan.hash.startswith(wishes.digest(self._wish()))
        if not begins and status.plan.actions and same_wish:
            return Planned(plan=status.plan, copy=status.copy_)
        if same_wish and wishes.under_way(status.plan, actions, self._approved(status.plan.hash)):
            return Planned(plan=status.plan, copy=status.copy_)
        return await self._anew(status, actions, begins=begins)

    @property
    def _told_only(self) -> bool:
        return self.spec.plan.mode == "DryRun"

    def _approved(self, mine: str) -> str:
        """Return the hash of the plan that may happen; in mode Auto it is the one at hand."""
        by_mode = {"Auto": mine, "Manual": annotation(self.vmclone, APPROVED), "DryRun": ""}
        return by_mode[self.spec.plan.mode]

    def _actions(self) -> tuple[tuple[PlanAction, ...], bool]:
        """Return what is left to do, and whether any of it makes or removes a replica."""
        changes, replaced = self.objects.upcoming()
        going = {view.uid for view in (*changes.delete, *changes.remake, *replaced)}
        unfinished = [
            v.ordinal for v in self.objects.views() if not v.provisioned and not v.deleting and v.uid not in going
        ]
        actions = wishes.actions_of(
            changes, replaced, unfinished, self.sessions, expired=self.objects.expired, adopted=self.adopted
        )
        return actions, bool(changes.create or going)

    async def _anew(self, status: VMCloneStatus, actions: Sequence[PlanAction], *, begins: bool) -> Planned:
        clones = sum(action.op == "Create" for action in actions)
        findings: list[Finding] = []
        copy, estimate = status.copy_, PlanEstimate()
        if clones:
            choice = wishes.choose_copy(
                self.spec.disk.copy_,
                able := await self.engine.capabilities(self.found.backend_name, self.spec.disk.pool or ""),
            )
            copy = CopyStatus(
                requested=self.spec.disk.copy_, actual=choice.actual.value, fallback_reason=choice.fallback_reason
            )
            findings += wishes.missing_capabilities(able, self._mode, choice, shape_of(self.spec.template))
            found, estimate = await self._look(status, able, choice, clones)
            findings += found
        plan = PlanStatus(
            hash=wishes.plan_hash(actions, self._wish()),
            actions=tuple(actions),
            estimate=estimate,
            blockers=wishes.sentences(findings),
        )
        return self._judged(plan, copy, findings, begins=begins)

    def _judged(self, plan: PlanStatus, copy: CopyStatus, findings: Sequence[Finding], *, begins: bool) -> Planned:
        if findings:
            message = "; ".join(finding.message for finding in findings)
            verdict = Blocker(reason=wishes.reason_of(findings), message=message)
            return Planned(plan=plan, copy=copy, verdict=verdict, carry_out=self.spec.plan.mode == "Auto")
        waits = begins and not self.objects.expired and self._approved(plan.hash) != plan.hash
        if self._told_only or not waits:
            return Planned(plan=plan, copy=copy, carry_out=not self._told_only)
        message = f"read status.plan; to have it carried out set the annotation vmclone.dev/{APPROVED}: {plan.hash}"
        verdict = Blocker(reason="AwaitingApproval", message=message, retrying=True)
        return Planned(plan=plan, copy=copy, verdict=verdict, carry_out=False)

    async def _look(
        self, status: VMCloneStatus, able: Capabilities, choice: CopyChoice, clones: int
    ) -> tuple[tuple[Finding, ...], PlanEstimate]:
        """Look at the source and the backend; return what speaks against the plan, and what it costs."""
        session = await self.engine.session(self.found.backend_name)
        info = await described(self.engine, self.found)
        full = choice.actual.value == "Full"
        findings = list(await self._secret())
        wanted = Consistency(self.spec.disk.consistency)
        stops = self.spec.source_power == "StopForClone"
        held, fingerprint = wishes.disk_bytes(info), info.fingerprint
        if self.found.image:
            try:
                image = await session.describe_image(self.found.image)
            except ImageNotFound as error:
                return (*findings, Finding(reason=error.reason, message=str(error))), PlanEstimate()
            held, fingerprint = image.allocated_bytes, image.fingerprint
        else:
            findings += wishes.cannot_freeze(able, info.power, wanted, stops=stops)
        newest = newest_complete(status.frozen_points)
        new_point = newest is None or (newest.source_id, newest.fingerprint) != (info.source_id, fingerprint)
        wish = PlanWish(
            replicas=clones,
            pool=self.spec.disk.pool or "",
            full=full,
            image=self.found.image,
            agent=self._mode is Mode.DISK and self.spec.identity.verify == "Require",
            shape=shape_of(self.spec.template),
            labels=self.spec.template.labels,
            user=self._user,
            consistency=None if stops or self.found.image else wanted,
        )
        if new_point or full:
            findings += await session.preflight(info, wish)
        cost = Cost(
            clones=clones,
            at_a_time=self.spec.rollout.max_in_flight,
            disk_bytes=held,
            new_point=new_point,
            full=full,
        )
        return tuple(findings), wishes.estimate(cost, session.resources(info, wish))

    async def _secret(self) -> tuple[Finding, ...]:
        """Return what is wrong with the user's own cloud-config, which mode Clean alone uses."""
        if self._mode is not Mode.CLEAN:
            return ()
        try:
            namespace = self.vmclone["metadata"]["namespace"]
            await user_data.read(self.engine, namespace, self.spec.template.cloud_init)
        except user_data.SecretNotReadable as error:
            return (Finding(reason=error.reason, message=str(error)),)
        return ()

    @property
    def _mode(self) -> Mode:
        return Mode(self.found.mode)

    @property
    def _user(self) -> str:
        """Return the account that mode Clean makes."""
        home = self.found.source.home if self.found.source is not None else None
        return home.user if home is not None and self._mode is Mode.CLEAN else ""

    def _wish(self) -> Mapping[str, object]:
        """Return what the clones are made of and from; whoever approves a plan approves this."""
        wish = self.vmclone["spec"]
        return {
            "source": wish["source"],
            "backend": self.found.backend_name,
            "mode": self.found.mode,
            "image": self.found.image,
            "disk": user_disk(wish),
            "revision": revision_of(wish),
        }
