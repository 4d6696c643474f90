"""Stories of more clones wanted than a CloneSource allows: as many as may be are ready, the others say why not."""

from __future__ import annotations

import random
from typing import Any

import pytest
from tests.support import manifests
from tests.support.simulation import Simulation
from tests.support.stories import condition, vmclone

from vmclone_operator.kube.cluster import Key, Kind


def burst(wishes: dict[str, int], **limits: int) -> Simulation:
    """Return an operator that was told of all these VMClones at once."""
    sim = Simulation()
    sim.world.add_source("golden-dev")
    sim.cluster.apply(Kind.BACKEND, manifests.backend())
    sim.cluster.apply(Kind.SOURCE, manifests.source(limits=limits))
    for name, replicas in wishes.items():
        sim.cluster.apply(Kind.VMCLONE, manifests.vmclone(name, replicas=replicas))
    return sim


def ready_ones(sim: Simulation) -> list[str]:
    """Return the replicas that are ready."""
    replicas = [d for key, d in sim.cluster.documents.items() if key.kind is Kind.REPLICA]
    return sorted(d["metadata"]["name"] for d in replicas if (d.get("status") or {}).get("state") == "Ready")


def refused(sim: Simulation) -> list[str]:
    """Return the VMClones that say that there is no place for all their clones."""
    names = [key.name for key in sim.cluster.documents if key.kind is Kind.VMCLONE]
    return sorted(name for name in names if condition(vmclone(sim, name), "Stalled") == ("True", "QuotaExceeded"))


def test_of_four_at_once_at_a_limit_of_three_three_are_ready_and_one_says_why_it_is_not() -> None:
    sim = burst(dict.fromkeys("abcd", 1), maxClones=3)
    sim.run(900, until=lambda: len(ready_ones(sim)) == 3)
    sim.run(30)
    assert (len(ready_ones(sim)), len(refused(sim))) == (3, 1)


def test_a_crowd_at_the_default_limit_is_served_up_to_it() -> None:
    sim = burst({f"w{n}": 1 for n in range(70)})
    sim.run(3600, until=lambda: len(ready_ones(sim)) == 50)
    sim.run(30)
    assert (len(ready_ones(sim)), len(refused(sim))) == (50, 20)


def test_whoever_leaves_lets_the_next_in_at_once() -> None:
    sim = burst(dict.fromkeys("abcd", 1), maxClones=3)
    sim.run(900, until=lambda: len(ready_ones(sim)) == 3)
    sim.run(30)
    waiting, leaver = refused(sim)[0], ready_ones(sim)[0].removesuffix("-1")
    sim.cluster.remove(Key(Kind.VMCLONE, "team-a", leaver))
    sim.run(50, until=lambda: f"{waiting}-1" in ready_ones(sim))
    assert f"{waiting}-1" in ready_ones(sim)
    assert refused(sim) == []


def test_a_wish_that_is_too_large_is_met_as_far_as_it_may_be() -> None:
    sim = burst({"dev": 5}, maxReplicasPerClone=3)
    sim.run(900, until=lambda: len(ready_ones(sim)) == 3)
    sim.run(30)
    assert (len(ready_ones(sim)), refused(sim)) == (3, ["dev"])


@pytest.mark.parametrize("state", [{"paused": True}, {"plan": {"mode": "DryRun"}}, {"plan": {"mode": "Manual"}}])
def test_one_that_makes_nothing_keeps_no_place_from_those_behind_it(state: dict[str, Any]) -> None:
    sim = burst({})
    sim.cluster.apply(Kind.SOURCE, manifests.source(limits={"maxClones": 1}))
    sim.cluster.apply(Kind.VMCLONE, manifests.vmclone("first", replicas=1, **state))
    sim.run(5)
    sim.cluster.apply(Kind.VMCLONE, manifests.vmclone("second", replicas=1))
    sim.run(900, until=lambda: ready_ones(sim) == ["second-1"])
    assert ready_ones(sim) == ["second-1"]


@pytest.mark.parametrize("seed", range(12))
def test_any_burst_with_leavers_and_restarts_ends_with_as_many_as_the_limit_allows(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311  - a schedule, not a secret
    wishes = {f"w{n}": chance.randint(1, 3) for n in range(chance.randint(2, 8))}
    limit = chance.randint(1, 12)
    sim = burst(wishes, maxClones=limit)
    for _ in range(3):
        sim.run(chance.uniform(0.5, 80))
        leaver = chance.choice([*wishes, ""])
        if leaver:
            del wishes[leaver]
            sim.cluster.remove(Key(Kind.VMCLONE, "team-a", leaver))
        elif chance.random() < 0.5:
            sim.restart()
    expected = min(limit, sum(wishes.values()))
    sim.run(1800, until=lambda: len(ready_ones(sim)) == expected)
    sim.run(60)
    assert len(ready_ones(sim)) == expected
