"""Two operators on the real API server: one leads, the other takes over, and never do both act."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

from tests.integration.leaders.conftest import Start
from tests.integration.leaders.operators import Operator, Place, seconds_until
from tests.support.cluster_cli import wait_until

Record = Callable[[str, object], None]
TAKEOVER_SECONDS = 35
ROLLOUT_SECONDS = 5


def one_leads(place: Place, start: Start) -> tuple[Operator, Operator]:
    """Return the one that leads, with a clone made by it, and the one that waits."""
    first = start("first")
    first.wait_for('"leading"')
    second = start("second")
    second.wait_for('"waiting for the lease"')
    place.apply("before")
    wait_until("the first clone is ready", lambda: place.is_ready("before"), 60)
    return first, second


def goes_on(place: Place) -> None:
    """The new leader makes a clone, and every clone was made and started once."""
    place.apply("after")
    wait_until("the new leader's clone is ready", lambda: place.is_ready("after"), 60)
    wait_until("the old leader's clone is still ready", lambda: place.is_ready("before"), 10)
    effects = place.world["effects"]
    assert set(effects["creates"].values()) == {1}
    assert len(effects["creates"]) == 2
    assert set(effects["boots"].values()) == {1}
    assert effects["deletes"] == {}
    assert effects["foreign_touched"] == []


def test_takeover_after_a_kill(place: Place, start: Start, record_property: Record) -> None:
    """A leader that is killed is followed within 35 seconds, and nothing is made twice."""
    first, second = one_leads(place, start)
    first.send(signal.SIGKILL)
    took = seconds_until("the second one leads", lambda: second.said('"leading"'), TAKEOVER_SECONDS)
    record_property("takeover_seconds", round(took, 1))
    print(f"takeover after a kill: {took:.1f} s")  # noqa: T201  - the figure is what people want to know
    assert place.leader() == "second"
    goes_on(place)


def test_takeover_on_a_rollout(place: Place, start: Start, record_property: Record) -> None:
    """A leader that is told to stop gives the Lease back: the other one leads within 5 seconds."""
    first, second = one_leads(place, start)
    first.send(signal.SIGTERM)
    took = seconds_until("the second one leads", lambda: second.said('"leading"'), ROLLOUT_SECONDS)
    record_property("rollout_seconds", round(took, 1))
    print(f"takeover on a rollout: {took:.1f} s")  # noqa: T201  - the figure is what people want to know
    wait_until("the first one has ended", first.ended, 20)
    goes_on(place)


def test_both_believe_they_lead(place: Place, start: Start) -> None:
    """A leader that slept longer than its lease, in the middle of its work, wakes up, writes nothing and ends."""
    first, second = one_leads(place, start)
    place.apply("during", replicas=3)
    wait_until("its work began", lambda: place.world["effects"]["writes"] > 8, 30)
    first.send(signal.SIGSTOP)
    second.wait_for('"leading"', TAKEOVER_SECONDS)
    wait_until("the second one has done the work", lambda: place.is_ready("during", 3), 60)
    mark, effects = place.audit_log.stat().st_size, place.world["effects"]
    first.send(signal.SIGCONT)
    wait_until("the first one has ended", first.ended, 30)
    time.sleep(1)  # what it sent last is in the audit log
    assert place.writes_of("first", mark) == []
    assert place.writes_of("second", 0) != []
    assert place.world["effects"] == effects
    assert set(effects["creates"].values()) == {1}
    assert len(effects["creates"]) == 4
    assert place.leader() == "second"
