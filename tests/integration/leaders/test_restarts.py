"""A restart on the real API server: what nothing changed in the meantime is read, compared, and left alone."""

from __future__ import annotations

import signal
import time

from tests.integration.leaders.conftest import Start
from tests.integration.leaders.operators import Place
from tests.support.cluster_cli import wait_until

NAMES = ("a", "b", "c")
QUIET_SECONDS = 5


def test_a_restart_with_nothing_changed_writes_nothing(place: Place, start: Start) -> None:
    first = start("first")
    first.wait_for('"leading"')
    for name in NAMES:
        place.apply(name, replicas=2)
    for name in NAMES:
        wait_until(f"{name} is ready", lambda name=name: place.is_ready(name, 2), 90)  # type: ignore[misc]
    time.sleep(QUIET_SECONDS)  # the CloneSource shows how many clones it has
    first.send(signal.SIGTERM)
    wait_until("the first one has ended", first.ended, 30)
    mark, effects = place.audit_log.stat().st_size, place.world["effects"]
    second = start("second", "--relist-seconds", "2", "--resync-seconds", "2")
    second.wait_for('"leading"')
    time.sleep(2 * QUIET_SECONDS)  # several lists and comparisons
    assert place.writes_of("second", mark) == []
    assert place.world["effects"] == effects
