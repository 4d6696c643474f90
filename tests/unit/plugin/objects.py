"""Objects of the API for tables about the plugin, as the operator writes them."""

from __future__ import annotations

from typing import Any


def condition(kind: str, status: str, reason: str, message: str = "") -> dict[str, str]:
    return {"type": kind, "status": status, "reason": reason, "message": message or f"{reason} told"}


def vmclone(*conditions: dict[str, str], generation: int = 1, seen: int = 1, **status: Any) -> dict[str, Any]:
    return {
        "kind": "VMClone",
        "metadata": {"name": "dev", "uid": "u-1", "generation": generation},
        "spec": {"source": {"name": "golden"}, "replicas": 2},
        "status": {"observedGeneration": seen, "conditions": list(conditions), **status},
    }


def replica(ordinal: int, *conditions: dict[str, str], owner: str = "u-1", **status: Any) -> dict[str, Any]:
    return {
        "kind": "VMCloneReplica",
        "metadata": {"name": f"dev-{ordinal}", "uid": f"r-{ordinal}"},
        "spec": {"ordinal": ordinal, "session": f"dev-{ordinal}", "vmCloneUID": owner, "backend": "lab"},
        "status": {"conditions": list(conditions), **status},
    }


def platform(kind: str, name: str, *conditions: dict[str, str]) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": name}, "spec": {}, "status": {"conditions": list(conditions)}}
