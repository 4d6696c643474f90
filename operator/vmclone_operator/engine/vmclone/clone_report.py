"""What a VMClone's status says, put together from its replicas' own. Pure: documents in, status out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from vmclone_operator.api.base import Condition
from vmclone_operator.api.home import FilterStatus
from vmclone_operator.api.plan import PlanStatus
from vmclone_operator.api.replica import VMCloneReplicaStatus
from vmclone_operator.api.vmclone import FrozenPointStatus, ProgressStatus, VMCloneSpec, VMCloneStatus
from vmclone_operator.domain import summary
from vmclone_operator.domain.backend import DiskCopy, Mode
from vmclone_operator.domain.clocks import Clocks
from vmclone_operator.domain.conditions import ConditionWriter, find, is_true, without
from vmclone_operator.domain.drift import DriftKind
from vmclone_operator.domain.expiry import expiry_of
from vmclone_operator.domain.figures import differ_only_in_figures, only_bytes_moved
from vmclone_operator.domain.revision import is_current, revision_of
from vmclone_operator.domain.rollout import ReplicaView
from vmclone_operator.domain.steps import Blocker
from vmclone_operator.domain.vmclone_decision import PLAN_REASONS
from vmclone_operator.engine.context import annotation, stamp_time
from vmclone_operator.engine.objects.lineage import VMCLONE_UID_LABEL, incarnation_of, is_deleting
from vmclone_operator.engine.objects.parsed import MadeOnce, replica_status, vmclone_spec, vmclone_status
from vmclone_operator.engine.vmclone.wake_replicas import RECONCILE
from vmclone_operator.homecopy.filters import floor
from vmclone_operator.kube.cluster import Document

SKEWED = "ClockSkewed"


def summarised(
    vmclone: Document,
    replicas: Sequence[Document],
    status: VMCloneStatus,
    *,
    mode: str,
    blocker: Blocker | None,
    writer: ConditionWriter,
    verdict: Blocker | None = None,
    over: Blocker | None = None,
    clocks: Clocks | None = None,
) -> VMCloneStatus:
    """Return the VMClone's status with counts, rows and conditions as its replicas stand.

    `blocker` says why the source may not be used, `verdict` why the plan is not carried out, and `over` why some of
    the replicas are not made; that is all there is to say once the others are ready.
    """
    spec = vmclone_spec(vmclone)
    revision = revision_of(vmclone["spec"])
    reports = [_REPORTS.of(document, revision) for document in replicas]
    moment = datetime.fromisoformat(writer.now)
    clocks = clocks or Clocks(local=moment, server=moment)
    expired = _expired(spec, status, clocks)
    wanted = 0 if expired else spec.replicas
    state = summary.readiness(
        reports,
        wanted=wanted,
        paused=spec.paused,
        blocker=blocker or verdict or (over if all(report.ready for report in reports) else None),
        dry_run=_dry_run(spec, status),
        replaces=spec.rollout.update == "Recreate",
        expired=expired,
    )
    line = "expired" if expired and not reports else summary.summary_line(reports, wanted=wanted)
    conditions = writer.put_readiness(status.conditions, state)
    conditions = _while_true(conditions, writer, "Expired", expired)
    conditions = _while_true(conditions, writer, SKEWED, clocks.complaint() if spec.expire_after else "")
    conditions = _with_source_and_plan(conditions, spec, writer, blocker, verdict or over)
    conditions = _while_true(conditions, writer, "Paused", "spec.paused is true" if spec.paused else "")
    conditions = _drift_told(conditions, reports, writer)
    return status.model_copy(
        update={
            "observed_generation": writer.generation,
            "last_handled_reconcile_at": annotation(vmclone, RECONCILE)[:128],
            "replicas": len(reports),
            "ready_replicas": sum(r.ready for r in reports),
            "updated_replicas": sum(r.current and not r.deleting for r in reports),
            "ready_time": _ready_time(spec, status, conditions, now=stamp_time(clocks.latest)),
            "failed_replicas": sum(r.failing and not r.ready for r in reports),
            "selector": f"{VMCLONE_UID_LABEL}={vmclone['metadata']['uid']}",
            "summary": summary.status_line(line, state, blocker=blocker or verdict or over)[:253],
            "mode": mode or status.mode,
            "filter": _filter() if mode == Mode.CLEAN.value else status.filter,
            "progress": _progress(reports, wanted=wanted),
            "frozen_points": _with_ordinals(status.frozen_points, [view_of(d, revision) for d in replicas]),
            "replica_statuses": tuple(r.row for r in reports),
            "conditions": conditions,
        }
    )


def _while_true(
    conditions: Sequence[Condition], writer: ConditionWriter, kind: str, message: str
) -> tuple[Condition, ...]:
    """Return the conditions with one that is there only while there is something to say."""
    if not message:
        return without(conditions, kind)
    return writer.put(conditions, kind, status=True, reason=kind, message=message)


def _with_source_and_plan(
    conditions: Sequence[Condition],
    spec: VMCloneSpec,
    writer: ConditionWriter,
    blocker: Blocker | None,
    verdict: Blocker | None,
) -> tuple[Condition, ...]:
    """Return the conditions with SourceReady, and Planned: that is there while the source can be looked at."""
    if blocker is not None and blocker.reason in PLAN_REASONS:
        blocker, verdict = None, blocker
    word = blocker or Blocker(reason="SourceReady", message=_granted(spec))
    conditions = writer.put(conditions, "SourceReady", status=blocker is None, reason=word.reason, message=word.message)
    if blocker is not None:
        return conditions if blocker.retrying else without(conditions, "Planned")
    word = verdict or Blocker(reason="Planned", message="nothing speaks against status.plan")
    return writer.put(conditions, "Planned", status=verdict is None, reason=word.reason, message=word.message)


def _granted(spec: VMCloneSpec) -> str:
    if spec.source.session:
        return f"session {spec.source.session} may be cloned"
    return f"CloneSource {spec.source.name} is granted"


def is_no_news(vmclone: Document, after: VMCloneStatus, *, figures_due: Callable[[], bool]) -> bool:
    """Return whether a status differs from the one that is written in nothing that is worth a write now."""
    before = vmclone_status(vmclone)
    return only_bytes_moved(before, after) or (differ_only_in_figures(before, after) and not figures_due())


def only_steps_moved(vmclone: Document, after: VMCloneStatus) -> bool:
    """Return whether a status says nothing new but how far its replicas are: no condition turned, none came or went.

    A plan that was carried out goes by itself, with the write that comes next.
    """
    before = vmclone_status(vmclone)
    if not before.conditions:
        return False
    turned = [(c.type, c.status) for c in before.conditions] != [(c.type, c.status) for c in after.conditions]
    counts = ("ready_replicas", "failed_replicas", "replicas", "sessions", "observed_generation")
    moved = any(getattr(before, name) != getattr(after, name) for name in (*counts, "last_handled_reconcile_at"))
    moved = moved or before.plan != after.plan != PlanStatus()
    copying = any("copy" in row.state.lower() for row in after.replica_statuses)
    return not (turned or moved or copying)


def _dry_run(spec: VMCloneSpec, status: VMCloneStatus) -> str:
    """Return what a dry run found, empty for a wish that is meant."""
    if spec.plan.mode != "DryRun":
        return ""
    actions, blockers = len(status.plan.actions), len(status.plan.blockers)
    against = f", {blockers} blockers" if blockers else ""
    return f"dry run, nothing is made: {actions} actions{against} in status.plan"


def _progress(reports: Sequence[summary.ReplicaReport], *, wanted: int) -> ProgressStatus:
    percent, seconds = summary.overall_percent(reports, wanted=wanted), summary.seconds_of_copies(reports)
    done, total = summary.bytes_of_copies(reports)
    return ProgressStatus(percent=percent, eta_seconds=seconds, done_bytes=done, total_bytes=total)


def _filter() -> FilterStatus:
    return FilterStatus(version=floor().version, digest=floor().digest)


def _expired(spec: VMCloneSpec, status: VMCloneStatus, clocks: Clocks) -> str:
    """Return when its time was over and what to do, empty while it is not."""
    expiry = expiry_of(spec.expire_after, status.ready_time, clocks, before=is_true(status.conditions, "Expired"))
    if expiry is None or not expiry.expired:
        return ""
    return f"its clones expired at {stamp_time(expiry.at)}; raise or remove spec.expireAfter to have them made again"


def _ready_time(spec: VMCloneSpec, status: VMCloneStatus, conditions: Sequence[Condition], *, now: str) -> str:
    """Return when all were ready for the first time; told with the write that says so, or once it is asked for."""
    ready, before = find(conditions, "Ready"), find(status.conditions, "Ready")
    if status.ready_time or ready is None or ready.reason != "AllReady":
        return status.ready_time
    if before is None or before.status != "True":
        return now
    return before.last_transition_time if spec.expire_after else ""


def view_of(document: Document, revision: str) -> ReplicaView:
    """Return what the VMClone's decisions need to know of a replica; `revision` is that of the wish as it is now."""
    return _VIEWS.of(document, revision)


