"""Stories of a source that is switched for us: always put back as it was, whoever dies in between."""

from __future__ import annotations

from typing import Any

import pytest
from tests.crash.lives import begin, begin_clean, wait_ready
from tests.support import manifests
from tests.support.simulation import Simulation
from tests.support.stories import DEV, change, condition, vmclone
from tests.support.two_hosts import with_two_hosts

from vmclone_operator.domain.backend import Power
from vmclone_operator.kube.cluster import Kind
from vmclone_operator.providers.fake import FaultSchedule
from vmclone_operator.providers.fake.state import Machine

STOP: dict[str, Any] = {"sourcePower": "StopForClone", "disk": {"consistency": "PoweredOff"}}
START: dict[str, Any] = {"sourcePower": "StartForCopy"}


def source(sim: Simulation) -> Machine:
    """Return the source's VM."""
    return sim.world.find("golden-dev")


def ledger(sim: Simulation) -> dict[str, Any]:
    """Return what is written down of the source's power."""
    status = (sim.get(Kind.VMCLONE, "dev", "team-a") or {}).get("status", {})
    told: dict[str, Any] = status.get("sourcePower", {})
    return told


def stopped(schedule: FaultSchedule | None = None, *, replicas: int = 1) -> Simulation:
    """Live until clones of a source that runs are ready, made while it was off."""
    sim = begin(schedule or FaultSchedule(), replicas=replicas, **STOP)
    wait_ready(sim, replicas)
    return sim


def test_a_running_source_is_stopped_for_its_frozen_point_and_started_again() -> None:
    sim = stopped()
    assert vmclone(sim)["status"]["frozenPoints"][0]["consistency"] == "PoweredOff"
    assert source(sim).power is Power.ON
    assert ledger(sim) == {}


def test_how_the_source_was_is_written_down_before_it_is_stopped() -> None:
    sim = begin(FaultSchedule(), replicas=1, **STOP)
    sim.run(600, until=lambda: source(sim).power is Power.OFF)
    assert (ledger(sim)["was"], ledger(sim)["wanted"]) == ("On", "Off")


def test_a_source_that_is_off_stays_off() -> None:
    sim = begin(FaultSchedule(), running=False, replicas=1, **STOP)
    wait_ready(sim, 1)
    assert source(sim).power is Power.OFF
    assert ledger(sim) == {}


def test_keep_stops_nothing() -> None:
    sim = begin(FaultSchedule(), replicas=1, disk={"consistency": "PoweredOff"})
    sim.run(300)
    assert source(sim).power is Power.ON
    assert condition(vmclone(sim), "Stalled") == ("True", "SourceUnhealthy")


def test_a_source_whose_owner_does_not_allow_it_is_not_stopped() -> None:
    sim = Simulation()
    sim.world.add_source("golden-dev")
    for kind, document in (
        (Kind.BACKEND, manifests.backend()),
        (Kind.SOURCE, manifests.source(allowedSourcePower=["StartForCopy"])),
        (Kind.VMCLONE, manifests.vmclone(replicas=1, **STOP)),
    ):
        sim.cluster.apply(kind, document)
    sim.run(300)
    assert source(sim).power is Power.ON
    assert condition(vmclone(sim), "Stalled") == ("True", "SourcePowerNotAllowed")


def test_a_vmclone_deleted_while_the_source_is_off_starts_it_first() -> None:
    sim = begin(FaultSchedule(), replicas=1, **STOP)
    sim.run(600, until=lambda: source(sim).power is Power.OFF)
    sim.cluster.remove(DEV)
    sim.run(120)
    assert sim.get(Kind.VMCLONE, "dev", "team-a") is None
    assert source(sim).power is Power.ON


def test_a_pause_while_the_source_is_off_starts_it() -> None:
    sim = begin(FaultSchedule(), replicas=1, **STOP)
    sim.run(600, until=lambda: source(sim).power is Power.OFF)
    change(sim, replicas=1, paused=True, **STOP)
    sim.run(120)
    assert source(sim).power is Power.ON


def test_two_vmclones_stop_one_source_and_it_runs_in_the_end() -> None:
    sim = begin(FaultSchedule(), replicas=1, **STOP)
    sim.cluster.apply(Kind.VMCLONE, manifests.vmclone("other", replicas=1, **STOP))
    sim.run(900, until=lambda: condition(vmclone(sim, "other"), "Ready")[0] == "True")
    wait_ready(sim, 1)
    sim.run(60)
    assert condition(vmclone(sim, "other"), "Ready")[0] == "True"
    assert source(sim).power is Power.ON


def copies_of_a_stopped_source() -> Simulation:
    sim = begin_clean(FaultSchedule(), replicas=1, **START)
    sim.world.set_power_by_hand(source(sim), Power.OFF)
    return sim


def test_a_stopped_source_is_started_for_a_home_copy_and_stopped_again() -> None:
    sim = copies_of_a_stopped_source()
    wait_ready(sim, 1)
    sim.run(60)
    assert source(sim).power is Power.OFF
    assert ledger(sim) == {}


def test_a_source_that_runs_is_left_running_after_a_home_copy() -> None:
    sim = begin_clean(FaultSchedule(), replicas=1, **START)
    wait_ready(sim, 1)
    sim.run(60)
    assert source(sim).power is Power.ON


