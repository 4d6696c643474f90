"""One VMCloneReplica as a pass sees it: the document, what is computed from it, and its status while it changes."""

from __future__ import annotations

from dataclasses import dataclass

from vmclone_operator.api import API_VERSION
from vmclone_operator.api.replica import StepStatus, VMCloneReplicaSpec, VMCloneReplicaStatus
from vmclone_operator.domain import naming
from vmclone_operator.domain.backend import CloneIntent, Seed, Stamp
from vmclone_operator.domain.conditions import ConditionWriter, Progress, Readiness, printable
from vmclone_operator.domain.plan import Decision, Step
from vmclone_operator.engine.cache import VMCLONE_UID_LABEL
from vmclone_operator.engine.wakeups import parent_name
from vmclone_operator.kube.cluster import Document, Key, Kind, key_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """A replica's document and everything that is computed, never stored: stamp, names, ids."""

    document: Document
    spec: VMCloneReplicaSpec
    stamp: Stamp
    controlled: bool
    """False while its ownerReferences do not name the VMClone that its spec does."""

    @property
    def key(self) -> Key:
        """Return the key of the object."""
        return key_of(Kind.REPLICA, self.document)

    @property
    def status(self) -> VMCloneReplicaStatus:
        """Return the status as the document has it."""
        return VMCloneReplicaStatus.model_validate(self.document.get("status") or {})

    @property
    def vm_name(self) -> str:
        """Return the provider VM's name, computed anew."""
        return naming.vm_name(self.spec.session, self.stamp.incarnation)

    def clone_intent(self, *, token: str, source_id: str, frozen_token: str) -> CloneIntent:
        """Return the intent for the provider; only the token and the frozen point come from the ledger."""
        incarnation = self.stamp.incarnation
        return CloneIntent(
            stamp=self.stamp,
            token=token,
            vm_name=self.vm_name,
            uuid=naming.clone_uuid(incarnation),
            source_id=source_id,
            frozen_token=frozen_token,
            seed=Seed(instance_id=f"vmclone-{incarnation}", hostname=self.vm_name),
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
        vmclone_uid=spec.vm_clone_uid,
        ordinal=spec.ordinal,
        incarnation=meta["uid"],
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


def new_replica(vmclone: Document, *, ordinal: int, session: str, backend: str) -> Document:
    """Return the document of a new replica. Nothing is copied from the VMClone's own labels or annotations."""
    meta = vmclone["metadata"]
    owner = {
        "apiVersion": API_VERSION,
        "kind": "VMClone",
        "name": meta["name"],
        "uid": meta["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    spec = {"ordinal": ordinal, "session": session, "vmCloneUID": meta["uid"], "backend": backend}
    return {
        "metadata": {
            "namespace": meta["namespace"],
            "name": naming.replica_name(meta["name"], ordinal),
            "labels": replica_labels(vmclone, {"spec": spec}),
            "ownerReferences": [owner],
        },
        "spec": spec,
    }


def replica_labels(vmclone: Document, replica: Document) -> dict[str, str]:
    """Return the labels that a replica of this VMClone bears."""
    return {
        "app.kubernetes.io/name": "vmclone",
        "app.kubernetes.io/component": "replica",
        "app.kubernetes.io/part-of": "vmclone",
        "app.kubernetes.io/managed-by": "vmclone-operator",
        "vmclone.dev/vmclone": vmclone["metadata"]["name"],
        VMCLONE_UID_LABEL: vmclone["metadata"]["uid"],
        "vmclone.dev/ordinal": str(replica["spec"]["ordinal"]),
    }


def reported(status: VMCloneReplicaStatus, decision: Decision, *, generation: int, now: str) -> VMCloneReplicaStatus:
    """Return the status with state, steps and readiness as the decision says."""
    writer = ConditionWriter(generation=generation, now=now)
    ready = decision.step is Step.READY
    state = Readiness(
        ready=ready,
        reason=decision.reason,
        message=decision.message,
        progress=Progress.SETTLED if ready else decision.progress,
        step=decision.step.value,
    )
    return status.model_copy(
        update={
            "observed_generation": generation,
            "state": _state(decision),
            "percent": decision.step.percent,
            "steps": advanced(status.steps, decision, now=now),
            "conditions": writer.put_readiness(status.conditions, state),
        }
    )


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
            result.append(old.model_copy(update={"state": "Done", "completion_time": done, "message": ""}))
        elif step is decision.step:
            result.append(_current(old, decision))
    return tuple(result)


def _current(old: StepStatus, decision: Decision) -> StepStatus:
    stalled = decision.progress is Progress.STALLED
    attempt = old.attempt + (1 if stalled and old.state != "Failed" else 0)
    return old.model_copy(
        update={
            "state": "Failed" if stalled else "Running",
            "completion_time": "",
            "attempt": attempt,
            "message": printable(decision.message, 256),
        }
    )
