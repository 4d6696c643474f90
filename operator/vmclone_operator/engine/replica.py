"""One VMCloneReplica as a pass sees it: the document, what is computed from it, and its status while it changes."""

from __future__ import annotations

from dataclasses import dataclass

from vmclone_operator.api import API_VERSION
from vmclone_operator.api.replica import StepStatus, VMCloneReplicaSpec, VMCloneReplicaStatus
from vmclone_operator.domain import naming
from vmclone_operator.domain.backend import CloneIntent, Seed, Stamp
from vmclone_operator.domain.conditions import ConditionWriter, Progress, Readiness, printable
from vmclone_operator.domain.plan import Decision, Step
from vmclone_operator.kube.cluster import Document, Key, Kind, key_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """A replica's document and everything that is computed, never stored: stamp, names, ids."""

    document: Document
    spec: VMCloneReplicaSpec
    stamp: Stamp

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
    """Read a replica; None when it does not say in both places that it belongs to one VMClone.

    A VMCloneReplica is not trusted because it exists: its controller must be the VMClone its spec names.
    """
    spec = VMCloneReplicaSpec.model_validate(document["spec"])
    owner = controller_of(document)
    if owner is None or owner["uid"] != spec.vm_clone_uid:
        return None
    meta = document["metadata"]
    stamp = Stamp(
        instance=instance,
        namespace=meta["namespace"],
        vmclone=owner["name"],
        vmclone_uid=spec.vm_clone_uid,
        ordinal=spec.ordinal,
        incarnation=meta["uid"],
    )
    return Replica(document=document, spec=spec, stamp=stamp)


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
    labels = {
        "app.kubernetes.io/name": "vmclone",
        "app.kubernetes.io/component": "replica",
        "app.kubernetes.io/part-of": "vmclone",
        "app.kubernetes.io/managed-by": "vmclone-operator",
        "vmclone.dev/vmclone": meta["name"],
        "vmclone.dev/vmclone-uid": meta["uid"],
        "vmclone.dev/ordinal": str(ordinal),
    }
    return {
        "metadata": {
            "namespace": meta["namespace"],
            "name": naming.replica_name(meta["name"], ordinal),
            "labels": labels,
            "ownerReferences": [owner],
        },
        "spec": {"ordinal": ordinal, "session": session, "vmCloneUID": meta["uid"], "backend": backend},
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
    failed = decision.progress is Progress.STALLED
    return status.model_copy(
        update={
            "observed_generation": generation,
            "state": "Failed" if failed else decision.step.value,
            "percent": decision.step.percent,
            "steps": advanced(status.steps, decision, now=now),
            "conditions": writer.put_readiness(status.conditions, state),
        }
    )


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
