"""The truth table of VMClone conditions: every state, the status our code gives it, what each reader must say.

A status comes from the operator's own code, never from hand-written conditions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from vmclone_operator.api.replica import VMCloneReplicaStatus
from vmclone_operator.api.vmclone import VMCloneStatus
from vmclone_operator.domain.backend import Shape
from vmclone_operator.domain.conditions import ConditionWriter, Progress, Readiness
from vmclone_operator.domain.drift import drift_of
from vmclone_operator.domain.plan import Situation, decide
from vmclone_operator.domain.steps import Blocker, Decision, Do, Step, stalled, wait
from vmclone_operator.engine.ledger.written import dumped
from vmclone_operator.engine.objects.replica import new_replica, reported
from vmclone_operator.engine.replica.drifting import noted
from vmclone_operator.engine.vmclone.clone_report import summarised
from vmclone_operator.kube.cluster import Document

NOW = "2026-01-01T00:00:00Z"
UID = "4f1d0000-0000-4000-8000-00000000000"
FINALIZER = "vmclone.dev/teardown"
BEFORE_NOW = "2025-12-30T00:00:00Z"

StatusOf = Callable[[Document], VMCloneStatus]


READY = Decision(do=Do.NOTHING, step=Step.READY, reason="Ready", message="ready", progress=Progress.SETTLED)
PAUSED = decide(Situation(incarnation=UID, paused=True))
BOOTING = wait(Step.BOOT, "Booting", "the clone boots", 5)
NO_AGENT = stalled(Step.BOOT, "GuestAgentMissing", "install the agent")
RECONFIGURED = drift_of(Shape(cpus=1), Shape(cpus=8), foreign="")
NO_SPACE = stalled(Step.CLONE, "CloneFailed", "no space left")
NOT_GRANTED = Blocker(reason="SourceNotGranted", message="ask the owner of the source")
NO_ROOM = Blocker(reason="Blocked", message="the pool has too little room")
UNAPPROVED = Blocker(reason="AwaitingApproval", message="set the annotation approved-plan", retrying=True)
UNREACHABLE = Blocker(reason="BackendUnreachable", message="no answer", retrying=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One state and its columns."""

    ready: str
    """Status and reason of the condition, as `kubectl get` would show it; empty when it is not there."""
    reconciling: str = ""
    stalled: str = ""
    kstatus: str
    argo_cd: str
    told: str = ""
    """What people must find in Argo CD's message."""
    status: StatusOf | None
    """None when the operator has never seen the object."""
    spec: Mapping[str, object] = field(default_factory=lambda: {"replicas": 2})
    changed: Mapping[str, object] = field(default_factory=dict)
    """The spec's change after the status was written."""
    deleting: bool = False

    @property
    def current(self) -> bool:
        """Return whether every wait for this object ends well."""
        return self.kstatus == "Current"

    @property
    def settles(self) -> bool:
        """Return whether Helm stops waiting by itself."""
        return self.kstatus in {"Current", "Failed"}


def counted(
    *decisions: Decision,
    blocker: Blocker | None = None,
    verdict: Blocker | None = None,
    removing: int = 0,
    drifted: int = 0,
    ready_since: str = "",
) -> StatusOf:
    """Return how the VMClone's pass sums up replicas in these states, the last being removed, the first drifted."""

    def status(vmclone: Document) -> VMCloneStatus:
        writer = ConditionWriter(generation=vmclone["metadata"]["generation"], now=NOW)
        replicas = [_replica(vmclone, n, decision) for n, decision in enumerate(decisions, start=1)]
        for document in replicas[:drifted]:
            known = VMCloneReplicaStatus.model_validate(document["status"])
            document["status"] = dumped(noted(known, RECONFIGURED, writer))
        for document in replicas[len(replicas) - removing :]:
            document["metadata"]["deletionTimestamp"] = NOW
        before = VMCloneStatus(ready_time=ready_since)
        return summarised(vmclone, replicas, before, mode="Disk", blocker=blocker, verdict=verdict, writer=writer)

    return status


def _replica(vmclone: Document, ordinal: int, decision: Decision) -> Document:
    document = new_replica(vmclone, ordinal=ordinal, session=f"dev-{ordinal}", backend="lab")
    document["metadata"]["uid"] = f"{UID}{ordinal}"
    document["status"] = dumped(reported(VMCloneReplicaStatus(), decision, generation=1, now=NOW))
    return document


def said(state: Readiness, *, of: StatusOf | None = None, **others: str) -> StatusOf:
    """Return how the writer puts this row, on top of another status if there is one, with other conditions True."""

    def status(vmclone: Document) -> VMCloneStatus:
        writer = ConditionWriter(generation=vmclone["metadata"]["generation"], now=NOW)
        before = VMCloneStatus() if of is None else of(vmclone)
        conditions = writer.put_readiness(before.conditions, state)
        for kind, reason in others.items():
            conditions = writer.put(conditions, kind, status=True, reason=reason, message=f"{kind} told")
        return before.model_copy(update={"observed_generation": writer.generation, "conditions": conditions})

    return status


