"""What a pass costs as one VMClone has more replicas: CPU of the engine over an API server and a backend in memory."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import pytest
from tests.crash.lives import begin
from tests.support import manifests, simulation
from tests.support.stories import vmclone

from vmclone_bench.model import Benchmark, Contestant, Sample
from vmclone_operator.engine.context import Engine
from vmclone_operator.engine.reconcile import reconcile
from vmclone_operator.homecopy.scrub import scrub_program
from vmclone_operator.kube.cluster import Key, Kind
from vmclone_operator.providers.fake import FaultSchedule

FEW, MANY = 50, 100


def life(replicas: int) -> Sample:
    """Make a VMClone of so many replicas; return what its passes took."""
    took: dict[Kind, list[float]] = defaultdict(list)

    async def timed(engine: Engine, key: Key) -> float | None:
        began = time.process_time()
        try:
            return await reconcile(engine, key)
        finally:
            took[key.kind].append(time.process_time() - began)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulation, "reconcile", timed)
        sim = begin(FaultSchedule(), replicas=replicas)
        limits = {"maxClones": MANY, "maxReplicasPerClone": MANY}
        sim.cluster.apply(Kind.SOURCE, manifests.source(limits=limits))
        sim.run(3600, until=lambda: vmclone(sim).get("status", {}).get("readyReplicas") == replicas)
    mine, theirs = took[Kind.VMCLONE], took[Kind.REPLICA]
    return {
        "VMClone pass, median, CPU ms": 1000 * statistics.median(mine),
        "VMClone pass, longest, CPU ms": 1000 * max(mine),
        "replica pass, median, CPU ms": 1000 * statistics.median(theirs),
        "all passes, CPU ms a replica": 1000 * (sum(mine) + sum(theirs)) / replicas,
    }


@contextmanager
def stage() -> Iterator[Sequence[Contestant]]:
    """Yield a VMClone of few replicas and one of many."""
    scrub_program()
    yield [Contestant(name=f"{count} replicas", run=partial(life, count)) for count in (FEW, MANY)]


BENCHMARK = Benchmark(
    name="passes",
    title="one VMClone of 50 and of 100 replicas, from its wish to all Ready (API server and backend in memory)",
    against=f"{FEW} replicas",
    judged="VMClone pass, median, CPU ms",
    stage=stage,
)
