"""When the source is switched, and when it is put back: every state that a VMClone can find it in."""

from __future__ import annotations

import pytest

from vmclone_operator.api.source_power import SourcePowerStatus
from vmclone_operator.domain.backend import Power
from vmclone_operator.domain.source_power import PowerSituation, Switch, decide, found, why_not_yet

ON, OFF = Power.ON, Power.OFF


def ledger(*, was: Power, reached: bool = True, returns: bool = False) -> SourcePowerStatus:
    wanted = OFF if was is ON else ON
    time = "2026-01-01T00:00:00Z" if returns else ""
    return SourcePowerStatus(
        id="s", backend="lab", was=was.value, wanted=wanted.value, reached=reached, return_time=time
    )


STOPPED, STOPPING, RESTARTING = ledger(was=ON), ledger(was=ON, reached=False), ledger(was=ON, returns=True)
STARTED, STARTING, GOING_OFF = ledger(was=OFF), ledger(was=OFF, reached=False), ledger(was=OFF, returns=True)
CALLED_BACK = ledger(was=ON, reached=False, returns=True)

ROWS = {
    "nothing is needed": (None, ON, None, (), Switch.NOTHING),
    "it is as needed": (OFF, OFF, None, (), Switch.NOTHING),
    "it is written down before it is switched": (OFF, ON, None, (), Switch.RECORD),
    "it is needed as another VMClone made it": (OFF, OFF, None, (STOPPED,), Switch.RECORD),
    "it is needed as another VMClone is making it": (OFF, ON, None, (STOPPING,), Switch.RECORD),
    "it is needed as it was before another VMClone": (ON, OFF, None, (STOPPED,), Switch.NOTHING),
    "nobody takes over one that is being started again": (OFF, OFF, None, (RESTARTING,), Switch.NOTHING),
    "nobody takes over one that shuts down": (ON, ON, None, (GOING_OFF,), Switch.NOTHING),
    "a switch that was cut is made again": (OFF, ON, STOPPING, (), Switch.SWITCH),
    "that it is there is written down": (OFF, OFF, STOPPING, (), Switch.REACHED),
    "it stays while it is needed": (OFF, OFF, STOPPED, (), Switch.NOTHING),
    "that it goes back is written down before it does": (None, OFF, STOPPED, (), Switch.RETURN),
    "one that was started goes off again": (None, ON, STARTED, (), Switch.RETURN),
    "one that was never reached goes back as well": (None, ON, STARTING, (), Switch.RETURN),
    "a start that was never made is forgotten": (None, OFF, STARTING, (), Switch.FORGET),
    "a guest that was asked to shut down may still do so": (None, ON, STOPPING, (), Switch.RETURN),
    "it is put back until it is back": (None, ON, GOING_OFF, (), Switch.PUT_BACK),
    "a return that was begun is ended though it is needed again": (OFF, OFF, RESTARTING, (), Switch.PUT_BACK),
    "it is back": (None, ON, RESTARTING, (), Switch.FORGET),
    "it is back and needed again": (OFF, ON, RESTARTING, (), Switch.FORGET),
    "one that may still go off is watched": (None, ON, CALLED_BACK, (), Switch.NOTHING),
    "one that went off after all is started": (None, OFF, CALLED_BACK, (), Switch.PUT_BACK),
    "the last one puts it back": (None, OFF, STOPPED, (STOPPED,), Switch.FORGET),
    "one that is gone is forgotten": (None, None, STOPPED, (), Switch.FORGET),
    "one that is gone on its way back is forgotten": (None, None, RESTARTING, (), Switch.FORGET),
    "one that somebody else started is left on": (None, ON, STOPPED, (), Switch.FORGET),
    "one that somebody else stopped is left off": (ON, OFF, STARTED, (), Switch.FORGET),
    "one that somebody else started is left on though it is needed": (OFF, ON, STOPPED, (), Switch.FORGET),
}


@pytest.mark.parametrize(("wanted", "observed", "mine", "others", "expected"), ROWS.values(), ids=ROWS.keys())
def test_the_source_is_switched_once_and_put_back_once(
    wanted: Power | None,
    observed: Power | None,
    mine: SourcePowerStatus | None,
    others: tuple[SourcePowerStatus, ...],
    expected: Switch,
) -> None:
    assert decide(PowerSituation(wanted=wanted, observed=observed, ledger=mine, others=others)) is expected


def test_how_it_was_is_what_the_first_vmclone_found() -> None:
    assert found(PowerSituation(wanted=OFF, observed=OFF, others=(STOPPED,))) is ON
    assert found(PowerSituation(wanted=OFF, observed=ON)) is ON


def test_a_shutdown_that_never_happened_is_forgotten_in_the_end() -> None:
    assert decide(PowerSituation(wanted=None, observed=ON, ledger=CALLED_BACK, settled=True)) is Switch.FORGET


COPIED = "is being copied"
BUSY = {
    "it is not switched under others": (OFF, ON, None, (), Switch.NOTHING),
    "it is not put back under others": (None, ON, STARTED, (), Switch.NOTHING),
    "it is as needed, so nothing waits": (OFF, OFF, None, (), Switch.NOTHING),
    "another VMClone switched it long ago": (OFF, OFF, None, (STOPPED,), Switch.RECORD),
    "a return that was begun is ended": (None, ON, GOING_OFF, (), Switch.PUT_BACK),
    "others began before they could read that it goes off": (OFF, ON, STOPPING, (), Switch.NOTHING),
}


@pytest.mark.parametrize(("wanted", "observed", "mine", "others", "expected"), BUSY.values(), ids=BUSY.keys())
def test_nobody_else_is_cut_off(
    wanted: Power | None,
    observed: Power,
    mine: SourcePowerStatus | None,
    others: tuple[SourcePowerStatus, ...],
    expected: Switch,
) -> None:
    situation = PowerSituation(wanted=wanted, observed=observed, ledger=mine, others=others, busy=COPIED)
    assert decide(situation) is expected


def test_who_waits_for_a_copy_is_told_so() -> None:
    assert why_not_yet(PowerSituation(wanted=OFF, observed=ON, busy=COPIED)) == COPIED
    assert why_not_yet(PowerSituation(wanted=OFF, observed=OFF, others=(STOPPED,), busy=COPIED)) == ""


WAITS = {
    "it was so before another VMClone": (ON, OFF, (STOPPED,), "is switched off for another VMClone"),
    "it is being put back": (OFF, OFF, (RESTARTING,), "is being put back as it was for another VMClone"),
    "it is shared": (OFF, OFF, (STOPPED,), ""),
    "it is nobody's": (ON, ON, (), ""),
}


@pytest.mark.parametrize(("wanted", "observed", "others", "why"), WAITS.values(), ids=WAITS.keys())
def test_who_waits_for_others_is_told_so(
    wanted: Power, observed: Power, others: tuple[SourcePowerStatus, ...], why: str
) -> None:
    assert why_not_yet(PowerSituation(wanted=wanted, observed=observed, others=others)) == why
