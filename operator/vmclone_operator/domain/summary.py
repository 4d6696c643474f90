"""What a VMClone says of itself: rows, counts, one line for people, and its row of the truth table (api.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vmclone_operator.api.replica import VMCloneReplicaStatus
from vmclone_operator.api.vmclone import ReplicaRow
from vmclone_operator.domain import naming
from vmclone_operator.domain.conditions import Progress, Readiness, find, is_true, printable
from vmclone_operator.domain.plan import Blocker


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaReport:
    """One replica as its VMClone reports it."""

    ordinal: int
    session: str
    uid: str
    deleting: bool
    status: VMCloneReplicaStatus

    @property
    def ready(self) -> bool:
        """Return whether the replica is Ready and stays."""
        return not self.deleting and is_true(self.status.conditions, "Ready")

    @property
    def stalled(self) -> bool:
        """Return whether the replica needs a person."""
        return not self.deleting and is_true(self.status.conditions, "Stalled") and self.status.state != "Paused"

    def row(self) -> ReplicaRow:
        """Return the replica's short row."""
        condition = find(self.status.conditions, "Ready")
        told = condition if condition is not None and not self.ready else None
        guest = self.status.guest
        return ReplicaRow(
            ordinal=self.ordinal,
            name=naming.vm_name(self.session, self.uid) if self.status.intent is not None else "",
            session=self.session,
            state="Deleting" if self.deleting else self.status.state or "Reserve",
            address=guest.addresses[0] if guest is not None and guest.addresses else "",
            percent=self.status.percent,
            reason=told.reason if told is not None else "",
            message=printable(told.message, 256) if told is not None else "",
        )


def summary_line(reports: Sequence[ReplicaReport], *, wanted: int) -> str:
    """Return one line for people, such as `2/3 ready, 1 Boot`."""
    ready = sum(r.ready for r in reports)
    parts = [f"{ready}/{wanted} ready"]
    states: dict[str, int] = {}
    for report in reports:
        if not report.ready:
            state = report.row().state
            states[state] = states.get(state, 0) + 1
    parts += [f"{count} {state}" for state, count in states.items()]
    return ", ".join(parts)


def overall_percent(reports: Sequence[ReplicaReport], *, wanted: int) -> int:
    """Return how far all wanted replicas are together, 0 to 100."""
    if wanted == 0:
        return 100
    return sum(r.status.percent for r in reports if not r.deleting and r.ordinal <= wanted) // wanted


def readiness(reports: Sequence[ReplicaReport], *, wanted: int, paused: bool, blocker: Blocker | None) -> Readiness:
    """Return the VMClone's row of the truth table."""
    ready = sum(r.ready and r.ordinal <= wanted for r in reports)
    if ready == wanted and len(reports) == wanted:
        reason, message = (
            ("AllReady", f"{wanted} of {wanted} replicas are ready")
            if wanted
            else ("ScaledToZero", "no replicas are wanted")
        )
        return Readiness(ready=True, reason=reason, message=message, progress=Progress.SETTLED)
    if paused:
        message = f"paused with {ready} of {wanted} ready; set spec.paused to false to go on"
        return Readiness(ready=False, reason="Paused", message=message, progress=Progress.STALLED)
    if blocker is not None:
        progress = Progress.WORKING if blocker.retrying else Progress.STALLED
        return Readiness(
            ready=False, reason=blocker.reason, message=blocker.message, progress=progress, step=blocker.reason
        )
    return _unfinished(reports, ready=ready, wanted=wanted)


def _unfinished(reports: Sequence[ReplicaReport], *, ready: int, wanted: int) -> Readiness:
    stalled = [r for r in reports if r.stalled]
    working = [r for r in reports if not r.ready and not r.stalled]
    short = f"{ready} of {wanted} replicas are ready"
    if not stalled:
        step = min((r.row().state for r in working), default="Reserve", key=_order)
        return Readiness(ready=False, reason="Progressing", message=short, progress=Progress.WORKING, step=step)
    told = "; ".join(f"{r.session}: {r.row().message}" for r in stalled[:3])
    if working or len(reports) < wanted:
        return Readiness(
            ready=False, reason="PartialFailure", message=f"{short}; {told}", progress=Progress.WORKING, step="Retrying"
        )
    reasons = {r.row().reason for r in stalled}
    reason = reasons.pop() if len(reasons) == 1 else ("AllFailed" if ready == 0 else "PartialFailure")
    return Readiness(ready=False, reason=reason, message=f"{short}; {told}", progress=Progress.STALLED)


def _order(state: str) -> int:
    order = ("Reserve", "Freeze", "Clone", "Boot", "Identity", "Verify", "Deleting")
    return order.index(state) if state in order else len(order)
