"""The whole engine over the Proxmox VE adapter and a double of the server: the same manifests, the same conditions."""

from __future__ import annotations

import pytest
from tests.crash import proxmox_lives
from tests.crash.lives import wait_ready
from tests.crash.proxmox_lives import IMAGE, THEIRS, WAYS, Way
from tests.support.pve_direct import Cluster
from tests.support.simulation import Simulation
from tests.support.stories import condition, vmclone

from vmclone_operator.kube.cluster import Key, Kind

WRITES, READS = 17, 52
"""For each replica after the first."""


def begin(*, running: bool, replicas: int = 3) -> tuple[Simulation, Cluster]:
    """Return an operator on a cluster with one source, which is to be cloned."""
    return proxmox_lives.begin(Way(running=running), replicas=replicas)


@pytest.mark.parametrize("running", [True, False], ids=["a running source", "a stopped source"])
def test_three_clones_get_ready_and_are_removed_without_a_trace(*, running: bool) -> None:
    sim, cluster = begin(running=running)
    before = cluster.volumes()
    wait_ready(sim, 3)
    assert condition(vmclone(sim), "Ready") == ("True", "AllReady")
    assert len(cluster.world.vms) == len(THEIRS) + 1 + 3
    assert cluster.good_clones() == {100: 1, cluster.template(): 3}
    sim.cluster.remove(Key(Kind.VMCLONE, "team-a", "dev"))
    sim.run(600, until=lambda: sim.get(Kind.VMCLONE, "dev", "team-a") is None)
    assert set(cluster.world.vms) == THEIRS
    assert cluster.volumes() == before


def test_clean_clones_of_a_template_are_like_their_source_and_get_its_home() -> None:
    sim, cluster = proxmox_lives.begin(WAYS["clean"], replicas=2)
    before = cluster.volumes()
    wait_ready(sim, 2)
    assert cluster.good_clones() == {IMAGE: 2}
    clones = [vm for vm in cluster.world.vms.values() if vm.vmid not in THEIRS]
    assert [(vm.config["memory"], "size=1G" in vm.config["scsi0"]) for vm in clones] == [("256", True)] * 2
    guests = [cluster.guests.running[vm.vmid].disk.state["guest"] for vm in clones]
    assert sorted(guest.hostname for guest in guests) == sorted(vm.name for vm in clones)
    assert len({guest.machine_id for guest in guests} | {guest.host_key for guest in guests}) == 4
    replicas = [sim.get(Kind.REPLICA, f"dev-{number}", "team-a") or {} for number in (1, 2)]
    assert all(one["status"]["homeCopy"].get("completionTime") for one in replicas)
    sim.cluster.remove(Key(Kind.VMCLONE, "team-a", "dev"))
    sim.run(600, until=lambda: sim.get(Kind.VMCLONE, "dev", "team-a") is None)
    assert (set(cluster.world.vms), cluster.volumes()) == (THEIRS, before)


def test_a_replica_costs_no_more_calls_than_it_was_meant_to() -> None:
    """Measured: 16 writes, 10 of them commands in the guest, and 49 reads, two a pass that looks at the clone."""
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
    gone = max(vmid for vmid in cluster.world.vms if vmid not in {*THEIRS, cluster.template()})
    cluster.remove_by_hand(gone)
    sim.run(900)
    wait_ready(sim, 2)
    assert len(cluster.world.vms) == len(THEIRS) + 1 + 2


def test_an_operator_that_is_killed_while_clones_are_made_makes_each_once() -> None:
    sim, cluster = begin(running=False, replicas=2)
    for _ in range(6):
        sim.run(7)
        sim.restart()
    wait_ready(sim, 2)
    assert cluster.good_clones() == {100: 1, cluster.template(): 2}
