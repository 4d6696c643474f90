"""A node's clock that is set wrong for a while: nothing that people made is destroyed by it."""

from __future__ import annotations

from datetime import timedelta

from tests.crash.lives import begin, wait_ready
from tests.support.simulation import Simulation
from tests.support.stories import DEV, condition, ready, vmclone

from vmclone_operator.kube.cluster import Key, Kind
from vmclone_operator.providers.fake import FaultSchedule

MONTH = timedelta(days=30)


def backend_says(sim: Simulation) -> str:
    """Return whether the CloneBackend says that the clocks differ."""
    found = sim.get(Kind.BACKEND, "lab")
    assert found is not None
    return condition(found, "ClockSkewed")[0]


def test_a_clock_that_is_a_month_ahead_for_a_while_expires_nothing_and_is_told() -> None:
    sim = ready(2, expireAfter="24h")
    sim.ahead = MONTH
    sim.restart()
    sim.run(300)
    assert len(sim.world.inventory().clones) == 2
    assert condition(vmclone(sim), "ClockSkewed") == ("True", "ClockSkewed")
    assert (condition(vmclone(sim), "Ready"), backend_says(sim)) == (("True", "AllReady"), "True")
    sim.ahead = timedelta()
    sim.run(300)
    assert (condition(vmclone(sim), "ClockSkewed")[0], backend_says(sim)) == ("absent", "absent")
    sim.run(25 * 3600)
    assert sim.world.inventory().clones == ()
    assert condition(vmclone(sim), "Expired")[0] == "True"


def test_clones_made_while_the_clock_was_behind_live_as_long_as_they_are_to() -> None:
    sim = begin(FaultSchedule(), replicas=1, expireAfter="24h")
    sim.ahead = -MONTH
    wait_ready(sim, 1)
    sim.ahead = timedelta()
    sim.restart()
    sim.run(23 * 3600)
    assert len(sim.world.inventory().clones) == 1
    sim.run(2 * 3600)
    assert sim.world.inventory().clones == ()


def test_what_was_expired_by_mistake_comes_back_without_anybody_doing_anything() -> None:
    """As an operator before this one left it: Expired, its replicas gone, its time not over."""
    sim = ready(1, expireAfter="24h")
    expired: dict[str, object] = {"type": "Expired", "status": "True", "reason": "Expired", "message": "over"}
    expired |= {"observedGeneration": 1, "lastTransitionTime": "2026-01-01T00:00:00Z"}
    sim.cluster.overwrite(DEV, lambda d: d["status"]["conditions"].append(expired))
    sim.cluster.overwrite(Key(Kind.REPLICA, "team-a", "dev-1"), lambda d: d["metadata"].update(finalizers=[]))
    sim.cluster.remove(Key(Kind.REPLICA, "team-a", "dev-1"))
    wait_ready(sim, 1)
    assert condition(vmclone(sim), "Expired")[0] == "absent"
