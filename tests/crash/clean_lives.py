"""A life of clean clones with their home copies, for crash tests: made, copied into, and deleted in mid-copy."""

from __future__ import annotations

from dataclasses import dataclass

from tests.crash.lives import VMCLONE, begin_clean, wait_ready, watched
from tests.support import manifests
from tests.support.simulation import Simulation

from vmclone_operator.kube.cluster import Kind
from vmclone_operator.providers.fake import FaultSchedule, Inventory

PATIENCE_SECONDS = 3600.0


@dataclass(frozen=True)
class CleanOutcome:
    """What one life left: at Ready, and after everything was deleted."""

    ready: Inventory
    end: Inventory
    defines: tuple[int, ...]
    boots: tuple[int, ...]
    left_at_ready: tuple[str, ...]
    """Jobs, pods and Secrets of ours that nobody needs any more."""
    left_at_end: tuple[str, ...]
    keys_at_ready: int
    """Keys of copies that still open a clone."""
    receipts: tuple[bool, ...]
    foreign_writes: int


def live_clean(schedule: FaultSchedule, *, late_events: bool = True, deleted: bool = True) -> CleanOutcome:
    """Make a clean clone, wait until it is Ready, ask for another and delete both while its home is copied."""
    sim = begin_clean(schedule, replicas=1, late_events=late_events)
    followed(sim)
    wait_ready(sim, 1)
    ready, left = sim.world.inventory(), ours(sim)
    keys = sum(len(machine.guest.copy_keys) for machine in sim.world.state.machines.values())
    status = (sim.get(Kind.REPLICA, "dev-1", "team-a") or {})["status"]
    receipts = (bool((status.get("homeCopy") or {}).get("completionTime")),)
    if deleted:
        sim.cluster.apply(Kind.VMCLONE, manifests.vmclone(replicas=2))
        watched(sim, PATIENCE_SECONDS, until=lambda: any(run.began < sim.clock() for run in sim.kubelet.running()))
    sim.cluster.remove(VMCLONE)
    watched(sim, PATIENCE_SECONDS, until=lambda: sim.get(Kind.VMCLONE, "dev", "team-a") is None)
    watched(sim, 60)
    assert sim.get(Kind.VMCLONE, "dev", "team-a") is None, "the VMClone did not go"
    effects = sim.world.effects
    return CleanOutcome(
        ready=ready,
        end=sim.world.inventory(),
        defines=tuple(sorted(effects.creates.values())),
        boots=tuple(sorted(effects.boots.values())),
        left_at_ready=left,
        left_at_end=ours(sim),
        keys_at_ready=keys,
        receipts=receipts,
        foreign_writes=len(effects.foreign_touched),
    )


def ours(sim: Simulation) -> tuple[str, ...]:
    """Return what is left of ours in the operator's namespace."""
    kinds = (Kind.JOB, Kind.POD, Kind.SECRET)
    return tuple(str(key) for key in sim.cluster.documents if key.kind in kinds and key.name != "home-key")


def followed(sim: Simulation) -> None:
    """Hold each Job that begins against what must be true by then."""

    def look(kind: Kind, event: str, document: dict[str, dict[str, dict[str, str]]]) -> None:
        if kind is not Kind.JOB or event != "ADDED":
            return
        uid = document["metadata"]["labels"]["vmclone.dev/incarnation"]
        ledgers = {d["metadata"]["uid"]: d.get("status", {}) for k, d in sim.cluster.documents.items() if is_replica(k)}
        assert ledgers[uid].get("operation", {}).get("kind") == "HomeCopy", "a Job without an intent"
        busy = [run.incarnation for run in sim.kubelet.running()]
        assert busy.count(uid) <= 1, "two copies into one clone"
        machine = next(m for m in sim.world.state.machines.values() if m.stamp and m.stamp.incarnation == uid)
        assert machine.guest.copy_keys, "a copy that its clone does not let in"

    sim.cluster.watchers.append(look)


def is_replica(key: object) -> bool:
    """Return whether a key names a VMCloneReplica."""
    return getattr(key, "kind", None) is Kind.REPLICA
