"""When the clones of a VMClone expire, and when that is said beforehand. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from vmclone_operator.domain.units import seconds_of

_WARNED_BEFORE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry:
    """How a VMClone with an end stands."""

    at: datetime
    expired: bool
    warned: bool
    """The last tenth of its time has begun."""
    again_seconds: float | None
    """When this changes; None once it has expired."""


def expiry_of(expire_after: str | None, ready_time: str, now: datetime) -> Expiry | None:
    """Return how it stands; None for a VMClone that has no end, or was never ready."""
    if not expire_after or not ready_time:
        return None
    span = seconds_of(expire_after)
    at = datetime.fromisoformat(ready_time) + timedelta(seconds=span)
    left = (at - now).total_seconds()
    until_warning = left - span * _WARNED_BEFORE
    return Expiry(
        at=at,
        expired=left <= 0,
        warned=until_warning <= 0,
        again_seconds=None if left <= 0 else max(left if until_warning <= 0 else until_warning, 1.0),
    )
