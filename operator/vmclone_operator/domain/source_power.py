"""Whether the source is switched for us, and when it is put back as it was: one rule over all its VMClones. Pure.

Every VMClone that needs the source otherwise writes that down, with how it was before the first of them. Whoever lets
go while another one holds it hands it over; the last one puts it back. It says so first, and until the source
is back nobody takes it: a guest that shuts down cannot be called back.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from vmclone_operator.api.source_power import SourcePowerStatus
from vmclone_operator.domain.backend import Power


class Switch(StrEnum):
    """What is done about the source's power."""

    NOTHING = "Nothing"
    RECORD = "Record"
    """First write down how it was found, then switch it."""
    SWITCH = "Switch"
    REACHED = "Reached"
    """Write down that it is as needed."""
    RETURN = "Return"
    """First write down that it goes back, then put it back."""
    PUT_BACK = "PutBack"
    FORGET = "Forget"
    """It is as it should be, or somebody else's business."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerSituation:
    """What one decision rests on."""

    wanted: Power | None
    """What we need now; None when we need nothing."""
    observed: Power | None
    """None when the VM is gone."""
    ledger: SourcePowerStatus | None = None
    others: Collection[SourcePowerStatus] = ()
    """What other VMClones wrote down about the same VM."""
    busy: str = ""
    """What of others would be cut off if it were switched now."""
    settled: bool = False
    """A shutdown that was asked for before its return was decided has happened by now, or never will."""


def decide(s: PowerSituation) -> Switch:
    """Return the next step. A source that somebody else switched meanwhile is left alone."""
    if s.ledger is None:
        return Switch.NOTHING if s.wanted is None or _as_needed(s) or why_not_yet(s) else Switch.RECORD
    if s.ledger.return_time:
        return _going_back(s, s.ledger)
    moved_away = s.ledger.reached and s.observed is not None and s.observed.value != s.ledger.wanted
    if s.wanted is not None and not moved_away:
        return _while_needed(s, s.ledger)
    if moved_away or s.others or s.observed is None:
        return Switch.FORGET
    if s.observed.value != s.ledger.was:
        return Switch.NOTHING if s.busy else Switch.RETURN
    # One that is on may have been asked to shut down.
    return Switch.RETURN if s.observed is Power.ON else Switch.FORGET


def why_not_yet(s: PowerSituation) -> str:
    """Return why the source is not as we need it and is not switched for us either; empty when nothing waits."""
    if s.wanted is None or s.ledger is not None:
        return ""
    if any(other.return_time for other in s.others):
        return "is being put back as it was for another VMClone"
    if s.others and found(s) is s.wanted:
        return f"is switched {_other(s.wanted).value.lower()} for another VMClone"
    return s.busy if s.observed is not s.wanted else ""


def found(s: PowerSituation) -> Power:
    """Return how the source was before any VMClone switched it: what it is put back to."""
    observed = s.observed or Power.OFF
    return next((Power(other.was) for other in s.others), observed)


def _as_needed(s: PowerSituation) -> bool:
    return found(s) is s.wanted


def _while_needed(s: PowerSituation, ledger: SourcePowerStatus) -> Switch:
    if s.observed is not s.wanted:
        # Until it was first switched others may have begun with it as it is: they did not read our ledger yet.
        return Switch.NOTHING if s.busy and not ledger.reached else Switch.SWITCH
    return Switch.NOTHING if ledger.reached else Switch.REACHED


def _going_back(s: PowerSituation, ledger: SourcePowerStatus) -> Switch:
    if s.observed is None:
        return Switch.FORGET
    if s.observed.value != ledger.was:
        return Switch.PUT_BACK
    may_still_go_off = ledger.was == Power.ON.value and not ledger.reached and not s.settled
    return Switch.NOTHING if may_still_go_off else Switch.FORGET


def _other(power: Power) -> Power:
    return Power.OFF if power is Power.ON else Power.ON
