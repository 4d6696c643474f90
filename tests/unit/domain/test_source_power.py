"""When the source is switched, and when it is put back: every state that a VMClone can find it in."""

from __future__ import annotations

import pytest

from vmclone_operator.api.vmclone import SourcePowerStatus
from vmclone_operator.domain.backend import Power
from vmclone_operator.domain.source_power import PowerSituation, Switch, decide, found

ON, OFF = Power.ON, Power.OFF


def ledger(*, was: Power, reached: bool = True) -> SourcePowerStatus:
    wanted = OFF if was is ON else ON
    return SourcePowerStatus(id="s", backend="lab", was=was.value, wanted=wanted.value, reached=reached)


STOPPED, STOPPING = ledger(was=ON), ledger(was=ON, reached=False)
STARTED, STARTING = ledger(was=OFF), ledger(was=OFF, reached=False)

ROWS = {
    "nothing is needed": (None, ON, None, (), Switch.NOTHING),
    "it is as needed": (OFF, OFF, None, (), Switch.NOTHING),
    "it is written down before it is switched": (OFF, ON, None, (), Switch.RECORD),
    "it is needed as another VMClone made it": (OFF, OFF, None, (STOPPED,), Switch.RECORD),
    "it is needed as it was before another VMClone": (ON, OFF, None, (STOPPED,), Switch.NOTHING),
    "a switch that was cut is made again": (OFF, ON, STOPPING, (), Switch.SWITCH),
    "that it is there is written down": (OFF, OFF, STOPPING, (), Switch.SWITCH),
    "it stays while it is needed": (OFF, OFF, STOPPED, (), Switch.NOTHING),
    "it is put back": (None, OFF, STOPPED, (), Switch.PUT_BACK),
    "one that was started is stopped": (None, ON, STARTED, (), Switch.PUT_BACK),
    "one that was never reached is put back as well": (None, ON, STARTING, (), Switch.PUT_BACK),
    "it is back": (None, ON, STOPPED, (), Switch.FORGET),
    "the last one puts it back": (None, OFF, STOPPED, (STOPPED,), Switch.FORGET),
    "one that somebody else stopped is left off": (ON, OFF, STARTED, (), Switch.FORGET),
    "one that somebody else started is left on": (OFF, ON, STOPPED, (), Switch.FORGET),
}


@pytest.mark.parametrize(("wanted", "observed", "mine", "others", "expected"), ROWS.values(), ids=ROWS.keys())
def test_the_source_is_switched_once_and_put_back_once(
    wanted: Power | None,
    observed: Power,
    mine: SourcePowerStatus | None,
    others: tuple[SourcePowerStatus, ...],
    expected: Switch,
) -> None:
    assert decide(PowerSituation(wanted=wanted, observed=observed, ledger=mine, others=others)) is expected


def test_how_it_was_is_what_the_first_vmclone_found() -> None:
    assert found(PowerSituation(wanted=OFF, observed=OFF, others=(STOPPED,))) is ON
    assert found(PowerSituation(wanted=OFF, observed=ON)) is ON
