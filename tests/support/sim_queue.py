"""The work queue of a simulation: one pass at a time, earliest due first, on a clock that others move."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from vmclone_operator.engine.work.queue import Priority
from vmclone_operator.kube.cluster import Key


@dataclass
class SimQueue:
    """Keys with the moment when each is due; the real queue's rules about wake-ups and back-off."""

    clock: Callable[[], float]
    due: dict[Key, tuple[float, int]] = field(default_factory=dict)
    failures: dict[Key, int] = field(default_factory=dict)
    _order: itertools.count[int] = field(default_factory=itertools.count)

    def add(self, key: Key, priority: Priority = Priority.HIGH) -> None:  # noqa: ARG002
        self.due[key] = (self.clock(), next(self._order))

    def add_after(self, key: Key, seconds: float, priority: Priority = Priority.HIGH) -> None:  # noqa: ARG002
        wanted = self.clock() + seconds
        if key not in self.due or self.due[key][0] > wanted:
            self.due[key] = (wanted, next(self._order))

    def forget(self, key: Key) -> None:
        self.failures.pop(key, None)

    def pop(self) -> tuple[Key, float]:
        key = min(self.due, key=lambda k: self.due[k])
        return key, self.due.pop(key)[0]

    def next_due(self) -> float:
        """Return when the next key is due; infinite when there is none."""
        return min((due for due, _ in self.due.values()), default=float("inf"))

    def backoff(self, key: Key) -> float:
        count = self.failures[key] = self.failures.get(key, 0) + 1
        return min(300.0, 2.0 ** min(count - 1, 10))
