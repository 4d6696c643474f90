"""One VMCloneReplica as a pass sees it: the document, what is computed from it, and its status while it changes."""

from __future__ import annotations

from dataclasses import dataclass

from vmclone_operator.api import API_VERSION, FINALIZER
from vmclone_operator.api.disk import ReplicaDiskSpec
from vmclone_operator.api.replica import IntentStatus, StepStatus, VMCloneReplicaSpec, VMCloneReplicaStatus
from vmclone_operator.api.template import CloudInitSpec, TemplateSpec
from vmclone_operator.api.vmclone import VMCloneSpec
from vmclone_operator.domain import naming
from vmclone_operator.domain.backend import CloneIntent, CloneRef, DiskCopy, Mode, Power, Seed, Shape, Stamp
from vmclone_operator.domain.conditions import ConditionWriter, Progress, Readiness, is_true, printable
from vmclone_operator.domain.figures import same_but_bytes
from vmclone_operator.domain.labels import recommended
from vmclone_operator.domain.revision import revision_of, user_disk, user_template
from vmclone_operator.domain.steps import WAITING, Decision, Step
from vmclone_operator.domain.units import bytes_of
from vmclone_operator.engine.objects.lineage import VMCLONE_UID_LABEL, incarnation_of, parent_name
from vmclone_operator.engine.objects.parsed import replica_status
from vmclone_operator.kube.cluster import Document, Key, Kind, key_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """A replica's document and everything that is computed, never stored: stamp, names, ids."""

    document: Document
    spec: VMCloneReplicaSpec
    stamp: Stamp
    """What its VM carries; of an adopted one it names the VMClone and the replica that the VM was made for."""
    controlled: bool
    """False while its ownerReferences do not name the VMClone that its spec does."""

    @property
    def key(self) -> Key:
        """Return the key of the object."""
        return key_of(Kind.REPLICA, self.document)

    @property
    def status(self) -> VMCloneReplicaStatus:
        """Return the status as the document has it."""
        return replica_status(self.document)

    @property
    def ref(self) -> CloneRef:
        """Return how its clone is named to the backend."""
        intent = self.status.intent
        return CloneRef(
            stamp=self.stamp,
            vm_name=self.vm_name,
            handle="" if intent is None else intent.handle,
            made=is_true(self.status.conditions, "Provisioned"),
        )

    @property
    def vmclone_uid(self) -> str:
        """Return the uid of the VMClone that it belongs to now."""
        return self.spec.vm_clone_uid

    @property
    def adopted(self) -> bool:
        """Return whether its VM was there before it."""
        return self.spec.adopted is not None

    @property
    def power(self) -> Power:
        """Return how the clone is to be delivered."""
        return Power(self.spec.template.power) if self.spec.template is not None else Power.ON

    def cloud_init(self, wish: TemplateSpec) -> CloudInitSpec | None:
        """Return the user's cloud-config: of its own template, or of the wish if it was made before there were any."""
        if not self.spec.revision:
            return wish.cloud_init
        return self.spec.template.cloud_init if self.spec.template is not None else None

    @property
    def shape(self) -> Shape:
        """Return what the clone has beside its disks, where that differs from the source."""
        return shape_of(self.spec.template or TemplateSpec())

    @property
    def vm_name(self) -> str:
        """Return the provider VM's name, computed anew."""
        return naming.vm_name(self.spec.session, self.stamp.incarnation)

    def disk(self, wish: VMCloneSpec) -> ReplicaDiskSpec:
        """Return how its disks are made: as the wish was when it was made, as its revision says."""
        return self.spec.disk if self.spec.disk is not None else wish.disk

    def clone_intent(
        self, ledger: IntentStatus, *, source_id: str, mode: Mode, seed: Seed, pool: str = "", made_from: str = ""
    ) -> CloneIntent:
        """Return the intent for the provider; only the attempt and what it finished come from the ledger."""
        incarnation = self.stamp.incarnation
        return CloneIntent(
            stamp=self.stamp,
            token=ledger.token,
            vm_name=self.vm_name,
            uuid=naming.clone_uuid(incarnation),
            source_id=source_id,
            frozen_token=ledger.frozen_point,
            seed=seed,
            mode=mode,
            copy=DiskCopy(ledger.copy_ or DiskCopy.LINKED),
            pool=pool,
            finished=ledger.finished,
            handle=ledger.handle,
            shape=self.shape,
            made_from=made_from,
        )

    def seed(self) -> Seed:
        """Return what every clone's cloud-init is told."""
        return Seed(instance_id=f"vmclone-{self.stamp.incarnation}", hostname=self.vm_name)


