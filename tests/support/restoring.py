"""What a backup tool does to a namespace: objects vanish without a word to their finalizers, and wishes come back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.support import manifests
from tests.support.documents import copied
from tests.support.simulation import Simulation

from vmclone_operator.kube.cluster import Document, Key, Kind


def lose(sim: Simulation, namespace: str = "team-a") -> None:
    """Take a namespace's VMClones and VMCloneReplicas away, as the loss of a cluster does: nobody is asked."""
    kinds = (Kind.REPLICA, Kind.VMCLONE)
    for key in [key for kind in kinds for key in sim.cluster.documents if key.kind is kind]:
        if key.namespace == namespace:
            sim.cluster.overwrite(key, lambda d: d["metadata"].update(finalizers=[]))
            sim.cluster.remove(key)


def restore(sim: Simulation, name: str = "dev", *, annotations: Mapping[str, str] | None = None, **spec: Any) -> None:
    """Have a VMClone back as it was wished for: another uid, no status."""
    wish = manifests.vmclone(name, **spec)
    if annotations:
        wish["metadata"]["annotations"] = dict(annotations)
    sim.cluster.apply(Kind.VMCLONE, wish)


def machines(sim: Simulation) -> dict[str, str]:
    """Return every VM of ours: its name by its UUID."""
    return {uuid: m.name for uuid, m in sim.world.state.machines.items() if m.stamp is not None}


def adopted(sim: Simulation, ordinal: int, name: str = "dev") -> Document:
    """Return what a replica says of the VM that it adopted; empty when it has one of its own."""
    document = copied(sim.cluster.documents[Key(Kind.REPLICA, "team-a", f"{name}-{ordinal}")])
    return dict(document["spec"].get("adopted") or {})
