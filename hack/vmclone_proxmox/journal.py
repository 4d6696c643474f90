"""Which calls a step made: counted by endpoint, ids taken out."""

from __future__ import annotations

import re
from collections import Counter

_IDS = (
    (re.compile(r"UPID(:|%3A)[^/]+"), "{upid}"),
    (re.compile(r"(?<=/qemu/)\d+"), "{vmid}"),
    (re.compile(r"(?<=/nodes/)[^/]+"), "{node}"),
    (re.compile(r"(?<=/storage/)[^/]+"), "{storage}"),
    (re.compile(r"(?<=/content/)[^/]+"), "{volume}"),
)


_OK = 200


class Journal:
    """Notes requests."""

    def __init__(self) -> None:
        self._calls: Counter[str] = Counter()
        self.total = 0

    def note(self, method: str, path: str, status: int) -> None:
        """Note one request with its status; 0: no answer."""
        for pattern, name in _IDS:
            path = pattern.sub(name, path)
        said = "" if status == _OK else f"  -> {status or 'no answer'}"
        self._calls[f"{method} {path}{said}"] += 1
        self.total += 1

    def taken(self) -> list[str]:
        """Return the calls since the last time, the first first, each with how often."""
        lines = [f"{call}{f'  x{count}' if count > 1 else ''}" for call, count in self._calls.items()]
        self._calls.clear()
        return lines