def shape_of(template: TemplateSpec) -> Shape:
    """Return what a template asks for that may differ from the source."""
    return Shape(
        cpus=template.cpus or 0,
        memory_bytes=bytes_of(template.memory) if template.memory else 0,
        networks=template.networks,
        size=template.size or "",
    )


def read_replica(document: Document, *, instance: str) -> Replica | None:
    """Read a replica; None when its name is not the one that its VMClone gives.

    A VMCloneReplica is not trusted because it exists: nothing is made for one that is not `controlled`. It is
    removed all the same, by its own uid, which no other object's VM carries.
    """
    spec = VMCloneReplicaSpec.model_validate(document["spec"])
    owner = controller_of(document)
    meta = document["metadata"]
    vmclone = parent_name(document)
    if vmclone == meta["name"]:
        return None
    stamp = Stamp(
        instance=instance,
        namespace=meta["namespace"],
        vmclone=vmclone,
        vmclone_uid=spec.vm_clone_uid if spec.adopted is None else spec.adopted.vm_clone_uid,
        ordinal=spec.ordinal,
        incarnation=incarnation_of(document),
    )
    controlled = owner is not None and owner["uid"] == spec.vm_clone_uid and owner["name"] == vmclone
    return Replica(document=document, spec=spec, stamp=stamp, controlled=controlled)


def controller_of(document: Document) -> Document | None:
    """Return the VMClone that controls the object, by its ownerReferences."""
    for owner in document["metadata"].get("ownerReferences") or []:
        if owner.get("controller") and owner.get("kind") == "VMClone" and owner.get("apiVersion") == API_VERSION:
            reference: Document = owner
            return reference
    return None


