"""A VMClone of many replicas costs as much more as it has more of them: no pass walks over all of them for each."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import mean

import pytest
from tests.crash.lives import begin
from tests.support import manifests
from tests.support.steps_counted import steps_of_passes
from tests.support.stories import vmclone

from vmclone_operator.homecopy.scrub import scrub_program
from vmclone_operator.kube.cluster import Kind
from vmclone_operator.providers.fake import FaultSchedule

FEW, MANY = 50, 100
READY = 15
"""How many are waited for: by then some are ready, some are made and some wait for a slot, as in all of the rest."""
ONE_IN = 7
LIMITS = {"maxClones": MANY, "maxReplicasPerClone": MANY}
TWICE = 2.1
THE_SAME = 1.1


@dataclass(frozen=True)
class Cost:
    """The steps of the passes of one VMClone of so many replicas."""

    of_vmclone: float
    of_replica: float


def cost_of(replicas: int) -> Cost:
    scrub_program()  # made once in a process, by whoever is first
    with steps_of_passes(every=ONE_IN) as counted:
        sim = begin(FaultSchedule(), replicas=replicas)
        sim.cluster.apply(Kind.SOURCE, manifests.source(limits=LIMITS))
        sim.run(3600, until=lambda: vmclone(sim).get("status", {}).get("readyReplicas", 0) >= READY)
    assert vmclone(sim)["status"]["replicas"] == replicas
    return Cost(of_vmclone=mean(counted[Kind.VMCLONE]), of_replica=mean(counted[Kind.REPLICA]))


def test_a_vmclone_says_how_it_is_before_all_of_its_replicas_are_made() -> None:
    sim = begin(FaultSchedule(), replicas=MANY)
    sim.cluster.apply(Kind.SOURCE, manifests.source(limits=LIMITS))
    sim.run(60, until=lambda: bool(vmclone(sim).get("status", {}).get("conditions")))
    assert 0 < vmclone(sim)["status"]["replicas"] < MANY
    sim.run(5)
    assert len(sim.engine.cache.all(Kind.REPLICA)) == MANY


@pytest.fixture(scope="module")
def costs() -> tuple[Cost, Cost]:
    """Return what few replicas cost, and many."""
    return cost_of(FEW), cost_of(MANY)


def test_a_pass_of_a_vmclone_grows_as_its_replicas_do(costs: tuple[Cost, Cost]) -> None:
    few, many = costs
    assert many.of_vmclone / few.of_vmclone <= TWICE, costs


def test_a_pass_of_a_replica_is_the_same_whatever_siblings_it_has(costs: tuple[Cost, Cost]) -> None:
    few, many = costs
    assert many.of_replica / few.of_replica <= THE_SAME, costs