def settled(reason: str) -> Readiness:
    return Readiness(ready=True, reason=reason, message=f"{reason} told", progress=Progress.SETTLED)


def working(reason: str, step: str) -> Readiness:
    return Readiness(ready=False, reason=reason, message=f"{reason} told", progress=Progress.WORKING, step=step)


DELETING = working("Deleting", "WaitingForReplica")
ALL_READY = counted(READY, READY)
DRY_RUN = {"replicas": 2, "plan": {"mode": "DryRun"}}
EXPIRING = {"replicas": 2, "expireAfter": "24h"}
PAUSED_SPEC = {"replicas": 2, "paused": True}


def in_progress(ready: str, reconciling: str, status: StatusOf, *, told: str = "") -> Row:
    return Row(
        ready=ready,
        reconciling=reconciling,
        kstatus="InProgress",
        argo_cd="Progressing",
        told=told or f"{reconciling}: ",
        status=status,
    )


def needs_a_person(reason: str, status: StatusOf) -> Row:
    return Row(
        ready=f"False/{reason}", stalled=reason, kstatus="Failed", argo_cd="Degraded", told=f"{reason}: ", status=status
    )


def current(reason: str, status: StatusOf, *, told: str = "", spec: Mapping[str, object] | None = None) -> Row:
    wanted = {"replicas": 2} if spec is None else spec
    return Row(ready=f"True/{reason}", kstatus="Current", argo_cd="Healthy", told=told, status=status, spec=wanted)


def deleting(before: StatusOf, spec: Mapping[str, object]) -> Row:
    return Row(
        ready="False/Deleting",
        reconciling="WaitingForReplica",
        kstatus="Terminating",
        argo_cd="Progressing",
        told="deleted",
        status=said(DELETING, of=before, Deleting="WaitingForReplica"),
        spec=spec,
        deleting=True,
    )


ROWS: Mapping[str, Row] = {
    "never seen": Row(ready="", kstatus="InProgress", argo_cd="Progressing", told="operator", status=None),
    "not seen since its change": Row(
        ready="True/AllReady",
        kstatus="InProgress",
        argo_cd="Progressing",
        told="operator",
        status=ALL_READY,
        changed={"replicas": 3},
    ),
    "working, nothing made yet": in_progress("False/Progressing", "Reserve", counted()),
    "working": in_progress("False/Progressing", "Boot", counted(READY, BOOTING)),
    "working, a home copy failed and is tried again": in_progress(
        "False/Progressing", "HomeCopy", counted(READY, wait(Step.HOME_COPY, "CopyFailed", "no answer", 60))
    ),
    "working, one too many is removed": in_progress(
        "False/Progressing", "Deleting", counted(READY, READY, READY, removing=1)
    ),
    "backend away, tried again": in_progress(
        "False/BackendUnreachable", "BackendUnreachable", counted(BOOTING, BOOTING, blocker=UNREACHABLE)
    ),
    "partly failed, the rest goes on": in_progress(
        "False/PartialFailure", "Retrying", counted(NO_AGENT, BOOTING), told="install the agent"
    ),
    "needs a person: not granted": needs_a_person("SourceNotGranted", counted(blocker=NOT_GRANTED)),
    "needs a person: one failed, the rest is ready": needs_a_person("GuestAgentMissing", counted(READY, NO_AGENT)),
    "needs a person: all failed alike": needs_a_person("GuestAgentMissing", counted(NO_AGENT, NO_AGENT)),
    "needs a person: all failed differently": needs_a_person("AllFailed", counted(NO_AGENT, NO_SPACE)),
    "all wanted replicas ready": current("AllReady", ALL_READY, told="2 of 2"),
    "paused, nothing to do": current("AllReady", ALL_READY, told="Paused: ", spec=PAUSED_SPEC),
    "paused, work pending": Row(
        ready="False/Paused",
        stalled="Paused",
        kstatus="Failed",
        argo_cd="Healthy",
        told="paused with 1 of 2 ready",
        status=counted(READY, PAUSED),
        spec=PAUSED_SPEC,
    ),
    "no replicas wanted": current("ScaledToZero", counted(), spec={"replicas": 0}),
    "dry run": current("DryRun", counted(), told="nothing is made", spec=DRY_RUN),
    "dry run with findings": current("DryRun", counted(verdict=NO_ROOM), told="nothing is made", spec=DRY_RUN),
    "expired": current("Expired", counted(ready_since=BEFORE_NOW), told="its clones expired at", spec=EXPIRING),
    "waits for approval": in_progress(
        "False/AwaitingApproval", "AwaitingApproval", counted(verdict=UNAPPROVED), told="approved-plan"
    ),
    "needs a person: the plan is blocked": needs_a_person("Blocked", counted(READY, verdict=NO_ROOM)),
    "drifted, policy Report": current(
        "AllReady", counted(READY, READY, drifted=1), told="Reconfigured: dev-1: the clone's VM was changed"
    ),
    "deleting": deleting(ALL_READY, {"replicas": 2}),
    "deleting while paused": deleting(ALL_READY, PAUSED_SPEC),
}
