"""Reads the objects of vmclone.dev: conditions, rows, steps. Pure; an absent field is empty, never an error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

GROUP = "vmclone.dev"
VMCLONES = f"vmclones.{GROUP}"
REPLICAS = f"vmclonereplicas.{GROUP}"
SOURCES = f"clonesources.{GROUP}"
BACKENDS = f"clonebackends.{GROUP}"
APPROVED_PLAN = f"{GROUP}/approved-plan"
RETRY_AT = f"{GROUP}/retry-at"
SYNC_REQUESTED_AT = f"{GROUP}/sync-requested-at"

_TRUE_IS_BAD = frozenset({"Stalled", "Drifted", "OrphansFound"})
_TRUE_IS_NEWS = frozenset({"Reconciling", "Paused", "Deleting", "Expired"})

Document = Mapping[str, Any]


class Verdict(Enum):
    """Where an object stands, by the same order as kstatus, which Helm and Flux wait with."""

    READY = "ready"
    WORKING = "working"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One condition, as the object has it."""

    kind: str
    status: bool
    reason: str
    message: str

    @property
    def troubles(self) -> bool:
        """Return whether it says that something is wrong: what should be True is not, or what should not be is."""
        if self.kind in _TRUE_IS_BAD:
            return self.status
        return not self.status and self.kind not in _TRUE_IS_NEWS


def conditions(document: Document) -> tuple[Condition, ...]:
    """Return the conditions of any of the four kinds."""
    rows = status(document).get("conditions", ())
    return tuple(
        Condition(
            kind=row["type"],
            status=row["status"] == "True",
            reason=row.get("reason", ""),
            message=row.get("message", ""),
        )
        for row in rows
    )


def condition(document: Document, kind: str) -> Condition | None:
    """Return the condition of that type, if the object has it."""
    return next((found for found in conditions(document) if found.kind == kind), None)


def status(document: Document) -> Document:
    """Return the status, empty when the operator has not seen the object."""
    found: Document = document.get("status") or {}
    return found


def name(document: Document) -> str:
    """Return metadata.name."""
    return str(document["metadata"]["name"])


def verdict(document: Document) -> Verdict:
    """Return where a VMClone stands; a status about an older generation says nothing of this one."""
    if document["metadata"].get("deletionTimestamp"):
        return Verdict.WORKING
    if status(document).get("observedGeneration", -1) != document["metadata"]["generation"]:
        return Verdict.WORKING
    if (stalled := condition(document, "Stalled")) is not None and stalled.status:
        return Verdict.FAILED
    ready = condition(document, "Ready")
    return Verdict.READY if ready is not None and ready.status else Verdict.WORKING


def belongs_to(replica: Document, vmclone: Document) -> bool:
    """Return whether a VMCloneReplica is one of this very VMClone, not of a former one of that name."""
    return bool(replica["spec"]["vmCloneUID"] == vmclone["metadata"]["uid"])


def replicas_of(vmclone: Document, replicas: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return its replicas in their order."""
    own = [replica for replica in replicas if belongs_to(replica, vmclone)]
    return sorted(own, key=lambda replica: int(replica["spec"]["ordinal"]))


def current_step(replica: Document) -> Document | None:
    """Return the step that a replica is in: the first that is not done."""
    steps = status(replica).get("steps", ())
    return next((step for step in steps if step.get("state") != "Done"), None)


def source_name(vmclone: Document) -> str:
    """Return the CloneSource that a VMClone names; empty when it clones another clone's session."""
    return str(vmclone["spec"]["source"].get("name", ""))


def first_address(replica: Document) -> str:
    """Return the address to reach a clone at, empty while it has none."""
    addresses = (status(replica).get("guest") or {}).get("addresses") or ("",)
    return str(addresses[0])
