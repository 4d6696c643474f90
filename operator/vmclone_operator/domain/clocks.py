"""The operator's clock beside the API server's. Pure.

A node whose clock runs ahead would destroy every clone with an end, so what is final is decided by both clocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

SKEW_LIMIT = timedelta(minutes=1)
_DAYS_FROM, _HOURS_FROM = timedelta(days=2), timedelta(hours=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """One moment, by both clocks."""

    local: datetime
    server: datetime | None
    """None before the API server has answered anything."""

    @property
    def skew(self) -> timedelta:
        """How far the operator's clock is ahead; negative when it is behind."""
        return timedelta() if self.server is None else self.local - self.server

    @property
    def skewed(self) -> bool:
        """Return whether the clocks differ by more than a minute."""
        return abs(self.skew) > SKEW_LIMIT

    @property
    def latest(self) -> datetime:
        """The later of both: what begins to count now, counts from then."""
        return self.local if self.server is None else max(self.local, self.server)

    def complaint(self) -> str:
        """Return what is wrong and what to do, empty while the clocks agree."""
        if not self.skewed:
            return ""
        side = "ahead of" if self.skew > timedelta() else "behind"
        return (
            f"the clock of the operator's node is {_about(abs(self.skew))} {side} the API server's; nothing expires"
            " until they agree to a minute: set the clock of the node, or of the API server's"
        )


def _about(span: timedelta) -> str:
    """Return a span in words that do not change each minute."""
    if span >= _DAYS_FROM:
        return f"about {round(span / timedelta(days=1))} days"
    if span >= _HOURS_FROM:
        return f"about {round(span / timedelta(hours=1))} hours"
    return "more than a minute"
