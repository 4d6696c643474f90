"""What the API server saw: the operator's writes and their times, from the lab's audit log."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

Entry = dict[str, Any]
_WRITES = ("create", "update", "patch", "delete", "deletecollection")
_OPERATOR = "vmclone-operator"


class AuditLog:
    """The audit log of the lab, read from any mark on."""

    def __init__(self, path: Path) -> None:
        """Know the file; nothing is read yet."""
        self._path = path

    def mark(self) -> int:
        """Return the present end."""
        return self._path.stat().st_size

    def writes(self, since: int, wanted: Callable[[Entry], bool]) -> list[Entry]:
        """Return the writes after a mark that are wanted, oldest first."""
        with self._path.open("rb") as file:
            file.seek(since)
            lines = file.read().split(b"\n")[:-1]
        entries = [json.loads(line) for line in lines if line.startswith(b"{")]
        return [entry for entry in entries if entry["verb"] in _WRITES and "objectRef" in entry and wanted(entry)]


def by_operator(entry: Entry) -> bool:
    return str(entry.get("userAgent", "")).startswith(_OPERATOR)


def is_on(entry: Entry, plural: str, name: str) -> bool:
    """Tell whether a request was about this object; `plural` may carry the group."""
    reference = entry["objectRef"]
    return bool(reference.get("resource") == plural.partition(".")[0] and reference.get("name") == name)


def received(entry: Entry) -> datetime:
    return datetime.fromisoformat(entry["requestReceivedTimestamp"])


def described(entry: Entry) -> str:
    reference = entry["objectRef"]
    parts = (reference.get(key, "") for key in ("resource", "subresource", "namespace", "name"))
    return f"{entry['requestReceivedTimestamp']} {entry['verb']} {'/'.join(parts)}"
