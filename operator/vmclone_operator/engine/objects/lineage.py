"""Whose is whose, read from the documents as they stand: parents, owners, incarnations, states. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vmclone_operator.domain import naming
from vmclone_operator.domain.steps import WAITING
from vmclone_operator.kube.cluster import Document

VMCLONE_UID_LABEL = "vmclone.dev/vmclone-uid"
_UNDER_WAY = frozenset({"Clone", "Boot", "Identity", "Verify"})


def uid_of(document: Document) -> str:
    """Return an object's uid."""
    uid: str = document["metadata"]["uid"]
    return uid


def owner_uid(replica: Mapping[str, object]) -> str:
    """Return the uid of the VMClone that a replica says it belongs to."""
    spec = replica.get("spec")
    return str(spec.get("vmCloneUID", "")) if isinstance(spec, Mapping) else ""


def parent_name(replica: Document) -> str:
    """Return the name of the VMClone that a replica was made for: its own is `<vmclone>-<ordinal>`."""
    name: str = replica["metadata"]["name"]
    return name.removesuffix(f"-{replica['spec']['ordinal']}")


def incarnation_of(replica: Mapping[str, Any]) -> str:
    """Return the incarnation of a replica's VM: its own uid, or that of the replica whose VM it adopted."""
    adopted = replica["spec"].get("adopted") or {}
    return str(adopted.get("incarnation") or replica["metadata"]["uid"])


def is_deleting(document: Document) -> bool:
    """Return whether somebody asked for the object's deletion."""
    return bool(document["metadata"].get("deletionTimestamp"))


def is_ready(document: Document) -> bool:
    """Return whether an object says that it is ready."""
    conditions = (document.get("status") or {}).get("conditions") or []
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def is_under_way(replica: Document) -> bool:
    """Return whether a replica holds a slot: its clone is being made and is not ready yet.

    A home copy holds none: copies have a queue of their own, and the clone is usable meanwhile.
    """
    status = replica.get("status") or {}
    if status.get("state", "") not in _UNDER_WAY or is_deleting(replica):
        return False
    return not any(step["name"] == "Clone" and step["state"] == WAITING for step in status.get("steps") or ())


def is_copying(replica: Document) -> bool:
    """Return whether a replica has a home copy that runs or waits."""
    status = replica.get("status") or {}
    open_steps = (s for s in status.get("steps") or [] if s["name"] == "HomeCopy" and not s.get("completionTime"))
    return bool(status.get("operation")) or any(True for _ in open_steps)


def made_at(document: Document) -> str:
    """Return the CloneBackend where a replica has its VM, or a VMClone its frozen points; empty if nothing says so."""
    told = (document.get("status") or {}).get("source") or {}
    named = (document.get("spec") or {}).get("backend") or told.get("backend") or ""
    return str(named.get("name", "") if isinstance(named, Mapping) else named)


def addresses_of(replica: Document) -> tuple[str, ...]:
    """Return the addresses that the guest of a replica was seen with."""
    return tuple(dict.fromkeys(((replica.get("status") or {}).get("guest") or {}).get("addresses") or ()))


def order_of(document: Document) -> tuple[str, str]:
    """Return the place of an object in a line: who was made first goes first, of two of one second by uid."""
    return document["metadata"].get("creationTimestamp", ""), uid_of(document)


def named_session(vmclone: Document) -> str:
    """Return the session that a VMClone clones; empty when it clones a CloneSource."""
    return str((vmclone["spec"].get("source") or {}).get("session") or "")


def named_source(vmclone: Document) -> str:
    """Return the CloneSource that a VMClone names, or that it was found to come from; empty when nothing says so."""
    told = (vmclone.get("status") or {}).get("source") or {}
    return str((vmclone["spec"].get("source") or {}).get("name") or told.get("cloneSource") or "")


def sessions_of(vmclone: Document) -> dict[int, tuple[str, bool]]:
    """Return the sessions that a VMClone has and wishes for by ordinal, and whether each is recorded."""
    recorded = {row["ordinal"]: row["session"] for row in (vmclone.get("status") or {}).get("sessions") or ()}
    spec = vmclone["spec"]
    prefix = spec.get("sessionPrefix") or vmclone["metadata"]["name"]
    wanted = naming.assign_sessions(recorded, prefix=prefix, replicas=spec.get("replicas", 1))
    return {ordinal: (session, ordinal in recorded) for ordinal, session in wanted.items()}


def copied_sources(vmclone: Document) -> Iterator[tuple[str, str]]:
    """Yield backend (empty when it was not told) and id of each source that is being copied for a frozen point."""
    status = vmclone.get("status") or {}
    for point in status.get("frozenPoints") or ():
        if point.get("frozenTime") and not point.get("completionTime"):
            yield str((status.get("source") or {}).get("backend") or ""), str(point.get("sourceID") or "")
