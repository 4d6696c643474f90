"""Lives of a VMClone on the double of Proxmox VE, whole engine included: made, used, deleted, and what that left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.crash.lives import PATIENCE_SECONDS, VMCLONE, wait_ready
from tests.doubles.pve.modelled import use_vmclone_guests, vmclone_disk
from tests.doubles.pve.wire import Reply
from tests.support import manifests
from tests.support.pve_direct import Cluster, join_parts
from tests.support.pve_images import add_image, with_cloud_init
from tests.support.simulation import Simulation
from tests.unit.doubles.pve.lab import adopt, see

from vmclone_operator.kube.cluster import Kind
from vmclone_operator.providers.fake import FaultSchedule
from vmclone_operator.providers.fake.guest import Guest, host_key

SOURCE, IMAGE, STRANGER = 100, 101, 9150
THEIRS = {SOURCE, IMAGE, STRANGER}
DISK = "local:100/vm-100-disk-0.qcow2"


@dataclass(frozen=True, kw_only=True)
class Way:
    """How a VMClone is made."""

    running: bool = False
    clean: bool = False
    stays: int = 2
    """VMs of ours while the clone is ready: its own, and the frozen point where that is not released or borrowed."""
    spec: dict[str, Any] = field(default_factory=dict)


WAYS = {
    "linked, of a stopped source": Way(),
    "linked, of a running source": Way(running=True),
    "full": Way(stays=1, spec={"disk": {"copy": "Full"}}),
    "clean": Way(running=True, clean=True, stays=1),
}


def begin(way: Way, schedule: FaultSchedule | None = None, *, replicas: int = 1) -> tuple[Simulation, Cluster]:
    """Return an operator on a cluster with a source, an image and a stranger's VM among our ids."""
    cluster = Cluster(schedule)
    sim = Simulation(cluster.schedule, backend=cluster)
    cluster.place(sim.clock)
    use_vmclone_guests(cluster.guests)
    join_parts(cluster.guests)
    with_cloud_init(cluster)
    source = cluster.world.vms[SOURCE]
    source.config["name"] = "golden-dev"
    see(cluster.world, source)
    guest = Guest(machine_id="a" * 32, hostname="golden-dev", host_key=host_key("golden"), reset_seconds=10)
    cluster.guests.disks[DISK] = vmclone_disk(guest)
    add_image(cluster, IMAGE, "golden")
    adopt(cluster.world, STRANGER, {"name": "stranger", "memory": "64", "description": "not ours"})
    if way.running:
        cluster.switch_on(SOURCE)
    for kind, document in (
        (Kind.SECRET, manifests.home_key()),
        (Kind.BACKEND, manifests.backend()),
        (Kind.SOURCE, manifests.clean_source() if way.clean else manifests.source()),
        (Kind.VMCLONE, manifests.vmclone(replicas=replicas, **way.spec)),
    ):
        sim.cluster.apply(kind, document)
    return sim, cluster


def remove(sim: Simulation) -> None:
    """Delete the VMClone and wait until it is gone."""
    sim.cluster.remove(VMCLONE)
    sim.run(PATIENCE_SECONDS, until=lambda: sim.get(Kind.VMCLONE, "dev", "team-a") is None)
    assert sim.get(Kind.VMCLONE, "dev", "team-a") is None, "the VMClone did not go"


def live(
    way: Way,
    schedule: FaultSchedule,
    dialect: Callable[[Reply], Reply] | None = None,
    *,
    frozen_once: bool = True,
) -> str:
    """Make one clone, wait until it is Ready, delete it; return what was not as promised.

    `dialect` changes every answer on its way to the operator. `frozen_once`: a freeze that the cluster refuses half way
    is given up, removed and taken again, so a life of refusals may copy its source more than once.
    """
    sim, cluster = begin(way, schedule)
    cluster.dialect = dialect or cluster.dialect
    before = _left(cluster)
    try:
        wait_ready(sim, 1)
        made = _made(cluster)
        remove(sim)
    except AssertionError as error:
        return str(error)[:600]
    checks = {
        "VMs made and ready": (len(made), way.stays),
        "copies": (
            _copies(cluster, frozen_once=frozen_once),
            {IMAGE: 1} if way.clean else {SOURCE: 1, "a frozen point": 1},
        ),
        "left": (_left(cluster), before),
    }
    return "; ".join(f"{name}: {got} != {want}" for name, (got, want) in checks.items() if got != want)


def _made(cluster: Cluster) -> set[int]:
    return set(cluster.world.vms) - THEIRS


def _copies(cluster: Cluster, *, frozen_once: bool) -> dict[object, int]:
    """Return how many copies took effect, by what they are of; of the source one where more are no fault."""
    copies: Counter[object] = Counter()
    for of, count in cluster.good_clones().items():
        copies[of if of in {SOURCE, IMAGE} else "a frozen point"] += count
    if not frozen_once and copies[SOURCE] > 1:
        copies[SOURCE] = 1
    return dict(+copies)


def _left(cluster: Cluster) -> object:
    """Return all that could be left or touched: every config but what the server itself changes, every volume."""
    configs = {vm.vmid: dict(vm.config) for vm in cluster.world.vms.values()}
    return configs, sorted(cluster.volumes())