def new_replica(
    vmclone: Document, *, ordinal: int, session: str, backend: str, adopts: Stamp | None = None
) -> Document:
    """Return the document of a new replica. Nothing is copied from the VMClone's own labels or annotations.

    It has its finalizer from the beginning, which saves the write of adding it before anything is made.
    """
    meta = vmclone["metadata"]
    owner = {
        "apiVersion": API_VERSION,
        "kind": "VMClone",
        "name": meta["name"],
        "uid": meta["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    wish = vmclone["spec"]
    spec = {"ordinal": ordinal, "session": session, "vmCloneUID": meta["uid"], "backend": backend}
    spec["revision"] = revision_of(wish)
    if user_template(wish):
        spec["template"] = user_template(wish)
    if user_disk(wish):
        spec["disk"] = user_disk(wish)
    if adopts is not None:
        spec["adopted"] = {"vmCloneUID": adopts.vmclone_uid, "incarnation": adopts.incarnation}
    return {
        "metadata": {
            "finalizers": [FINALIZER],
            "namespace": meta["namespace"],
            "name": naming.replica_name(meta["name"], ordinal),
            "labels": replica_labels(vmclone, {"spec": spec}),
            "ownerReferences": [owner],
        },
        "spec": spec,
    }


def replica_labels(vmclone: Document, replica: Document) -> dict[str, str]:
    """Return the labels that a replica of this VMClone bears: the user's, and ours before them."""
    return {
        **((vmclone["spec"].get("template") or {}).get("labels") or {}),
        **recommended("replica"),
        "vmclone.dev/vmclone": vmclone["metadata"]["name"],
        VMCLONE_UID_LABEL: vmclone["metadata"]["uid"],
        "vmclone.dev/ordinal": str(replica["spec"]["ordinal"]),
    }


def reported(status: VMCloneReplicaStatus, decision: Decision, *, generation: int, now: str) -> VMCloneReplicaStatus:
    """Return the status with state, steps and readiness as the decision says."""
    writer = ConditionWriter(generation=generation, now=now)
    ready = decision.step is Step.READY
    conditions = status.conditions
    if decision.step.condition and not is_true(conditions, decision.step.condition):
        conditions = writer.put(
            conditions, decision.step.condition, status=False, reason=decision.reason, message=decision.message
        )
    state = Readiness(
        ready=ready,
        reason="Ready" if ready else decision.reason,
        message="ready" if ready else decision.message,
        progress=Progress.SETTLED if ready else decision.progress,
        step=decision.step.value,
    )
    return status.model_copy(
        update={
            "observed_generation": generation,
            "state": _state(decision),
            "percent": _percent(decision, status.steps),
            "steps": advanced(status.steps, decision, now=now),
            "conditions": writer.put_readiness(conditions, state),
        }
    )


def _percent(decision: Decision, steps: tuple[StepStatus, ...]) -> int:
    """Return how far the replica is; a copy takes what lies between its step and the next."""
    if decision.step is Step.CLONE:
        copied = next((step.percent for step in steps if step.name == Step.CLONE.value), 0)
        return Step.CLONE.percent + (Step.BOOT.percent - Step.CLONE.percent) * copied // 100
    if decision.step is not Step.HOME_COPY or decision.copy is None:
        return decision.step.percent
    span = Step.VERIFY.percent - Step.HOME_COPY.percent
    return Step.HOME_COPY.percent + span * decision.copy.percent // 100


def _state(decision: Decision) -> str:
    if decision.progress is not Progress.STALLED:
        return decision.step.value
    return "Paused" if decision.reason == "Paused" else "Failed"


def advanced(steps: tuple[StepStatus, ...], decision: Decision, *, now: str) -> tuple[StepStatus, ...]:
    """Return the steps with those before the decision's closed and its own open; what is the same is kept."""
    known = {step.name: step for step in steps}
    order: list[Step] = [step for step in Step if step is not Step.READY]
    ready = decision.step is Step.READY
    result = []
    for step in order:
        old = known.get(step.value) or StepStatus(name=step.value, state="Running", start_time=now)
        if ready or order.index(step) < order.index(decision.step):
            done = old.completion_time or now
            whole = 100 if old.percent else 0
            update = {"state": "Done", "completion_time": done, "message": "", "percent": whole}
            result.append(old.model_copy(update=update))
            if decision.copy is not None and step is Step.HOME_COPY:
                result[-1] = _refreshing(old, decision, now=now)
        elif step is decision.step:
            result.append(_current(_begun(old, decision, now=now), decision))
    return tuple(result)


def _begun(old: StepStatus, decision: Decision, *, now: str) -> StepStatus:
    """Return the step with its time begun anew if it has waited for a slot until now."""
    return old.model_copy(update={"start_time": now}) if old.state == WAITING and not _waits(decision) else old


def _waits(decision: Decision) -> bool:
    return decision.step is Step.CLONE and decision.reason == "WaitingForSlot"


def _refreshing(old: StepStatus, decision: Decision, *, now: str) -> StepStatus:
    """Return the step of a home that is copied again into a clone that is ready."""
    reopened = StepStatus(name=old.name, start_time=now, state="Running") if old.completion_time else old
    return _current(reopened, decision)


def _news(decision: Decision) -> dict[str, object]:
    news = decision.copy
    if news is None:
        return {}
    return {
        "percent": news.percent,
        "eta_seconds": news.eta_seconds,
        "done_bytes": news.done_bytes,
        "total_bytes": news.total_bytes,
        "job": news.job,
        "queue_position": news.position,
    }


def _current(old: StepStatus, decision: Decision) -> StepStatus:
    failed = decision.failed or decision.progress is Progress.STALLED
    attempt = old.attempt + (1 if failed and old.state != "Failed" else 0)
    new = old.model_copy(
        update={
            "state": "Failed" if failed else WAITING if _waits(decision) else "Running",
            "completion_time": "",
            "attempt": attempt,
            "message": printable(decision.message, 256),
            **_news(decision),
        }
    )
    return old if same_but_bytes(old, new) else new
