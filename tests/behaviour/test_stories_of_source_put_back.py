"""Stories of what must not keep a source from being put back as it was, and of whom that must not harm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.crash.lives import begin, begin_clean, wait_ready
from tests.support import manifests
from tests.support.simulation import Simulation
from tests.support.stories import DEV, change, condition, replica, vmclone
from tests.support.two_hosts import TwoHosts, with_two_hosts

from vmclone_operator.domain.backend import Power
from vmclone_operator.engine.objects.lineage import is_copying
from vmclone_operator.kube.cluster import Key, Kind
from vmclone_operator.providers.fake import FaultSchedule
from vmclone_operator.providers.fake.state import Machine

ORPHANS = {"onDelete": "Orphan", "onScaleDown": "Orphan"}
START: dict[str, Any] = {"sourcePower": "StartForCopy"}
STOP: dict[str, Any] = {"sourcePower": "StopForClone", "disk": {"consistency": "PoweredOff"}}


def source(sim: Simulation) -> Machine:
    """Return the source's VM."""
    return sim.world.find("golden-dev")


def copying_to_another_host() -> tuple[Simulation, TwoHosts]:
    """Live until a source that was off is on for the home of a clone on another host."""
    sim, hosts = with_two_hosts()
    sim.world.add_source("golden-dev", power=Power.OFF)
    for kind, document in (
        (Kind.SECRET, manifests.home_key()),
        (Kind.BACKEND, manifests.backend()),
        (Kind.BACKEND, manifests.backend("other")),
        (Kind.SOURCE, manifests.clean_source(images=[{"backend": "other", "volume": "golden"}])),
        (Kind.VMCLONE, manifests.vmclone(replicas=1, backend={"name": "other"}, **START)),
    ):
        sim.cluster.apply(kind, document)
    sim.kubelet.copy_seconds = 600
    sim.run(1800, until=lambda: len(sim.kubelet.running()) == 1)
    assert source(sim).power is Power.ON
    return sim, hosts


def orphan(sim: Simulation, key: Key) -> None:
    """Say that whatever cannot be removed is left behind."""
    asked = {"vmclone.dev/orphan-on-delete": "true"}
    sim.cluster.overwrite(key, lambda d: d["metadata"].update(annotations=asked))


def lose_host(sim: Simulation, hosts: TwoHosts, name: str) -> None:
    """Take a host away, from a new operator: it has no session there any more."""
    hosts.away.add(name)
    sim.restart()


def test_whoever_leaves_clones_behind_on_a_host_that_is_away_leaves_no_source_switched() -> None:
    sim, hosts = copying_to_another_host()
    lose_host(sim, hosts, "other")
    orphan(sim, DEV)
    sim.cluster.remove(DEV)
    sim.run(300)
    assert sim.get(Kind.VMCLONE, "dev", "team-a") is None
    assert source(sim).power is Power.OFF


def test_a_source_goes_back_after_its_copies_although_the_host_of_the_frozen_points_is_away() -> None:
    sim, hosts = copying_to_another_host()
    sim.run(1800, until=lambda: not is_copying(replica(sim, 1)))
    assert source(sim).power is Power.ON
    lose_host(sim, hosts, "other")
    sim.run(300)
    assert (source(sim).power, vmclone(sim)["status"].get("sourcePower")) == (Power.OFF, None)


def test_a_source_is_started_again_although_an_orphan_keeps_an_older_frozen_point() -> None:
    sim = begin(FaultSchedule(), replicas=1, deletion=ORPHANS, **STOP)
    wait_ready(sim, 1)
    change(sim, replicas=0, deletion=ORPHANS, **STOP)
    sim.run(300, until=lambda: sim.get(Kind.REPLICA, "dev-1", "team-a") is None)
    assert len(sim.world.inventory().frozen_points) == 1
    source(sim).disks[0].capacity_bytes *= 2
    sim.world.copy_seconds = 300
    change(sim, replicas=1, **STOP)
    sim.run(600, until=lambda: source(sim).power is Power.OFF)
    sim.run(30)
    sim.cluster.remove(DEV)
    sim.run(120)
    assert condition(vmclone(sim), "Deleting") == ("True", "HeldBy")
    assert source(sim).power is Power.ON
    assert len(sim.world.inventory().frozen_points) == 1


def test_a_source_is_not_switched_off_under_a_copy_of_it_that_runs_for_somebody_else() -> None:
    sim = begin_clean(FaultSchedule(), replicas=1, **START)
    sim.cluster.apply(Kind.SOURCE, manifests.clean_source(modes=["Clean", "Disk"]))
    sim.world.set_power_by_hand(source(sim), Power.OFF)
    sim.run(1800, until=lambda: len(sim.kubelet.running()) == 1)
    sim.world.copy_seconds = 600
    sim.cluster.apply(Kind.VMCLONE, manifests.vmclone("other", replicas=1, mode="Disk"))
    sim.run(1800, until=lambda: condition(vmclone(sim, "other"), "Ready")[0] == "True")
    assert condition(vmclone(sim, "other"), "Ready")[0] == "True"
    assert sim.world.effects.copies[vmclone(sim, "other")["metadata"]["uid"]] == 1
    sim.run(120)
    assert (source(sim).power, vmclone(sim)["status"].get("sourcePower")) == (Power.OFF, None)


def wipe(sim: Simulation) -> None:
    """Take the status of VMClone `dev` away, as whoever may write it can."""
    sim.cluster.overwrite(DEV, lambda d: d.update(status={"observedGeneration": -1}))


def switched_for(sim: Simulation) -> list[str]:
    """Return for whom the CloneSource says that its VM is switched."""
    document = sim.get(Kind.SOURCE, "golden-dev", "")
    assert document is not None
    return [entry["vmclone"] for entry in document["status"].get("switchedFor", [])]


def switched_off() -> Simulation:
    """Live until a source that was on is off for its frozen point."""
    sim = begin(FaultSchedule(), replicas=1, **STOP)
    sim.world.copy_seconds = 300
    sim.run(600, until=lambda: source(sim).power is Power.OFF)
    return sim


def switched_on() -> Simulation:
    """Live until a source that was off is on for the home of a clone."""
    sim = begin_clean(FaultSchedule(), replicas=1, **START)
    sim.world.set_power_by_hand(source(sim), Power.OFF)
    sim.run(1800, until=lambda: len(sim.kubelet.running()) == 1)
    return sim


@pytest.mark.parametrize("begun", [switched_off, switched_on])
@pytest.mark.parametrize("deleted", [False, True], ids=["goes on", "is deleted"])
def test_a_source_is_put_back_although_the_status_that_knew_of_it_was_wiped(
    begun: Callable[[], Simulation], *, deleted: bool
) -> None:
    sim = begun()
    switched = source(sim).power
    assert switched_for(sim) == ["team-a/dev"]
    wipe(sim)
    if deleted:
        sim.cluster.remove(DEV)
        sim.run(600)
    else:
        wait_ready(sim, 1)
    assert source(sim).power is not switched
    assert switched_for(sim) == []


def test_a_source_forgets_for_whom_it_was_switched_once_nobody_of_that_uid_is_there() -> None:
    sim = switched_on()
    sim.cluster.overwrite(DEV, lambda d: d["metadata"].update(finalizers=[]))
    sim.cluster.remove(DEV)
    sim.run(120)
    assert switched_for(sim) == []
