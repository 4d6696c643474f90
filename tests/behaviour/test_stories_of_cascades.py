"""kubectl's own words for a deletion: orphan leaves the VMs, background and foreground take them along."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.support.simulation import Simulation
from tests.support.stories import DEV, ready

from vmclone_operator.kube.cluster import Key, Kind

REPLICAS = tuple(Key(Kind.REPLICA, "team-a", f"dev-{ordinal}") for ordinal in (1, 2))


def delete(sim: Simulation, finalizer: str = "") -> None:
    """Delete the VMClone as the API server does it for a propagation policy."""
    if finalizer:
        sim.cluster.overwrite(DEV, lambda d: d["metadata"]["finalizers"].append(finalizer))
    sim.cluster.remove(DEV)


def collect(sim: Simulation) -> None:
    """Do what the garbage collector does for `orphan`: first the references, then the finalizer."""
    for key in REPLICAS:
        if key in sim.cluster.documents:
            sim.cluster.overwrite(key, lambda d: d["metadata"].update(ownerReferences=[]))
    if DEV in sim.cluster.documents:
        sim.cluster.overwrite(DEV, lambda d: d["metadata"]["finalizers"].remove("orphan"))


def before(sim: Simulation) -> None:
    delete(sim, "orphan")
    collect(sim)


def after(sim: Simulation) -> None:
    delete(sim, "orphan")
    sim.run(60)
    collect(sim)


def meanwhile(sim: Simulation) -> None:
    delete(sim, "orphan")
    sim.run(0.5)
    collect(sim)


def restarted(sim: Simulation) -> None:
    delete(sim, "orphan")
    collect(sim)
    sim.restart()


@pytest.mark.parametrize("happens", [before, after, meanwhile, restarted])
def test_orphan_leaves_the_vms_whenever_the_garbage_collector_acts(happens: Callable[[Simulation], None]) -> None:
    sim = ready(2)
    happens(sim)
    sim.run(300)
    assert not [key for key in sim.cluster.documents if key.kind in {Kind.VMCLONE, Kind.REPLICA}]
    clones = [machine for machine in sim.world.state.machines.values() if machine.name.startswith("dev-")]
    assert len(clones) == 2
    assert [machine.stamp for machine in clones] == [None, None]
    told = [d["reason"] for key, d in sim.cluster.documents.items() if key.kind is Kind.EVENT]
    assert told.count("Orphaned") >= 2


@pytest.mark.parametrize("finalizer", ["", "foregroundDeletion"])
def test_background_and_foreground_take_the_vms_along(finalizer: str) -> None:
    sim = ready(2)
    delete(sim, finalizer)
    sim.run(120)
    if finalizer:
        sim.cluster.overwrite(DEV, lambda d: d["metadata"]["finalizers"].remove(finalizer))
    assert not [key for key in sim.cluster.documents if key.kind in {Kind.VMCLONE, Kind.REPLICA}]
    assert sim.world.inventory().clones == ()
    assert sim.world.inventory().files == ()


def test_a_replica_that_was_scaled_down_before_is_removed_all_the_same() -> None:
    sim = ready(2)
    sim.cluster.overwrite(REPLICAS[1], lambda d: d["metadata"].update(deletionTimestamp="2025-12-31T00:00:00Z"))
    delete(sim, "orphan")
    sim.run(30)
    collect(sim)
    sim.run(120)
    left = [m.name for m in sim.world.state.machines.values() if m.name.startswith("dev-")]
    assert len(left) == 1
