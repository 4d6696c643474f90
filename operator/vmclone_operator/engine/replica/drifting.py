"""What a replica's status says of drift: the shape that was made, and how its VM differs from it now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vmclone_operator.api.replica import ShapeStatus, VMCloneReplicaStatus
from vmclone_operator.domain.backend import BackendSession, CloneRef, ObservedClone, Shape
from vmclone_operator.domain.conditions import ConditionWriter, find, is_true, without
from vmclone_operator.domain.drift import Drift, DriftKind, differences, drift_of
from vmclone_operator.domain.errors import CloneError, OwnershipMismatch
from vmclone_operator.domain.plan import Situation
from vmclone_operator.domain.source_values import AS_THE_SOURCE
from vmclone_operator.engine.context import Engine
from vmclone_operator.engine.objects.replica import Replica
from vmclone_operator.kube.cluster import Document, Key, Kind


async def instance_of(session: BackendSession, ref: CloneRef) -> str:
    """Return the instance whose stamp a clone carries if it is not this one; empty where that is not what differs."""
    try:
        await session.guest_addresses(ref)  # any verb compares the stamp first, and this one changes nothing
    except OwnershipMismatch as error:
        return error.instance
    except CloneError:
        return ""
    return ""


async def told(
    engine: Engine, replica: Replica, status: VMCloneReplicaStatus, situation: Situation
) -> VMCloneReplicaStatus:
    """Return the status with the shape that was made and the Drifted condition; a new drift is an Event too."""
    engine.thorough.discard(replica.key)
    if not is_true(status.conditions, "Provisioned"):
        return status
    status = _with_shape(status, situation.clone)
    drift, before = _drift(status, situation), find(status.conditions, "Drifted")
    writer = engine.writer_for(replica.document)
    new = drift is not None and (before is None or before.reason != drift.kind)
    if new and drift is not None and drift.kind is not DriftKind.MISSING:
        await engine.events.post(
            Kind.REPLICA, replica.document, reason=drift.kind, action="Compare", note=drift.message, warning=True
        )
    return noted(status, drift, writer)


def noted(status: VMCloneReplicaStatus, drift: Drift | None, writer: ConditionWriter) -> VMCloneReplicaStatus:
    """Return the status with the Drifted condition as it is now."""
    if drift is None:
        return status.model_copy(update={"conditions": without(status.conditions, "Drifted")})
    conditions = writer.put(status.conditions, "Drifted", status=True, reason=drift.kind, message=drift.message)
    return status.model_copy(update={"conditions": conditions})


def differs(replica: Document, clone: ObservedClone) -> bool:
    """Return whether a VM's shape and what its replica says of it are out of step."""
    status = replica.get("status") or {}
    drifted = any(c["type"] == "Drifted" and c["status"] == "True" for c in status.get("conditions") or [])
    return drifted is not any(True for _ in differences(_shape(status.get("shape")), clone.shape))


def is_rebuilt(engine: Engine, backend: str) -> bool:
    """Return whether the CloneBackend says that reconfigured clones are made anew."""
    document = engine.cache.get(Key(Kind.BACKEND, "", backend))
    return document is not None and (document["spec"].get("drift") or {}).get("action") == "Recreate"


def _drift(status: VMCloneReplicaStatus, situation: Situation) -> Drift | None:
    made = None if status.shape is None else _shape(status.shape.model_dump(by_alias=True))
    seen = None if situation.clone is None else situation.clone.shape
    if situation.clone is None and not situation.provisioned:
        return None  # made in this very pass: it has not been looked at yet
    return drift_of(made, seen, foreign=situation.foreign, instance=situation.foreign_instance)


def _with_shape(status: VMCloneReplicaStatus, clone: ObservedClone | None) -> VMCloneReplicaStatus:
    if status.shape is not None or clone is None or not clone.complete or clone.shape == AS_THE_SOURCE:
        return status
    made = clone.shape
    shape = ShapeStatus(cpus=made.cpus, memory_bytes=made.memory_bytes, networks=made.networks)
    return status.model_copy(update={"shape": shape})


def _shape(recorded: Mapping[str, Any] | None) -> Shape | None:
    if not recorded:
        return None
    return Shape(
        cpus=int(recorded.get("cpus", 0)),
        memory_bytes=int(recorded.get("memoryBytes", 0)),
        networks=tuple(recorded.get("networks") or ()),
    )
