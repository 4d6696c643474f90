"""Stories of a source that cannot be frozen: it is asked less and less often, and nobody has it asked by accident."""

from __future__ import annotations

import json
from collections.abc import Collection
from itertools import pairwise
from typing import Any

import pytest
from tests.crash.lives import begin, wait_ready
from tests.support import manifests
from tests.support.simulation import Simulation
from tests.support.stories import DEV, change, condition, vmclone

from vmclone_operator.domain.backend import Power
from vmclone_operator.domain.errors import QuiesceFailed
from vmclone_operator.kube.cluster import Kind
from vmclone_operator.providers.fake import Fault, FaultKind, FaultSchedule, Point
from vmclone_operator.providers.fake.state import Machine

REFUSE = Fault(kind=FaultKind.FAIL, error=QuiesceFailed("a database says no"))
ONCE = {"backoff": "1s", "maxAttempts": 1}


def failing(**spec: Any) -> tuple[Simulation, list[float]]:
    """Return an operator whose source cannot be frozen, and the times when that is tried."""
    times: list[float] = []

    def choose(point: Point) -> Fault | None:
        if point.verb != "freeze":
            return None
        times.append(sim.clock())
        return REFUSE

    sim = begin(FaultSchedule(choose), replicas=1, **spec)
    return sim, times


def annotate(sim: Simulation, **annotations: str) -> None:
    told = {f"vmclone.dev/{name.replace('_', '-')}": value for name, value in annotations.items()}
    sim.cluster.overwrite(DEV, lambda d: d["metadata"].update(annotations=told))


def test_a_freeze_that_fails_is_tried_less_and_less_often() -> None:
    sim, times = failing(retry={"backoff": "10s", "maxBackoff": "1m"})
    sim.run(300)
    waits = [later - earlier for earlier, later in pairwise(times)]
    assert [round(wait, -1) for wait in waits] == [10, 20, 40, 60, 60, 60]
    told = vmclone(sim)["status"]["retry"]
    assert (told["step"], told["reason"], told["failures"]) == ("Freeze", "QuiesceFailed", len(times))
    assert condition(vmclone(sim), "Stalled") == ("True", "QuiesceFailed")


def test_a_freeze_that_works_at_last_leaves_no_trace_of_its_failures() -> None:
    sim, _ = failing(retry={"backoff": "10s"})
    sim.run(60)
    sim.schedule.choose = lambda _: None
    wait_ready(sim, 1)
    assert "retry" not in vmclone(sim)["status"]


def test_freezes_that_are_used_up_wait_for_a_person_and_cost_nothing() -> None:
    sim, times = failing(retry={"backoff": "1s", "maxAttempts": 3})
    sim.run(600)
    writes = len(sim.cluster.writes)
    sim.run(6 * 3600)
    assert (len(times), len(sim.cluster.writes)) == (3, writes)
    annotate(sim, retry_at="now")
    sim.run(600)
    assert len(times) == 6
    sim.schedule.choose = lambda _: None
    annotate(sim, retry_at="again")
    wait_ready(sim, 1)


def test_no_other_news_has_the_source_frozen_again() -> None:
    sim, times = failing(retry=ONCE)
    sim.run(60)
    annotate(sim, note="nothing to do with it")
    sim.run(60)
    sim.restart()
    sim.run(60)
    assert len(times) == 1


def test_a_wish_that_is_changed_is_tried_at_once() -> None:
    sim, times = failing(retry=ONCE)
    sim.run(60)
    change(sim, replicas=1, retry=ONCE, disk={"consistency": "CrashConsistent"})
    sim.run(5)
    assert len(times) == 2


def source(sim: Simulation) -> Machine:
    return sim.world.find("golden-dev")


def stopped(**retry: Any) -> tuple[Simulation, list[float]]:
    """Return an operator that may switch the source off, and whose freezes fail from now on."""
    return failing(sourcePower="StopForClone", disk={"consistency": "PoweredOff"}, retry=retry)


def grown_beyond_its_point(**spec: Any) -> tuple[Simulation, list[float], dict[str, Any]]:
    """Return an operator with a clone, and another one for which the source, which changed, cannot be frozen again."""
    sim, times = failing(**spec)
    choose, sim.schedule.choose = sim.schedule.choose, lambda _: None
    wait_ready(sim, 1)
    sim.schedule.choose = choose
    times.clear()
    source(sim).own_disks[0].capacity_bytes += 2**30
    wish = {**spec, "replicas": 2}
    change(sim, **wish)
    sim.run(600, until=lambda: bool(times))
    return sim, times, wish


def test_a_freeze_that_fails_keeps_no_source_off_for_which_there_is_an_older_point() -> None:
    sim, times, _ = grown_beyond_its_point(sourcePower="StopForClone", disk={"consistency": "PoweredOff"}, retry=ONCE)
    sim.run(10)
    assert len(times) == 1
    assert (source(sim).power, vmclone(sim)["status"].get("sourcePower")) == (Power.ON, None)
    sim.cluster.apply(Kind.VMCLONE, manifests.vmclone("other", replicas=1, sourcePower="StopForClone"))
    sim.run(5)
    assert condition(vmclone(sim, "other"), "SourceReady")[1] != "SourceLocked"


