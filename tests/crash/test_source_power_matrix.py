"""A source that is switched for a clone runs again, whatever goes wrong at whichever write on the way."""

from __future__ import annotations

from typing import Any

import pytest
from tests.crash.lives import begin, wait_ready
from tests.support import manifests
from tests.support.simulation import Simulation
from tests.support.stories import condition

from vmclone_operator.domain.backend import Power
from vmclone_operator.kube.cluster import Key, Kind
from vmclone_operator.providers.fake import Fault, FaultKind, FaultSchedule, Point, at_index

KINDS = [FaultKind.KILL_BEFORE, FaultKind.KILL_AFTER, FaultKind.LOSE_REPLY, FaultKind.FAIL]


def live(schedule: FaultSchedule) -> Simulation:
    """Live until a clone of a source that runs is ready, made while it was off."""
    consistency = {"consistency": "PoweredOff"}
    sim = begin(schedule, replicas=1, sourcePower="StopForClone", disk=consistency)
    wait_ready(sim, 1)
    return sim


def matters(point: Point) -> bool:
    """Return whether a write has to do with the source: the VMClone's own, or one at its VM."""
    return point.writes and (point.call.endswith(" VMClone") or point.verb in {"set_source_power", "freeze"})


@pytest.mark.parametrize("kind", KINDS)
def test_the_source_runs_again_whatever_goes_wrong_at_any_write(kind: FaultKind) -> None:
    """Whoever is killed between stopping it and starting it again, the next one knows how it was."""
    record = FaultSchedule(record=True)
    live(record)
    wrong = []
    for point in filter(matters, record.trace):
        sim = live(FaultSchedule(at_index(point.index, Fault(kind=kind))))
        power = sim.world.find("golden-dev").power
        told = (sim.get(Kind.VMCLONE, "dev", "team-a") or {}).get("status", {}).get("sourcePower")
        if power is not Power.ON or told:
            wrong.append(f"{kind} at {point}: {power} {told}")
    assert not wrong, "\n".join(wrong)


OTHER = Key(Kind.VMCLONE, "team-b", "other")


def shared_live(schedule: FaultSchedule) -> Simulation:
    """Live until two VMClones of two namespaces have their clones of one source, whose guest takes long to go off.

    One is deleted while the source is off, and wished for again while it is put back.
    """
    wish: dict[str, Any] = {"sourcePower": "StopForClone", "disk": {"consistency": "PoweredOff"}}
    sim = begin(schedule, replicas=1, **wish)
    sim.world.shutdown_seconds = 5
    sim.cluster.apply(Kind.VMCLONE, manifests.vmclone("other", "team-b", replicas=1, **wish))
    source = sim.world.find("golden-dev")
    sim.run(600, until=lambda: sim.world.find("golden-dev").power is Power.OFF)
    sim.cluster.remove(OTHER)
    sim.run(600, until=lambda: source.power is Power.ON)
    sim.cluster.apply(Kind.VMCLONE, manifests.vmclone("again", "team-b", replicas=1, **wish))
    wait_ready(sim, 1)
    again = Key(Kind.VMCLONE, "team-b", "again")
    sim.run(1800, until=lambda: condition(sim.cluster.documents[again], "Ready")[0] == "True")
    assert condition(sim.cluster.documents[again], "Ready")[0] == "True", sim.cluster.documents[again]["status"]
    sim.run(180)
    return sim


def held(sim: Simulation) -> list[str]:
    """Return who still says that the source is switched for them."""
    everybody = (document for key, document in sim.cluster.documents.items() if key.kind is Kind.VMCLONE)
    return [str(d["metadata"]["name"]) for d in everybody if (d.get("status") or {}).get("sourcePower")]


@pytest.mark.parametrize("kind", KINDS)
def test_a_source_that_two_vmclones_share_runs_again_whatever_goes_wrong(kind: FaultKind) -> None:
    """The one that lets go while another holds it hands it over; the last one puts it back."""
    record = FaultSchedule(record=True)
    shared_live(record)
    wrong = []
    for point in filter(matters, record.trace):
        sim = shared_live(FaultSchedule(at_index(point.index, Fault(kind=kind))))
        power = sim.world.find("golden-dev").power
        if power is not Power.ON or held(sim) or sim.get(Kind.VMCLONE, "other", "team-b"):
            wrong.append(f"{kind} at {point}: {power} {held(sim)}")
    assert not wrong, "\n".join(wrong)
