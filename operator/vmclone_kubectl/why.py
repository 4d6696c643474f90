"""Finds out why a VMClone is not ready: the deepest cause first, because the others follow from it.

    VMClone dev        Ready=False   BackendUnreachable        <- follows
      CloneSource g    Ready=False   BackendUnreachable        <- follows
        CloneBackend   Reachable=False: no answer from 10.0.0.9 <- the cause, printed first

Pure: it is given the objects, or the sentence why an object could not be read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

from vmclone_kubectl import documents
from vmclone_kubectl.documents import Document
from vmclone_kubectl.fixes import explain


class Depth(IntEnum):
    """How near to the cause an object is; the highest is printed first."""

    VMCLONE = 1
    REPLICA = 2
    STEP = 3
    SOURCE = 4
    BACKEND = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong, and what to do about it."""

    depth: Depth
    where: str
    reason: str
    message: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """An object that this person may not read, or that is not there."""

    depth: Depth
    where: str
    problem: str
    remedy: str


Looked = Document | Unreadable | None
"""An object, why it could not be read, or that there is none to look at."""


def findings(vmclone: Document, replicas: Sequence[Document], source: Looked, backend: Looked) -> list[Finding]:
    """Return everything that is wrong, the deepest cause first, each reason and place once."""
    found = [
        *_of(backend, "CloneBackend", Depth.BACKEND),
        *_of(source, "CloneSource", Depth.SOURCE),
        *(finding for replica in replicas for finding in _of_replica(replica)),
        *_of(vmclone, "VMClone", Depth.VMCLONE),
    ]
    once = {(finding.where, finding.reason, finding.message): finding for finding in found}
    return sorted(once.values(), key=lambda finding: -finding.depth)


def _of(looked: Looked, kind: str, depth: Depth) -> Iterator[Finding]:
    if looked is None:
        return
    if isinstance(looked, Unreadable):
        yield Finding(depth=looked.depth, where=looked.where, reason="", message=looked.problem, remedy=looked.remedy)
        return
    where = f"{kind} {documents.name(looked)}"
    for condition in documents.conditions(looked):
        if condition.troubles or (condition.kind == "Deleting" and condition.status):
            remedy = explain(condition.reason).remedy
            yield Finding(depth=depth, where=where, reason=condition.reason, message=condition.message, remedy=remedy)


def _of_replica(replica: Document) -> Iterator[Finding]:
    yield from _of(replica, "VMCloneReplica", Depth.REPLICA)
    step = documents.current_step(replica)
    if step is None or not step.get("message") or step.get("state") not in {"Failed", "Waiting"}:
        return
    ready = documents.condition(replica, "Ready")
    reason = "" if ready is None else ready.reason
    where = f"VMCloneReplica {documents.name(replica)}, step {step['name']}"
    yield Finding(depth=Depth.STEP, where=where, reason=reason, message=step["message"], remedy=explain(reason).remedy)
