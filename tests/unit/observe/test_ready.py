"""How long users waited is counted once for each VMClone, when all its clones are ready for the first time."""

from __future__ import annotations

from prometheus_client import CollectorRegistry
from tests.support.stories import copying
from tests.unit.observe.scrape import samples

from vmclone_operator.observe.ready import ReadyTimes

COUNT, SUM = "vmclone_time_to_ready_seconds_count", "vmclone_time_to_ready_seconds_sum"


def test_a_vmclone_counts_once_with_the_time_from_its_creation() -> None:
    sim = copying()
    registry = CollectorRegistry()
    sim.engine.ready_meter = ReadyTimes(registry)
    sim.run(1200)
    assert samples(registry, COUNT) == {("lab", "Clean"): 1}
    assert 0 < samples(registry, SUM)["lab", "Clean"] < 1200
    sim.run(3600)
    assert samples(registry, COUNT) == {("lab", "Clean"): 1}, "it has been ready before"


def test_a_clock_that_was_set_back_counts_as_no_time() -> None:
    registry = CollectorRegistry()
    ReadyTimes(registry).became_ready("lab", "Disk", -5)
    assert samples(registry, SUM) == {("lab", "Disk"): 0}
