"""Tells how a copy goes on: one JSON line at every change, and the last one again while nothing changes.

A reader that sees no line for long cannot tell a copy that waits for a slow disk from one that is gone.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

PULSE_SECONDS = 5.0
"""A line comes at least this often; readers may rely on 10 seconds."""
_ENOUGH = 0.01
"""The share of the copy after which its speed says something about the rest."""


class Progress:
    """What is told of one copy, in every phase of it."""

    def __init__(
        self,
        write: Callable[[str], object] = sys.stdout.write,
        *,
        clock: Callable[[], float] = time.monotonic,
        pulse_seconds: float = PULSE_SECONDS,
    ) -> None:
        self._write, self._clock, self._pulse_seconds = write, clock, pulse_seconds
        self._last: Mapping[str, Any] = {}
        self._told_at = 0.0
        self._copying_since = 0.0
        self._share = 0.0
        self._lock = threading.Lock()
        self._over = threading.Event()

    def start(self) -> None:
        """Begin to repeat the last line in silence."""
        threading.Thread(target=self._repeat, daemon=True).start()

    def end(self) -> None:
        """Repeat nothing any more."""
        self._over.set()

    def tell(self, document: Mapping[str, Any]) -> None:
        """Write one line."""
        with self._lock:
            self._say(document)

    def copying(self, answer: Mapping[str, Any], counts: Mapping[str, Any]) -> None:
        """Tell what rsync has reached of what the scan counted; bytes are done when they are on the clone."""
        leg, legs = int(answer.get("leg", 0)), int(answer.get("legs", 1))
        done, total = int(answer.get("doneBytes", 0)), int(counts["bytes"])
        now = self._clock()
        self._copying_since = self._copying_since or now
        self._share = max(self._share, (leg + _share(answer, done, total)) / legs)
        document = {
            "phase": "Copying",
            "percent": min(99, int(100 * self._share)),
            "doneBytes": done if leg == legs - 1 else 0,
            "totalBytes": total,
            "files": int(answer.get("sentFiles", 0)),
            "totalFiles": int(counts["files"]),
        }
        if self._share >= _ENOUGH and now > self._copying_since:
            document["etaSeconds"] = int((now - self._copying_since) * (1 - self._share) / self._share)
        self.tell(document)

    def pulse(self) -> None:
        """Write the last line again if nothing was told for a while."""
        with self._lock:
            if self._last and self._clock() - self._told_at >= self._pulse_seconds:
                self._say(self._last)

    def _say(self, document: Mapping[str, Any]) -> None:
        self._last, self._told_at = document, self._clock()
        self._write(json.dumps(document, sort_keys=True) + "\n")
        sys.stdout.flush()

    def _repeat(self) -> None:
        while not self._over.wait(self._pulse_seconds / 5):
            self.pulse()


def _share(answer: Mapping[str, Any], done: int, total: int) -> float:
    """Return how much is reached, 0 to 1; while a resumed copy skips what is there, its entries say it."""
    by_bytes = done / total if total else 0.0
    entries = int(answer.get("entries", 0))
    by_entries = int(answer.get("checked", 0)) / entries if entries and not done else 0.0
    return min(1.0, max(by_bytes, by_entries))
