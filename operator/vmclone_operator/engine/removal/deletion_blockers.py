"""What holds up the removal of a VMClone, put together from its replicas. Pure: documents in, a sentence out.

People delete the VMClone, so it has to name what blocks: a backend that is away, a VM that is not ours, the finalizer
of somebody else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vmclone_operator.api import FINALIZER
from vmclone_operator.kube.cluster import Document

WAITING = "WaitingForReplica"
HELD = "HeldBy"
_NAMED = 3
_OF_KUBERNETES = frozenset({"foregroundDeletion", "orphan"})
"""Finalizers that the garbage collector takes off by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """How far the removal of a VMClone is, and what blocks it."""

    reason: str
    message: str
    blocked: bool = False
    """Somebody has to do something, or to wait for a backend that is away."""
    plain: bool = False
    """There is nothing to say but that it takes its time."""


def of_replicas(replicas: Sequence[Document]) -> Removal:
    """Return what the removal waits for, the first few blockers by name."""
    count = f"{len(replicas)} replicas are being removed" if len(replicas) != 1 else "1 replica is being removed"
    found = [(reason, text) for reason, text in map(_blocker, replicas) if text]
    blockers = [(reason, text) for reason, text in found if reason != WAITING]
    if not found:
        return Removal(reason=WAITING, message=count, plain=True)
    told = blockers or found
    more = f"; and {len(told) - _NAMED} more" if len(told) > _NAMED else ""
    message = f"{count}; {'; '.join(text for _, text in told[:_NAMED])}{more}"
    return Removal(reason=told[0][0], message=message, blocked=bool(blockers))


def foreign_finalizers(document: Document) -> tuple[str, ...]:
    """Return the finalizers of an object that are neither ours nor taken off by Kubernetes itself."""
    present = document["metadata"].get("finalizers") or []
    return tuple(f for f in present if f != FINALIZER and f not in _OF_KUBERNETES)


def held_by(finalizers: Sequence[str]) -> str:
    """Return who keeps an object of which we have nothing more to remove."""
    return f"is kept by the finalizer {', '.join(finalizers)}, which is not ours: whoever set it takes it off"


def _blocker(replica: Document) -> tuple[str, str]:
    """Return why a replica is still there, and the words for it; empty words while it is simply being removed."""
    meta = replica["metadata"]
    foreign = foreign_finalizers(replica)
    if FINALIZER not in (meta.get("finalizers") or []) and foreign:
        return HELD, f"{meta['name']} {held_by(foreign)}"
    conditions = (replica.get("status") or {}).get("conditions") or []
    told = next((c for c in conditions if c["type"] == "Deleting"), None)
    if told is None or not meta.get("deletionTimestamp"):
        return WAITING, ""
    if told["reason"] == "Removing":
        waits = str(told["message"]).startswith("waits for ")
        return WAITING, f"{meta['name']} {told['message']}" if waits else ""
    return str(told["reason"]), f"{meta['name']}: {told['message']}"
