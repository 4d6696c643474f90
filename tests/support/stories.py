"""What stories about the whole engine are told with."""

from __future__ import annotations

from typing import Any

from tests.crash.lives import begin, wait_ready
from tests.support import manifests
from tests.support.simulation import Simulation

from vmclone_operator.kube.cluster import Document, Key, Kind
from vmclone_operator.providers.fake import FaultSchedule

DEV = Key(Kind.VMCLONE, "team-a", "dev")


def ready(replicas: int = 2, **more: Any) -> Simulation:
    """Return an operator whose VMClone `dev` is ready."""
    sim = begin(FaultSchedule(), replicas=replicas, **more)
    wait_ready(sim, replicas)
    return sim


def vmclone(sim: Simulation, name: str = "dev", namespace: str = "team-a") -> Document:
    """Return a VMClone as it is."""
    document = sim.get(Kind.VMCLONE, name, namespace)
    assert document is not None
    return document


def replica(sim: Simulation, ordinal: int, name: str = "dev") -> Document:
    """Return a VMCloneReplica as it is."""
    document = sim.get(Kind.REPLICA, f"{name}-{ordinal}", "team-a")
    assert document is not None
    return document


def condition(document: Document, kind: str) -> tuple[str, str]:
    """Return a condition's status and reason."""
    found = [c for c in document["status"].get("conditions", []) if c["type"] == kind]
    return (found[0]["status"], found[0]["reason"]) if found else ("absent", "")


def sessions(sim: Simulation, name: str = "dev") -> list[str]:
    """Return the sessions of a VMClone's replicas."""
    return [row["session"] for row in vmclone(sim, name)["status"]["replicaStatuses"]]


def change(sim: Simulation, **spec: Any) -> None:
    """Apply another spec to VMClone `dev`."""
    sim.cluster.apply(Kind.VMCLONE, manifests.vmclone(**spec))


def wipe(sim: Simulation, key: Key, **metadata: Any) -> None:
    """Empty the status of an object and overwrite metadata, behind everybody's back."""

    def overwrite(document: Document) -> None:
        document["status"] = {"observedGeneration": -1}
        document["metadata"].update(metadata)

    sim.cluster.overwrite(key, overwrite)
