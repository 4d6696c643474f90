"""When the clones of a VMClone expire, and when that is said beforehand. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from vmclone_operator.domain.clocks import Clocks
from vmclone_operator.domain.units import seconds_of

_WARNED_BEFORE = 0.1
_LOOK_AGAIN_SECONDS = 3600.0
"""The longest wait until the clocks are looked at again: either may be set meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry:
    """How a VMClone with an end stands."""

    at: datetime
    expired: bool
    warned: bool
    """The last tenth of its time has begun."""
    again_seconds: float | None
    """When to look again; None once it has expired."""


def expiry_of(expire_after: str | None, ready_time: str, clocks: Clocks, *, before: bool = False) -> Expiry | None:
    """Return how it stands; None for a VMClone that has no end, or was never ready.

    It expires when both clocks say so and agree to a minute. One that has expired (`before`) comes back when the API
    server's clock says that its time is not over: then the operator's was wrong.
    """
    if not expire_after or not ready_time:
        return None
    span = seconds_of(expire_after)
    at = datetime.fromisoformat(ready_time) + timedelta(seconds=span)
    left = _seconds_left(at, clocks)
    expired = _stays_expired(at, clocks) if before else left <= 0 and not clocks.skewed and clocks.server is not None
    until_warning = left - span * _WARNED_BEFORE
    again = max(left if until_warning <= 0 else until_warning, 1.0 if left > 0 else 30.0)
    return Expiry(
        at=at,
        expired=expired,
        warned=until_warning <= 0,
        again_seconds=None if expired else min(again, _LOOK_AGAIN_SECONDS),
    )


def _seconds_left(at: datetime, clocks: Clocks) -> float:
    """Return how much time is left by the clock that gives it more."""
    now = clocks.local if clocks.server is None else min(clocks.local, clocks.server)
    return (at - now).total_seconds()


def _stays_expired(at: datetime, clocks: Clocks) -> bool:
    return clocks.server is None or clocks.server >= at
