"""What a VMClone says of itself: rows, counts, one line for people, and its row of the truth table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from vmclone_operator.api.replica import VMCloneReplicaStatus
from vmclone_operator.api.vmclone import ReplicaRow
from vmclone_operator.domain import naming
from vmclone_operator.domain.conditions import Progress, Readiness, find, is_true, printable
from vmclone_operator.domain.steps import Blocker, Step

_WHY = 120
"""How many characters of a message the STATUS column shows."""


@dataclass(frozen=True, kw_only=True)
class ReplicaReport:
    """One replica as its VMClone reports it; what it says is found out once, for several lines ask for it."""

    ordinal: int
    session: str
    uid: str
    """Of the replica that its VM was made for."""
    deleting: bool
    status: VMCloneReplicaStatus
    current: bool = True
    """It was made from the template as it is now."""

    @cached_property
    def ready(self) -> bool:
        """Return whether the replica is Ready and stays."""
        return not self.deleting and is_true(self.status.conditions, "Ready")

    @cached_property
    def stalled(self) -> bool:
        """Return whether the replica needs a person."""
        return not self.deleting and is_true(self.status.conditions, "Stalled") and self.status.state != "Paused"

    @cached_property
    def failing(self) -> bool:
        """Return whether its last attempt at a step failed, whoever has to do something about it."""
        paused = self.status.state == "Paused"
        return not self.deleting and not paused and any(step.state == "Failed" for step in self.status.steps)

    @property
    def _has_vm(self) -> bool:
        """Return whether its VM is reserved or there; an adopted one, or one whose status was wiped, has no intent."""
        return self.status.intent is not None or bool(self.status.external_id)

    @cached_property
    def row(self) -> ReplicaRow:
        """The replica's row in `status.replicaStatuses`."""
        condition = find(self.status.conditions, "Ready")
        told = condition if condition is not None and not self.ready else None
        guest = self.status.guest
        return ReplicaRow(
            ordinal=self.ordinal,
            name=naming.vm_name(self.session, self.uid) if self._has_vm else "",
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
            state = report.row.state
            states[state] = states.get(state, 0) + 1
    parts += [f"{count} {_told(reports, state)}" for state, count in states.items()]
    outdated = sum(not r.current for r in reports)
    parts += [f"{outdated} of an older template"] if outdated else []
    return ", ".join(parts)


def status_line(line: str, state: Readiness, *, blocker: Blocker | None) -> str:
    """Return the line of the STATUS column: what is there, and why there is no more, such as `0/1 ready: Paused`."""
    if state.ready or (blocker is None and state.progress is not Progress.STALLED):
        return line
    if blocker is None or state.reason != blocker.reason:
        return f"{line}: {state.reason}"
    return f"{line}: {state.reason}, {printable(blocker.message, _WHY)}"


def _told(reports: Sequence[ReplicaReport], state: str) -> str:
    """Return a state as people read it; a home copy says how far it is."""
    if state != Step.HOME_COPY.value:
        return state
    copies = [s for r in reports for s in r.status.steps if s.name == state and s.state == "Running"]
    running = [step.percent for step in copies if not step.queue_position]
    return f"copying {sum(running) // len(running)}%" if running else "waiting to copy"


def overall_percent(reports: Sequence[ReplicaReport], *, wanted: int) -> int:
    """Return how far all wanted replicas are together, 0 to 100."""
    if wanted == 0:
        return 100
    alive = sorted((r.status.percent for r in reports if not r.deleting), reverse=True)
    return sum(alive[:wanted]) // wanted


def seconds_of_copies(reports: Sequence[ReplicaReport]) -> int:
    """Return when the home copies that run will all be done, as far as they know."""
    steps = (s for r in reports if not r.deleting for s in r.status.steps if not s.completion_time)
    return max((step.eta_seconds for step in steps if step.state == "Running"), default=0)


def bytes_of_copies(reports: Sequence[ReplicaReport]) -> tuple[int, int]:
    """Return how many bytes of how many the first home copies have carried over that are done or run."""
    told = [_bytes_of_copy(r.status) for r in reports if not r.deleting]
    return sum(done for done, _ in told), sum(total for _, total in told)


def _bytes_of_copy(status: VMCloneReplicaStatus) -> tuple[int, int]:
    receipt = status.home_copy
    if receipt is not None and receipt.completion_time:
        return receipt.bytes, receipt.bytes
    steps = [s for s in status.steps if s.name == Step.HOME_COPY.value and s.state == "Running"]
    return sum(s.done_bytes for s in steps), sum(s.total_bytes for s in steps)


PLANNED_ONLY = frozenset({"Blocked", "InsufficientSpace", "CapabilityMissing", "SecretNotReadable", "ImageNotFound"})
"""What a dry run is there to find out: it is done when it has."""


def readiness(
    reports: Sequence[ReplicaReport],
    *,
    wanted: int,
    paused: bool,
    blocker: Blocker | None,
    replaces: bool = False,
    expired: str = "",
    dry_run: str = "",
) -> Readiness:
    """Return the VMClone's row of the truth table.

    `replaces`: replicas of an older template are being replaced, so they are not what is wanted. `expired` says
    when its time was over, `dry_run` what a wish that is only planned comes to.
    """
    if dry_run and (blocker is None or blocker.reason in PLANNED_ONLY):
        return Readiness(ready=True, reason="DryRun", message=dry_run, progress=Progress.SETTLED)
    ready = min(sum(r.ready for r in reports), wanted)
    outdated = replaces and any(not r.current for r in reports)
    if ready == wanted and len(reports) == wanted and not outdated:
        return _settled(wanted, expired)
    if paused:
        message = f"paused with {ready} of {wanted} ready; set spec.paused to false to go on"
        return Readiness(ready=False, reason="Paused", message=message, progress=Progress.STALLED)
    if blocker is not None:
        progress = Progress.WORKING if blocker.retrying else Progress.STALLED
        return Readiness(
            ready=False, reason=blocker.reason, message=blocker.message, progress=progress, step=blocker.reason
        )
    if outdated and ready == wanted == len(reports):
        message = f"{wanted} of {wanted} replicas are ready, {sum(not r.current for r in reports)} of an older template"
        return Readiness(
            ready=False, reason="Progressing", message=message, progress=Progress.WORKING, step="Replacing"
        )
    return _unfinished(reports, ready=ready, wanted=wanted)


def _settled(wanted: int, expired: str) -> Readiness:
    reason, message = "AllReady", f"{wanted} of {wanted} replicas are ready"
    if expired:
        reason, message = "Expired", expired
    elif not wanted:
        reason, message = "ScaledToZero", "no replicas are wanted"
    return Readiness(ready=True, reason=reason, message=message, progress=Progress.SETTLED)


def _unfinished(reports: Sequence[ReplicaReport], *, ready: int, wanted: int) -> Readiness:
    failing = [r for r in reports if r.failing and not r.ready]
    working = [r for r in reports if not r.ready and not r.failing]
    short = f"{ready} of {wanted} replicas are ready"
    if not failing:
        step = min((r.row.state for r in working), default="Reserve", key=_order)
        return Readiness(ready=False, reason="Progressing", message=short, progress=Progress.WORKING, step=step)
    told = f"{short}; " + "; ".join(f"{r.session}: {r.row.message}" for r in failing[:3])
    reason = "AllFailed" if len(failing) == wanted else "PartialFailure"
    if working or len(reports) < wanted or not all(r.stalled for r in failing):
        return Readiness(ready=False, reason=reason, message=told, progress=Progress.WORKING, step="Retrying")
    reasons = {r.row.reason for r in failing}
    return Readiness(
        ready=False, reason=reasons.pop() if len(reasons) == 1 else reason, message=told, progress=Progress.STALLED
    )


def _order(state: str) -> int:
    order = (*(step.value for step in Step if step is not Step.READY), "Deleting")
    return order.index(state) if state in order else len(order)
