"""What a terminal shows of a VMClone: plain lines, and the cells of a live table. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vmclone_kubectl import documents
from vmclone_kubectl.documents import Document
from vmclone_kubectl.fixes import explain, page
from vmclone_kubectl.why import Finding

_MINUTE = 60
_HOUR = 60 * _MINUTE
_MEBIBYTE = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaLine:
    """One replica: what people look for in a list."""

    session: str
    state: str
    percent: int
    address: str
    note: str
    """What it waits for: place in the queue, seconds left, speed, or its message."""


def headline(vmclone: Document) -> str:
    """Return the VMClone in one line."""
    status = documents.status(vmclone)
    percent = (status.get("progress") or {}).get("percent", 0)
    text = f"{documents.name(vmclone)}: {status.get('summary') or 'not seen yet'} ({percent} %)"
    ready = documents.condition(vmclone, "Ready")
    if ready is None or ready.status or ready.reason in text:
        return text
    return f"{text} {ready.reason}"


def replica_lines(vmclone: Document, replicas: Sequence[Document]) -> list[ReplicaLine]:
    """Return a line for each replica; those that only the VMClone knows of have their row."""
    known = {int(replica["spec"]["ordinal"]): replica for replica in replicas}
    rows = documents.status(vmclone).get("replicaStatuses", ())
    return [_line(row, known.get(int(row["ordinal"]))) for row in rows]


def _line(row: Document, replica: Document | None) -> ReplicaLine:
    step = None if replica is None else documents.current_step(replica)
    return ReplicaLine(
        session=row.get("session", ""),
        state=row.get("state", ""),
        percent=int(row.get("percent", 0)),
        address=row.get("address", ""),
        note=step_note(step) or row.get("message", ""),
    )


def step_note(step: Document | None) -> str:
    """Return what there is to say of a running step: queue place, bytes, speed and seconds left."""
    if step is None:
        return ""
    parts = []
    if place := step.get("queuePosition"):
        parts.append(f"place {place} in the queue")
    if total := step.get("totalBytes"):
        parts.append(f"{_mebibytes(step.get('doneBytes', 0))} of {_mebibytes(total)}")
    if left := step.get("etaSeconds"):
        remaining = step.get("totalBytes", 0) - step.get("doneBytes", 0)
        parts += [f"{remaining / left / _MEBIBYTE:.1f} MiB/s"] if remaining > 0 else []
        parts.append(f"{duration(left)} left")
    if message := step.get("message"):
        parts.append(message)
    return ", ".join(parts)


def table(lines: Sequence[ReplicaLine]) -> Iterator[str]:
    """Return the lines as columns of plain text, for pipes and logs."""
    head = ("SESSION", "STATE", "PROGRESS", "ADDRESS", "NOTE")
    rows = [(line.session, line.state, f"{line.percent} %", line.address or "-", line.note) for line in lines]
    return columns(head, rows)


def columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Return a head and rows of as many cells as lines of plain text, each column as wide as its longest cell."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    for row in (head, *rows):
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def finding_lines(found: Sequence[Finding], site: str = "") -> Iterator[str]:
    """Return what `why` prints: the cause, its remedy and its page, then what follows from it.

    `site` is the address at which the documentation is served.
    """
    for number, finding in enumerate(found):
        reason = f" {finding.reason}" if finding.reason else ""
        yield f"{'cause' if number == 0 else 'then '}  {finding.where}:{reason}"
        yield f"       {finding.message}"
        if number == 0 or finding.remedy != found[number - 1].remedy:
            yield f"       What to do: {finding.remedy}"
            if where := page(finding.reason, site):
                yield f"       More: {where}"


def reason_lines(reason: str, site: str = "") -> Iterator[str]:
    """Return what `explain` prints: what a reason means, what to do, and where to read it."""
    said = explain(reason)
    yield reason
    yield f"       {said.meaning}"
    yield f"       What to do: {said.remedy}"
    yield f"       More: {page(reason, site)}"


def plan_lines(vmclone: Document, *, approvable: bool = True) -> Iterator[str]:
    """Return what is about to be done, what it costs, what speaks against it, and the hash if it can be approved."""
    plan = documents.status(vmclone).get("plan") or {}
    actions = plan.get("actions", ())
    if not actions and not plan.get("blockers"):
        yield "nothing to do"
        return
    for action in actions:
        yield f"{action['op']} {action['replica']} ({action['why']})"
    estimate = plan.get("estimate") or {}
    if estimate.get("bytes") or estimate.get("seconds"):
        yield f"about {_mebibytes(estimate.get('bytes', 0))} and {duration(estimate.get('seconds', 0))}"
    parts = [_part(one) for one in estimate.get("resources", ())]
    if parts:
        yield f"each clone is {', '.join(parts)}"
    for blocker in plan.get("blockers", ()):
        yield f"against it: {blocker}"
    if approvable and plan.get("hash"):
        yield f"hash {plan['hash']}"


def _part(resource: Document) -> str:
    """Return one kind of what a clone is made of: 2 x Disk Premium_LRS 32 GiB."""
    count = int(resource.get("count", 1))
    named = " ".join(filter(None, (str(resource["kind"]), str(resource.get("size", "")))))
    return f"{count} x {named}" if count > 1 else named


def duration(seconds: int) -> str:
    """Return seconds as people say them: 45 s, 3 min, 2 h 5 min."""
    if seconds < _MINUTE:
        return f"{seconds} s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE} min"
    return f"{seconds // _HOUR} h {seconds % _HOUR // _MINUTE} min"


def _mebibytes(size: int) -> str:
    return f"{size / _MEBIBYTE:.0f} MiB"
