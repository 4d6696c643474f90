"""The whole engine over the Proxmox VE adapter and a double of the server: the same manifests, the same conditions."""

from __future__ import annotations

import pytest
from tests.crash.lives import wait_ready
from tests.doubles.pve.modelled import use_vmclone_guests, vmclone_disk
from tests.support import manifests
from tests.support.pve_direct import Cluster, join_parts
from tests.support.simulation import Simulation
from tests.support.stories import condition, vmclone

from vmclone_operator.kube.cluster import Key, Kind
from vmclone_operator.providers.fake.guest import Guest, host_key

WRITES, READS = 17, 75
"""For each replica after the first."""


def begin(*, running: bool, replicas: int = 3) -> tuple[Simulation, Cluster]:
    """Return an operator on a cluster with one source, which is to be cloned."""
    cluster = Cluster()
    sim = Simulation(backend=cluster)
    cluster.place(sim.clock)
    use_vmclone_guests(cluster.guests)
    join_parts(cluster.guests)
    guest = Guest(machine_id="a" * 32, hostname="golden", host_key=host_key("golden"), reset_seconds=10)
    cluster.guests.disks["local:100/vm-100-disk-0.qcow2"] = vmclone_disk(guest)
    if running:
        cluster.switch_on(100)
    sim.cluster.apply(Kind.BACKEND, manifests.backend())
    sim.cluster.apply(Kind.SOURCE, manifests.source(vm="golden"))
    sim.cluster.apply(Kind.VMCLONE, manifests.vmclone(replicas=replicas))
    return sim, cluster


@pytest.mark.parametrize("running", [True, False], ids=["a running source", "a stopped source"])
def test_three_clones_get_ready_and_are_removed_without_a_trace(*, running: bool) -> None:
    sim, cluster = begin(running=running)
    before = cluster.volumes()
    wait_ready(sim, 3)
    assert condition(vmclone(sim), "Ready") == ("True", "AllReady")
    assert len(cluster.world.vms) == 1 + 1 + 3
    assert cluster.good_clones() == {100: 1, cluster.template(): 3}
    sim.cluster.remove(Key(Kind.VMCLONE, "team-a", "dev"))
    sim.run(600, until=lambda: sim.get(Kind.VMCLONE, "dev", "team-a") is None)
    assert set(cluster.world.vms) == {100}
    assert cluster.volumes() == before


def test_a_replica_costs_no_more_calls_than_it_was_meant_to() -> None:
    """Measured: 16 writes, of which 10 are commands in the guest, and 71 reads, half of them of the VM's config."""
    sim, cluster = begin(running=False, replicas=1)
    wait_ready(sim, 1)
    one = cluster.calls.copy()
    sim, cluster = begin(running=False, replicas=4)
    wait_ready(sim, 4)
    writes = (cluster.writes() - sum(n for call, n in one.items() if not call.startswith("GET "))) / 3
    reads = (cluster.reads() - sum(n for call, n in one.items() if call.startswith("GET "))) / 3
    assert writes <= WRITES, cluster.calls
    assert reads <= READS, cluster.calls


def test_a_clone_whose_vm_was_removed_by_hand_is_made_again() -> None:
    sim, cluster = begin(running=False, replicas=2)
    wait_ready(sim, 2)
    gone = max(vmid for vmid in cluster.world.vms if vmid not in {100, cluster.template()})
    cluster.remove_by_hand(gone)
    sim.run(900)
    wait_ready(sim, 2)
    assert len(cluster.world.vms) == 1 + 1 + 2


def test_an_operator_that_is_killed_while_clones_are_made_makes_each_once() -> None:
    sim, cluster = begin(running=False, replicas=2)
    for _ in range(6):
        sim.run(7)
        sim.restart()
    wait_ready(sim, 2)
    assert cluster.good_clones() == {100: 1, cluster.template(): 2}
