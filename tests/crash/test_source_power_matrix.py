"""A source that is switched for a clone runs again, whatever goes wrong at whichever write on the way."""

from __future__ import annotations

import pytest
from tests.crash.lives import begin, wait_ready
from tests.support.simulation import Simulation

from vmclone_operator.domain.backend import Power
from vmclone_operator.kube.cluster import Kind
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
