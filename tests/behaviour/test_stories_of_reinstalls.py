"""The operator installed anew in another namespace, without `operator.instance`: the clones are healthy, and stay."""

from __future__ import annotations

from tests.support.simulation import Simulation
from tests.support.stories import DEV, condition, ready, replica, vmclone

from vmclone_operator.kube.cluster import Document


def reinstalled() -> Simulation:
    """Return an operator of another instance that finds a clone of the former one."""
    sim = ready(1)
    sim.instance = "instance-2"
    sim.restart()
    sim.run(120)
    return sim


def message(document: Document, kind: str) -> str:
    return str(next(c["message"] for c in document["status"]["conditions"] if c["type"] == kind))


def test_the_condition_names_operator_instance_and_advises_nobody_to_remove_a_healthy_vm() -> None:
    sim = reinstalled()
    assert condition(replica(sim, 1), "Stalled") == ("True", "Foreign")
    for told in (message(replica(sim, 1), "Stalled"), message(vmclone(sim), "Ready")):
        assert "operator.instance=instance-1" in told
        assert "do not remove the VM" in told
        assert "or remove the VM" not in told


def test_with_operator_instance_set_everything_goes_on() -> None:
    sim = reinstalled()
    sim.instance = "instance-1"
    sim.restart()
    sim.run(120)
    assert condition(vmclone(sim), "Ready") == ("True", "AllReady")
    assert sum(sim.world.effects.creates.values()) == 1


def test_a_deletion_that_hangs_for_it_names_it_on_the_vmclone() -> None:
    sim = reinstalled()
    sim.cluster.remove(DEV)
    sim.run(120)
    assert condition(vmclone(sim), "Deleting") == ("True", "OwnershipMismatch")
    assert "operator.instance=instance-1" in message(vmclone(sim), "Deleting")
    assert len([m for m in sim.world.state.machines.values() if m.name.startswith("dev-")]) == 1
