"""The sweeper: finds VMs and Jobs of ours that belong to nobody any more. It reports; people decide.

A VM is an orphan only after three looks: the backend's list, then the API server's list of replicas, then the
backend again: a replica that went in between took its VM with it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from vmclone_operator.api.backend import CloneBackendStatus, OrphanStatus
from vmclone_operator.domain.backend import BackendSession, ObservedClone, Owner
from vmclone_operator.domain.conditions import find, printable, without
from vmclone_operator.domain.errors import CloneError
from vmclone_operator.domain.labels import INCARNATION_LABEL
from vmclone_operator.domain.orphans import REPORTED, asked_for, suspects, told
from vmclone_operator.engine.context import Engine, annotation
from vmclone_operator.homecopy.job_manifest import COMPONENT
from vmclone_operator.kube.cluster import Document, Kind

log = logging.getLogger(__name__)

_ANNOTATION = "remove-orphans"


async def look_for_orphans(
    engine: Engine, backend: str, session: BackendSession, clones: Sequence[ObservedClone]
) -> None:
    """Remember which of a backend's VMs belong to nobody; the CloneBackend's own pass tells."""
    known = [c for c in clones if engine.cache.by_incarnation(c.stamp.incarnation) is not None]
    found = suspects(clones, {c.stamp.incarnation for c in known})
    if found:
        found = await _confirmed(engine, session, found)
    engine.orphans[backend] = found


async def look_for_jobs(engine: Engine) -> None:
    """Remember which Jobs of home copies belong to nobody, and say so on each."""
    labels = {"app.kubernetes.io/component": COMPONENT}
    jobs = await engine.cluster.list(Kind.JOB, namespace=engine.pods.namespace, labels=labels)
    suspected = [job for job in jobs if engine.cache.by_incarnation(_incarnation(job)) is None]
    living = await _living(engine) if suspected else set()
    found = [job for job in suspected if _incarnation(job) not in living]
    engine.leftover_jobs = tuple(job["metadata"]["name"] for job in found)
    for job in found:
        note = "this home copy belongs to no VMCloneReplica; delete the Job and the Secret of its name"
        await engine.events.post(Kind.JOB, job, reason="OrphansFound", action="Sweep", note=note, warning=True)


async def remove_asked(engine: Engine, backend: Document, session: BackendSession) -> None:
    """Remove the orphans that an administrator named: each looked at again, its stamp compared by the backend."""
    name = backend["metadata"]["name"]
    asked = asked_for(engine.orphans.get(name, ()), annotation(backend, _ANNOTATION))
    if not asked:
        return
    gone = set()
    for clone in await _confirmed(engine, session, asked):
        if await session.delete_clone(clone.stamp) and await session.delete_clone(clone.stamp):
            gone.add(clone.external_id)
            note = f"VM {clone.vm_name} of {clone.stamp.namespace}/{clone.stamp.vmclone} was removed, as asked for"
            await engine.events.post(Kind.BACKEND, backend, reason="OrphanRemoved", action="Sweep", note=note)
    left = tuple(c for c in engine.orphans.get(name, ()) if c.external_id not in gone)
    engine.orphans[name] = left
    bereft = {c.stamp.vmclone_uid for c in asked if c.external_id in gone} - {c.stamp.vmclone_uid for c in left}
    await _release_frozen_points(engine, session, bereft)


async def _release_frozen_points(engine: Engine, session: BackendSession, vmclones: set[str]) -> None:
    """Remove what the last orphans of VMClones stood on, where the VMClones are gone too."""
    living = {document["metadata"]["uid"] for document in await engine.cluster.list(Kind.VMCLONE)} if vmclones else ()
    for uid in sorted(vmclones.difference(living)):
        owner = Owner(instance=engine.instance, vmclone_uid=uid)
        for token in await session.find_frozen(owner):
            await session.release_frozen(owner, token)


async def with_orphans(engine: Engine, backend: Document, status: CloneBackendStatus) -> CloneBackendStatus:
    """Return the status with what the sweeper found; unchanged before its first look."""
    clones = engine.orphans.get(backend["metadata"]["name"])
    if clones is None:
        return status
    rows = tuple(_row(clone) for clone in clones[:REPORTED])
    if not clones:
        return status.model_copy(update={"orphans": (), "conditions": without(status.conditions, "OrphansFound")})
    writer = engine.writer_for(backend)
    new = find(status.conditions, "OrphansFound") is None
    conditions = writer.put(status.conditions, "OrphansFound", status=True, reason="OrphansFound", message=told(clones))
    if new:
        await engine.events.post(
            Kind.BACKEND, backend, reason="OrphansFound", action="Sweep", note=told(clones), warning=True
        )
    return status.model_copy(update={"orphans": rows, "conditions": conditions})


async def _confirmed(
    engine: Engine, session: BackendSession, clones: Sequence[ObservedClone]
) -> tuple[ObservedClone, ...]:
    """Return those whose replica is not there, read live, and whose VM still is."""
    living = await _living(engine)
    confirmed = []
    for clone in suspects(clones, living):
        owner = Owner(instance=engine.instance, incarnation=clone.stamp.incarnation)
        confirmed += [seen for seen in await session.find_clones(owner) if seen.stamp == clone.stamp]
    return tuple(confirmed)


async def _living(engine: Engine) -> set[str]:
    return {str(document["metadata"]["uid"]) for document in await engine.cluster.list(Kind.REPLICA)}


def _incarnation(job: Document) -> str:
    return str((job["metadata"].get("labels") or {}).get(INCARNATION_LABEL, ""))


def _row(clone: ObservedClone) -> OrphanStatus:
    return OrphanStatus(
        name=printable(clone.vm_name, 253),
        external_id=printable(clone.external_id, 253),
        vmclone=printable(f"{clone.stamp.namespace}/{clone.stamp.vmclone}", 512),
        ordinal=min(max(clone.stamp.ordinal, 0), 100),
    )


async def swept(
    engine: Engine, backend: Document, session: BackendSession, status: CloneBackendStatus
) -> CloneBackendStatus:
    """Remove what was asked for and return the status as it then is; a failure is told by the next look."""
    try:
        await remove_asked(engine, backend, session)
    except CloneError as error:
        log.warning("orphan not removed", extra={"backend": backend["metadata"]["name"], "error": str(error)})
    return await with_orphans(engine, backend, status)
