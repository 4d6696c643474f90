"""What a VMClone's status says, put together from its replicas' own. Pure: documents in, status out."""

from __future__ import annotations

from collections.abc import Sequence

from vmclone_operator.api.replica import VMCloneReplicaStatus
from vmclone_operator.api.vmclone import CopyStatus, FrozenPointStatus, ProgressStatus, VMCloneSpec, VMCloneStatus
from vmclone_operator.domain import summary
from vmclone_operator.domain.conditions import ConditionWriter, is_true, without
from vmclone_operator.domain.plan import Blocker
from vmclone_operator.domain.rollout import ReplicaView
from vmclone_operator.engine.cache import VMCLONE_UID_LABEL
from vmclone_operator.engine.context import annotation, is_deleting
from vmclone_operator.kube.cluster import Document


def summarised(
    vmclone: Document,
    replicas: Sequence[Document],
    status: VMCloneStatus,
    *,
    mode: str,
    blocker: Blocker | None,
    writer: ConditionWriter,
) -> VMCloneStatus:
    """Return the VMClone's status with counts, rows and conditions as its replicas stand."""
    spec = VMCloneSpec.model_validate(vmclone["spec"])
    reports, wanted = [_report(document) for document in replicas], spec.replicas
    state = summary.readiness(reports, wanted=wanted, paused=spec.paused, blocker=blocker)
    conditions = writer.put_readiness(status.conditions, state)
    word = blocker or Blocker(reason="SourceReady", message=f"CloneSource {spec.source.name} is granted")
    conditions = writer.put(conditions, "SourceReady", status=blocker is None, reason=word.reason, message=word.message)
    if spec.paused:
        conditions = writer.put(conditions, "Paused", status=True, reason="Paused", message="spec.paused is true")
    else:
        conditions = without(conditions, "Paused")
    return status.model_copy(
        update={
            "observed_generation": writer.generation,
            "last_handled_reconcile_at": annotation(vmclone, "reconcile-requested-at")[:128],
            "replicas": len(reports),
            "ready_replicas": sum(r.ready for r in reports),
            "failed_replicas": sum(r.stalled for r in reports),
            "selector": f"{VMCLONE_UID_LABEL}={vmclone['metadata']['uid']}",
            "summary": summary.summary_line(reports, wanted=wanted)[:253],
            "mode": mode or status.mode,
            "copy_": CopyStatus(requested=spec.disk.copy_, actual="Linked"),
            "progress": ProgressStatus(percent=summary.overall_percent(reports, wanted=wanted)),
            "frozen_points": _with_ordinals(status.frozen_points, [view_of(d) for d in replicas]),
            "replica_statuses": tuple(r.row() for r in reports),
            "conditions": conditions,
        }
    )


def view_of(document: Document) -> ReplicaView:
    """Return what the VMClone's decisions need to know of a replica."""
    status = VMCloneReplicaStatus.model_validate(document.get("status") or {})
    return ReplicaView(
        name=document["metadata"]["name"],
        ordinal=document["spec"]["ordinal"],
        uid=document["metadata"]["uid"],
        deleting=is_deleting(document),
        provisioned=is_true(status.conditions, "Provisioned"),
        missing=is_true(status.conditions, "Drifted"),
        frozen_point=status.intent.frozen_point if status.intent is not None else "",
    )


def _with_ordinals(points: Sequence[FrozenPointStatus], views: Sequence[ReplicaView]) -> tuple[FrozenPointStatus, ...]:
    return tuple(
        p.model_copy(update={"ordinals": tuple(v.ordinal for v in views if v.frozen_point == p.id)}) for p in points
    )


def _report(document: Document) -> summary.ReplicaReport:
    return summary.ReplicaReport(
        ordinal=document["spec"]["ordinal"],
        session=document["spec"]["session"],
        uid=document["metadata"]["uid"],
        deleting=is_deleting(document),
        status=VMCloneReplicaStatus.model_validate(document.get("status") or {}),
    )
