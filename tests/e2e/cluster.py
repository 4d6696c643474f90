"""kubectl as a team types it, and waits that end: past its deadline a wait tells what objects and operator said."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from tests.support import cluster_cli
from tests.support.cluster_cli import kubectl

from vmclone_lab.layout import Layout

Document = dict[str, Any]
Answer = TypeVar("Answer")

NAMESPACE = "team-a"
VMCLONES = "vmclones.vmclone.dev"
REPLICAS = "vmclonereplicas.vmclone.dev"
_LOG_LINES = 30


def log_path() -> Path:
    """Return the log of our own operator; the lab keeps it with its own."""
    return Layout.from_environment(os.environ).logs / "operator.log"


def apply(*documents: Document) -> None:
    bundle = {"apiVersion": "v1", "kind": "List", "items": list(documents)}
    kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", given=json.dumps(bundle))


def find(plural: str, name: str) -> Document | None:
    text = kubectl("-n", NAMESPACE, "get", plural, name, "--ignore-not-found", "-o", "json")
    return dict(json.loads(text)) if text.strip() else None


def get(plural: str, name: str) -> Document:
    document = find(plural, name)
    assert document is not None, f"{plural} {name} is not there"
    return document


def replicas_of(name: str) -> list[Document]:
    """Return the replicas of a VMClone, lowest ordinal first."""
    text = kubectl("-n", NAMESPACE, "get", REPLICAS, "-l", f"vmclone.dev/vmclone={name}", "-o", "json")
    found: list[Document] = json.loads(text)["items"]
    return sorted(found, key=lambda document: int(document["spec"]["ordinal"]))


def names_of_vmclones() -> list[str]:
    items = json.loads(kubectl("-n", NAMESPACE, "get", VMCLONES, "-o", "json"))["items"]
    return [item["metadata"]["name"] for item in items]


def delete(name: str) -> None:
    """Delete a VMClone and do not wait."""
    kubectl("-n", NAMESPACE, "delete", VMCLONES, name, "--wait=false", "--ignore-not-found")


def condition(document: Document | None, kind: str) -> Document:
    """Return one condition; empty while it is not there."""
    listed = ((document or {}).get("status") or {}).get("conditions") or []
    return next((dict(entry) for entry in listed if entry["type"] == kind), {})


def is_ready(document: Document | None) -> bool:
    """Tell whether the newest generation is Ready."""
    if document is None or document["status"].get("observedGeneration") != document["metadata"]["generation"]:
        return False
    return condition(document, "Ready").get("status") == "True"


def state_of(document: Document) -> str:
    return str((document.get("status") or {}).get("state", ""))


def wait_until(what: str, question: Callable[[], Answer], seconds: float, *, pause: float = 0.5) -> Answer:
    """Ask until the answer is truthy; past the deadline fail with everything that explains why."""
    return cluster_cli.wait_until(what, question, seconds, pause=pause, explain=explanation)


def wait_ready(name: str, seconds: float) -> Document:
    def ready() -> Document | None:
        document = find(VMCLONES, name)
        return document if document and document.get("status") and is_ready(document) else None

    document = wait_until(f"VMClone {name} Ready", ready, seconds, pause=1)
    assert document is not None
    return document


def explanation() -> str:
    """Return the conditions of every VMClone and replica, and the end of the operator's log."""
    lines = []
    for item in json.loads(kubectl("-n", NAMESPACE, "get", f"{VMCLONES},{REPLICAS}", "-o", "json"))["items"]:
        meta, status = item["metadata"], item.get("status") or {}
        deleting = " (being deleted)" if meta.get("deletionTimestamp") else ""
        lines.append(f"{item['kind']} {meta['namespace']}/{meta['name']}{deleting} {status.get('state', '')}")
        lines += [f"  {c['type']}={c['status']} {c['reason']}: {c['message']}" for c in status.get("conditions", [])]
    log = log_path()
    tail = log.read_text(errors="replace").splitlines()[-_LOG_LINES:] if log.exists() else ["no operator log"]
    return "\n".join([*lines, f"--- {log}", *tail])
