"""What stories about the whole engine are told with."""

from __future__ import annotations

from typing import Any

from tests.crash.lives import begin, begin_clean, wait_ready
from tests.support import manifests
from tests.support.sim_kubelet import CopyRun
from tests.support.simulation import Simulation

from vmclone_operator.kube.cluster import Document, Key, Kind
from vmclone_operator.providers.fake import FaultSchedule

DEV = Key(Kind.VMCLONE, "team-a", "dev")


def ready(replicas: int = 2, **more: Any) -> Simulation:
    """Return an operator whose VMClone `dev` is ready."""
    sim = begin(FaultSchedule(), replicas=replicas, **more)
    wait_ready(sim, replicas)
    return sim


def ready_clean(replicas: int = 1, **spec: Any) -> Simulation:
    """Return an operator whose VMClone `dev` of clean clones is ready."""
    sim = begin_clean(FaultSchedule(), replicas=replicas, **spec)
    wait_ready(sim, replicas)
    return sim


def copying(replicas: int = 1, **spec: Any) -> Simulation:
    """Return an operator that copies homes into so many clean clones just now."""
    sim = begin_clean(FaultSchedule(), replicas=replicas, **spec)
    wait_copying(sim, replicas)
    return sim


def wait_copying(sim: Simulation, count: int = 1) -> list[CopyRun]:
    """Run until so many copies run; return them."""
    sim.run(600, until=lambda: len(sim.kubelet.running()) >= count)
    assert len(sim.kubelet.running()) == count, vmclone(sim)["status"]
    sim.run(1)
    return sim.kubelet.running()


def leftovers(sim: Simulation) -> list[str]:
    """Return the Jobs, pods and Secrets that the operator made and that are still there."""
    ours = (Kind.JOB, Kind.POD, Kind.SECRET)
    return [str(key) for key in sim.cluster.documents if key.kind in ours and key.name != "home-key"]


def ask_for_sync(sim: Simulation, when: str = "now", **spec: Any) -> None:
    """Ask for a refresh of all homes of VMClone `dev`."""
    wish = manifests.vmclone(**spec)
    wish["metadata"]["annotations"] = {"vmclone.dev/sync-requested-at": when}
    sim.cluster.apply(Kind.VMCLONE, wish)


def vmclone(sim: Simulation, name: str = "dev", namespace: str = "team-a") -> Document:
    """Return a VMClone as it is."""
    document = sim.get(Kind.VMCLONE, name, namespace)
    assert document is not None
    return document


def replica(sim: Simulation, ordinal: int, name: str = "dev", namespace: str = "team-a") -> Document:
    """Return a VMCloneReplica as it is."""
    document = sim.get(Kind.REPLICA, f"{name}-{ordinal}", namespace)
    assert document is not None
    return document


def condition(document: Document, kind: str) -> tuple[str, str]:
    """Return a condition's status and reason."""
    found = [c for c in document["status"].get("conditions", []) if c["type"] == kind]
    return (found[0]["status"], found[0]["reason"]) if found else ("absent", "")


def sessions(sim: Simulation, name: str = "dev") -> list[str]:
    """Return the sessions of a VMClone's replicas."""
    return [row["session"] for row in vmclone(sim, name)["status"]["replicaStatuses"]]


def named(sim: Simulation, name: str = "dev") -> list[str]:
    """Return the VMs that a VMClone says its replicas have."""
    return sorted(row["name"] for row in vmclone(sim, name)["status"]["replicaStatuses"])


def change(sim: Simulation, **spec: Any) -> None:
    """Apply another spec to VMClone `dev`."""
    sim.cluster.apply(Kind.VMCLONE, manifests.vmclone(**spec))


def wipe(sim: Simulation, key: Key, **metadata: Any) -> None:
    """Empty the status of an object and overwrite metadata, behind everybody's back."""

    def overwrite(document: Document) -> None:
        document["status"] = {"observedGeneration": -1}
        document["metadata"].update(metadata)

    sim.cluster.overwrite(key, overwrite)


def reads(sim: Simulation, seconds: float) -> int:
    """Return how often the API server is asked in this time."""
    asked = []

    def lost() -> bool:
        asked.append(sim.clock())
        return False

    sim.loses_read = lost
    sim.run(seconds)
    return len(asked)
