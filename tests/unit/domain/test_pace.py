"""How soon a backend is asked again: what was planned, or what it asks for, whichever is longer."""

from __future__ import annotations

import pytest

from vmclone_operator.domain.pace import Looks, Pace

WAITS = {
    "looks are free: as planned": (0, 0, 0.5, 0.5),
    "looks have a price: not sooner than that": (10, 0, 0.5, 10),
    "its answer says when it is worth asking": (10, 60, 0.5, 60),
    "what is planned for later stays later": (10, 60, 300, 300),
    "at once is never sooner than the price allows": (10, 0, 0, 10),
    "nothing is planned: events will say": (10, 60, None, None),
}


@pytest.mark.parametrize(("look", "told", "planned", "waits"), WAITS.values(), ids=WAITS.keys())
def test_a_wait_is_the_longest_that_anybody_asks_for(
    look: float, told: float, planned: float | None, waits: float | None
) -> None:
    pace = Pace(look_seconds=look)
    pace.not_before(told)
    assert pace.wait(planned) == waits


def test_a_look_is_put_off_until_it_is_worth_its_price_and_a_free_one_never() -> None:
    now = [100.0]
    looks = Looks(clock=lambda: now[0])
    looks.not_before("a freeze", 12)
    looks.not_before("a free one", 0)
    assert (looks.wait("a freeze"), looks.wait("a free one"), looks.wait("another")) == (12, 0, 0)
    now[0] += 5
    assert looks.wait("a freeze") == 7
    now[0] += 7
    assert looks.wait("a freeze") == 0
    looks.not_before("another", 1)
    assert set(looks.due) == {"another"}, "what is past is forgotten"