def _viewed(document: Document, revision: str) -> ReplicaView:
    status = replica_status(document)
    return ReplicaView(
        name=document["metadata"]["name"],
        ordinal=document["spec"]["ordinal"],
        uid=document["metadata"]["uid"],
        deleting=is_deleting(document),
        provisioned=is_true(status.conditions, "Provisioned") or bool(document["spec"].get("adopted")),
        missing=_drifted(status, DriftKind.MISSING),
        reconfigured=_drifted(status, DriftKind.RECONFIGURED),
        frozen_point=status.intent.frozen_point if status.intent is not None else "",
        independent=_independent(status),
        ready=is_true(status.conditions, "Ready"),
        current=is_current(document["spec"].get("revision", ""), revision),
        marked=annotation(document, "remove") == "true",
        created=document["metadata"].get("creationTimestamp", ""),
    )


def _independent(status: VMCloneReplicaStatus) -> bool:
    full = status.intent is not None and status.intent.copy_ == DiskCopy.FULL.value
    return full and is_true(status.conditions, "Provisioned")


def _drifted(status: VMCloneReplicaStatus, kind: DriftKind) -> bool:
    found = find(status.conditions, "Drifted")
    return found is not None and found.status == "True" and found.reason == kind


def _drift_told(
    conditions: tuple[Condition, ...], reports: Sequence[summary.ReplicaReport], writer: ConditionWriter
) -> tuple[Condition, ...]:
    """Return the conditions with that of the replicas that drifted, the first one's reason for all."""
    found = [(r.session, c) for r in reports if not r.deleting and (c := find(r.status.conditions, "Drifted"))]
    if not found:
        return without(conditions, "Drifted")
    message = "; ".join(f"{session}: {condition.message}" for session, condition in found[:3])
    return writer.put(conditions, "Drifted", status=True, reason=found[0][1].reason, message=message)


def _with_ordinals(points: Sequence[FrozenPointStatus], views: Sequence[ReplicaView]) -> tuple[FrozenPointStatus, ...]:
    ordinals: dict[str, list[int]] = {}
    for view in views:
        ordinals.setdefault(view.frozen_point, []).append(view.ordinal)
    return tuple(p.model_copy(update={"ordinals": tuple(ordinals.get(p.id, ()))}) for p in points)


def _reported(document: Document, revision: str) -> summary.ReplicaReport:
    return summary.ReplicaReport(
        ordinal=document["spec"]["ordinal"],
        session=document["spec"]["session"],
        uid=incarnation_of(document),
        deleting=is_deleting(document),
        status=replica_status(document),
        current=is_current(document["spec"].get("revision", ""), revision),
    )


_VIEWS = MadeOnce(_viewed)
_REPORTS = MadeOnce(_reported)
"""Both by replica and by the revision of the wish: of a hundred replicas a pass looks at those that have changed."""
