"""How soon a backend is asked again: never sooner than it says that a look is worth its price.

A pass plans its waits as if looks were free (half a second while a disk is copied, five while a guest boots). On a
backend that answers 12 reads a minute for each VM (Azure) that ends in refusals after the first minute. So each wait
is the longer of two: what the pass planned, and what the backend asked for.

    pace = Pace(look_seconds=10)
    pace.wait(0.5)       # 10: no look sooner than the backend allows
    pace.not_before(60)  # its answer said: not worth asking for a minute
    pace.wait(0.5)       # 60
    pace.wait(300)       # 300
    pace.wait(0)         # 60
    pace.wait(None)      # None: events will say
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Pace:
    """The shortest wait of one pass."""

    look_seconds: float = 0

    def not_before(self, seconds: float) -> None:
        """Wait at least that long, as the backend's answer says."""
        self.look_seconds = max(self.look_seconds, seconds)

    def wait(self, planned_seconds: float | None) -> float | None:
        """Return how long to wait; None when nothing was planned."""
        return None if planned_seconds is None else max(planned_seconds, self.look_seconds)


@dataclass(slots=True, kw_only=True)
class Looks:
    """When what takes long is worth the next look, though news of other things wakes its pass before.

    Kept in memory only: a look too many after a restart does no harm.
    """

    clock: Callable[[], float]
    due: dict[str, float] = field(default_factory=dict)

    def not_before(self, what: str, seconds: float) -> None:
        """Look no sooner than that; looks that are free are never put off."""
        self._forget_past()
        if seconds > 0:
            self.due[what] = self.clock() + seconds

    def wait(self, what: str) -> float:
        """Return for how long a look has to wait; 0 when it may be taken."""
        return max(0.0, self.due.get(what, 0.0) - self.clock())

    def _forget_past(self) -> None:
        now = self.clock()
        for what in [what for what, when in self.due.items() if when <= now]:
            del self.due[what]