def test_freezes_that_are_used_up_give_the_source_back() -> None:
    sim, times = stopped(backoff="1s", maxAttempts=2)
    sim.run(600, until=lambda: len(times) == 1)
    assert source(sim).power is Power.OFF
    sim.run(10)
    assert len(times) == 2
    assert (source(sim).power, vmclone(sim)["status"].get("sourcePower")) == (Power.ON, None)
    sim.schedule.choose = lambda _: None
    annotate(sim, retry_at="now")
    wait_ready(sim, 1)
    assert source(sim).power is Power.ON


def test_a_time_that_ends_is_heeded_while_a_freeze_waits() -> None:
    sim, _, wish = grown_beyond_its_point(retry=ONCE)
    change(sim, **wish, expireAfter="20m")
    sim.run(1250 - sim.clock())
    assert "replicas" not in vmclone(sim)["status"]


@pytest.mark.parametrize("wish", [{"replicas": 0}, {"replicas": 1, "paused": True}], ids=["none wanted", "paused"])
def test_a_wish_that_freezes_nothing_has_no_failure(wish: dict[str, Any]) -> None:
    sim, _ = failing(retry=ONCE)
    sim.run(60)
    change(sim, retry=ONCE, **wish)
    sim.run(60)
    assert "retry" not in vmclone(sim)["status"]


def test_a_failure_ends_with_the_last_clone_that_waited_for_it() -> None:
    sim, _, wish = grown_beyond_its_point(retry=ONCE)
    change(sim, **{**wish, "replicas": 1})
    sim.run(60)
    assert "retry" not in vmclone(sim)["status"]


def test_a_point_that_shows_the_source_again_is_cloned_from_without_another_freeze() -> None:
    sim, times, _ = grown_beyond_its_point(retry=ONCE)
    source(sim).own_disks[0].capacity_bytes -= 2**30
    wait_ready(sim, 2)
    assert len(times) == 1
    assert "retry" not in vmclone(sim)["status"]


def refusing(verbs: Collection[str], **spec: Any) -> Simulation:
    """Return an operator whose backend refuses these verbs until it has frozen, or failed to freeze, the source."""
    sim = begin(FaultSchedule(lambda point: REFUSE if point.verb in verbs else None), replicas=1, **spec)
    sim.run(600, until=lambda: any(point.verb in verbs for point, _ in sim.schedule.struck))
    return sim


def wake_often(sim: Simulation) -> set[str]:
    """Have the VMClone looked at again and again; return all that was said of it."""
    said = set()
    for n in range(5):
        sim.run(40)
        annotate(sim, note=str(n))
        sim.run(1)
        said |= {c["message"] for c in vmclone(sim)["status"]["conditions"] if c["type"] == "Stalled"}
    return said


def test_an_attempt_that_failed_is_forgotten_before_the_next_one_is_waited_for() -> None:
    sim, times = failing(retry=ONCE)
    sim.run(10)
    assert len(times) == 1
    assert not vmclone(sim)["status"].get("frozenPoints")


def test_a_source_whose_freeze_failed_is_thawed_before_the_next_one_is_waited_for() -> None:
    verbs: list[str] = []

    def choose(point: Point) -> Fault | None:
        verbs.append(point.verb)
        return REFUSE if point.verb == "freeze" else None

    sim = begin(FaultSchedule(choose), replicas=1, retry=ONCE)
    sim.run(10)
    assert "thaw" in verbs[verbs.index("freeze") :]


def test_a_copy_that_failed_counts_once_however_long_it_cannot_be_removed() -> None:
    sim = begin(FaultSchedule(), replicas=1, retry={"backoff": "1s", "maxAttempts": 2})
    sim.world.copy_seconds = 100
    sim.run(60, until=lambda: "frozenTime" in json.dumps(vmclone(sim)))
    sim.schedule.choose = lambda point: REFUSE if point.verb in {"freeze", "release_frozen"} else None
    wake_often(sim)
    assert "retry" not in vmclone(sim)["status"]
    sim.schedule.choose = lambda point: REFUSE if point.verb == "freeze" else None
    sim.run(600, until=lambda: "retry" in vmclone(sim)["status"])
    assert vmclone(sim)["status"]["retry"]["failures"] == 1


def test_one_thing_is_said_while_a_freeze_waits_whatever_else_fails_meanwhile() -> None:
    sim = refusing({"freeze", "thaw", "release_frozen"}, retry=ONCE)
    said = wake_often(sim)
    assert len(said) == 1
    assert "maxAttempts" in said.pop()
    assert vmclone(sim)["status"]["retry"]["failures"] == 1
