"""A live view: one line whenever something moves, so that it reads the same on a terminal and in a log."""

from __future__ import annotations

import time

from vmclone_demo.cluster import changes


def follow(namespace: str, name: str, *, deadline_seconds: float) -> None:
    """Show a VMClone's summary until it is Ready; raises SystemExit with its conditions when it takes too long."""
    started, last, status = time.monotonic(), "", {}
    for document in changes("vmclones", namespace, name, seconds=int(deadline_seconds)):
        status = document.get("status", {})
        percent = status.get("progress", {}).get("percent", 0)
        line = f"{percent:3d} %  {status.get('summary', 'not seen yet')}"
        if line != last:
            print(f"  {time.monotonic() - started:5.1f} s  {line}")
            last = line
        if _ready(document):
            return
    conditions = [f"{c['type']}={c['status']} {c['reason']}: {c['message']}" for c in status.get("conditions", [])]
    raise SystemExit("not Ready in time:\n" + "\n".join(conditions))


def _ready(document: dict[str, dict[str, object]]) -> bool:
    status = document.get("status", {})
    conditions = status.get("conditions", [])
    current = status.get("observedGeneration") == document["metadata"]["generation"]
    return bool(
        current
        and isinstance(conditions, list)
        and any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    )