def test_the_last_of_two_vmclones_that_copy_stops_the_source_again() -> None:
    sim = copies_of_a_stopped_source()
    sim.cluster.apply(Kind.VMCLONE, manifests.vmclone("other", replicas=2, **START))
    sim.run(1800, until=lambda: condition(vmclone(sim, "other"), "Ready")[0] == "True")
    wait_ready(sim, 1)
    sim.run(120)
    assert condition(vmclone(sim, "other"), "Ready")[0] == "True"
    assert source(sim).power is Power.OFF


def asked_to_shut_down(sim: Simulation) -> bool:
    """Return whether the source's guest is about to go off."""
    return source(sim).off_at > 0


def test_a_guest_that_shuts_down_for_nobody_any_more_is_started_again() -> None:
    sim = begin(FaultSchedule(), replicas=1, **STOP)
    sim.world.shutdown_seconds = 40
    sim.run(600, until=lambda: asked_to_shut_down(sim))
    change(sim, replicas=1, paused=True, **STOP)
    sim.run(20)
    assert source(sim).power is Power.ON
    sim.run(300)
    assert (source(sim).power, ledger(sim)) == (Power.ON, {})


def test_a_guest_that_never_obeys_is_forgotten_in_the_end() -> None:
    sim = begin(FaultSchedule(), replicas=1, **STOP)
    sim.world.shutdown_seconds = 10**6
    sim.run(600, until=lambda: asked_to_shut_down(sim))
    change(sim, replicas=1, paused=True, **STOP)
    sim.run(300)
    assert (source(sim).power, ledger(sim)) == (Power.ON, {})


def test_a_source_that_shuts_down_again_is_started_for_the_next_vmclone_and_stopped_once_more() -> None:
    sim = copies_of_a_stopped_source()
    sim.world.shutdown_seconds = 40
    sim.run(1800, until=lambda: asked_to_shut_down(sim))
    sim.cluster.apply(Kind.VMCLONE, manifests.vmclone("other", replicas=1, **START))
    sim.run(1800, until=lambda: condition(vmclone(sim, "other"), "Ready")[0] == "True")
    assert condition(vmclone(sim, "other"), "Ready")[0] == "True"
    sim.run(120)
    assert (source(sim).power, ledger(sim)) == (Power.OFF, {})


def test_who_waits_for_a_source_that_is_stopped_for_others_is_told_so() -> None:
    sim = copies_of_a_stopped_source()
    sim.run(600, until=lambda: bool(ledger(sim)))
    sim.cluster.apply(Kind.SOURCE, manifests.clean_source(modes=["Clean", "Disk"]))
    sim.cluster.apply(Kind.VMCLONE, manifests.vmclone("other", replicas=1, mode="Disk", **STOP))
    told: set[str] = set()

    def ready() -> bool:
        told.add(condition(vmclone(sim, "other"), "SourceReady")[1])
        return condition(vmclone(sim, "other"), "Ready")[0] == "True"

    sim.run(1800, until=ready)
    assert "SourceLocked" in told
    assert ready()
    assert (source(sim).power, ledger(sim)) == (Power.OFF, {})


def test_a_source_that_is_gone_is_forgotten() -> None:
    sim = begin(FaultSchedule(), replicas=1, **STOP)
    sim.run(600, until=lambda: source(sim).power is Power.OFF)
    sim.world.remove_by_hand(source(sim))
    sim.cluster.remove(DEV)
    sim.run(120)
    assert sim.get(Kind.VMCLONE, "dev", "team-a") is None


def about_to_copy(sim: Simulation) -> bool:
    """Return whether the clone is up, and its home is next."""
    found = sim.get(Kind.REPLICA, "dev-1", "team-a")
    return found is not None and (found.get("status") or {}).get("state") == "Boot"


@pytest.mark.parametrize("how", ["paused", "revoked"])
def test_a_stopped_source_is_not_started_for_who_may_not_or_pauses(how: str) -> None:
    sim = copies_of_a_stopped_source()
    sim.run(900, until=lambda: about_to_copy(sim))
    if how == "paused":
        change(sim, replicas=1, paused=True, **START)
    else:
        sim.cluster.apply(Kind.SOURCE, manifests.clean_source(allowedSourcePower=[]))
    sim.run(600)
    assert (source(sim).power, ledger(sim)) == (Power.OFF, {})


def test_a_source_that_was_started_is_put_back_when_its_owner_takes_the_word_back() -> None:
    sim = copies_of_a_stopped_source()
    sim.run(900, until=lambda: source(sim).power is Power.ON)
    sim.cluster.apply(Kind.SOURCE, manifests.clean_source(allowedSourcePower=[]))
    sim.run(1800)
    assert (source(sim).power, ledger(sim)) == (Power.OFF, {})


def test_a_source_is_started_where_it_is_though_its_clones_go_to_another_host() -> None:
    sim, hosts = with_two_hosts()
    sim.world.add_source("golden-dev", power=Power.OFF).cpus = 3
    images = [{"backend": "other", "volume": "golden"}]
    for kind, document in (
        (Kind.SECRET, manifests.home_key()),
        (Kind.BACKEND, manifests.backend()),
        (Kind.BACKEND, manifests.backend("other")),
        (Kind.SOURCE, manifests.clean_source(images=images)),
        (Kind.VMCLONE, manifests.vmclone(replicas=1, backend={"name": "other"}, **START)),
    ):
        sim.cluster.apply(kind, document)
    wait_ready(sim, 1)
    sim.run(120)
    (clone,) = hosts.worlds["other"].state.machines.values()
    assert clone.shape == sim.world.find("golden-dev").shape
    assert len(sim.kubelet.runs) == 1
    assert (source(sim).power, ledger(sim)) == (Power.OFF, {})
