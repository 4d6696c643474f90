"""Whether the source is switched for us, and when it is put back as it was. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from vmclone_operator.api.vmclone import SourcePowerStatus
from vmclone_operator.domain.backend import Power


class Switch(StrEnum):
    """What is done about the source's power."""

    NOTHING = "Nothing"
    RECORD = "Record"
    """First write down how it was found, then switch it."""
    SWITCH = "Switch"
    PUT_BACK = "PutBack"
    FORGET = "Forget"
    """It is as it should be, or somebody else's business."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerSituation:
    """What one decision rests on."""

    wanted: Power | None
    """What we need now; None when we need nothing."""
    observed: Power
    ledger: SourcePowerStatus | None = None
    others: Collection[SourcePowerStatus] = ()
    """What other VMClones wrote down about the same VM."""


def decide(s: PowerSituation) -> Switch:
    """Return the next step.

    Whoever needs the source switched writes down how it was found, also when another VMClone has switched it
    already: the last one to need it puts it back. One that somebody else switched meanwhile is left alone.
    """
    if s.ledger is None:
        return Switch.NOTHING if s.wanted is None or _as_found(s) is s.wanted else Switch.RECORD
    moved_away = s.ledger.reached and s.observed.value != s.ledger.wanted
    if s.wanted is not None and not moved_away:
        return Switch.NOTHING if s.observed is s.wanted and s.ledger.reached else Switch.SWITCH
    if moved_away or s.others or s.observed.value == s.ledger.was:
        return Switch.FORGET
    return Switch.PUT_BACK


def _as_found(s: PowerSituation) -> Power:
    """Return how the source was before any VMClone switched it."""
    return next((Power(other.was) for other in s.others), s.observed)


def found(s: PowerSituation) -> Power:
    """Return what is written down as the power to put back."""
    return _as_found(s)
