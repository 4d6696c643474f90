"""The sweeper: finds what is ours at a backend and belongs to nobody any more. It reports; people decide.

An orphan is one only after three looks: the backend's list, then the API server's lists, then the backend again: a
replica that went in between took its VM with it. What lies in the operator's own namespace: `sweep_objects`.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Sequence

from vmclone_operator.api.backend import CloneBackendStatus, OrphanStatus
from vmclone_operator.domain.backend import (
    BackendSession,
    CloneRef,
    Leftover,
    LeftoverKind,
    ObservedClone,
    Owner,
    Stamp,
)
from vmclone_operator.domain.conditions import find, printable, without
from vmclone_operator.domain.errors import CloneError
from vmclone_operator.domain.leftovers import as_in_names, belongs_to
from vmclone_operator.domain.orphans import REPORTED, VM, Orphans, suspects
from vmclone_operator.engine.backends.gone import removed_twice
from vmclone_operator.engine.context import Engine, annotation
from vmclone_operator.engine.objects.lineage import incarnation_of
from vmclone_operator.kube.cluster import Document, Kind

log = logging.getLogger(__name__)

_ANNOTATION = "remove-orphans"


async def look_for_orphans(
    engine: Engine, backend: str, session: BackendSession, clones: Sequence[ObservedClone]
) -> None:
    """Remember what of ours at a backend belongs to nobody; the CloneBackend's own pass tells.

    What was told already is looked up live only before it is removed: it may stay for ever, and costs nothing.
    """
    known = _seen_uids(engine)
    left = await session.find_leftovers(engine.instance, known)
    found = Orphans(clones=suspects(clones, known), leftovers=tuple(left))
    new = found.without(engine.orphans.get(backend, Orphans()))
    fresh = await _confirmed(engine, session, new.clones, new.leftovers) if new else new
    still = found.without(found.without(engine.orphans.get(backend, Orphans())))  # some may have been removed meanwhile
    engine.orphans[backend] = still.joined(fresh)


def uids_of(vmclones: Iterable[Document], replicas: Iterable[Document]) -> set[str]:
    """Return everything that stands on what belongs to these objects, adopted VMs and what they stand on included."""
    known = {str(document["metadata"]["uid"]) for document in vmclones}
    for document in replicas:
        adopted = document["spec"].get("adopted") or {}
        known |= {incarnation_of(document), str(adopted.get("vmCloneUID", ""))}
    return known - {""}


def _seen_uids(engine: Engine) -> set[str]:
    """Return the same of all objects that were seen last."""
    return uids_of(engine.cache.all(Kind.VMCLONE), engine.cache.all(Kind.REPLICA))


async def living(engine: Engine) -> set[str]:
    """Return the same of all objects there are, read live."""
    return uids_of(await engine.cluster.list(Kind.VMCLONE), await engine.cluster.list(Kind.REPLICA))


async def _confirmed(
    engine: Engine, session: BackendSession, clones: Sequence[ObservedClone], leftovers: Sequence[Leftover]
) -> Orphans:
    """Return those whose owners are not there, read live, and that still are themselves."""
    alive = await living(engine)
    confirmed = []
    for clone in suspects(clones, alive):
        seen = await session.find_clone(_ref(clone))
        if seen is not None and seen.stamp == clone.stamp:
            confirmed.append(seen)
    again = await session.find_leftovers(engine.instance, alive) if leftovers else ()
    return Orphans(clones=tuple(confirmed), leftovers=tuple(one for one in leftovers if one in again))


async def remove_asked(engine: Engine, backend: Document, session: BackendSession) -> None:
    """Remove the orphans that an administrator named: each looked at again, its stamp compared by the backend."""
    name = backend["metadata"]["name"]
    asked = engine.orphans.get(name, Orphans()).named_in(annotation(backend, _ANNOTATION))
    if not asked:
        return
    seen = await _confirmed(engine, session, asked.clones, asked.leftovers)
    for clone in seen.clones:
        if engine.cache.by_incarnation(clone.stamp.incarnation) is not None:
            continue  # adopted while others were removed
        if (await removed_twice(session, _ref(clone))).done:
            what = f"VM {clone.vm_name} of {clone.stamp.namespace}/{clone.stamp.vmclone}"
            await _removed(engine, backend, Orphans(clones=(clone,)), what)
    for leftover in seen.leftovers:
        if belongs_to(leftover, as_in_names(_seen_uids(engine))):
            continue
        if await _remove(engine, session, leftover):
            what = f"{leftover.kind} {leftover.name}"
            await _removed(engine, backend, Orphans(leftovers=(leftover,)), what)
    left = engine.orphans[name]
    gone = [clone for clone in seen.clones if clone not in left.clones]
    bereft = {c.stamp.vmclone_uid for c in gone} - {c.stamp.vmclone_uid for c in left.clones}
    await _release_frozen_points(engine, session, bereft)


async def _remove(engine: Engine, session: BackendSession, leftover: Leftover) -> bool:
    """Remove a leftover's files; the backend refuses what a VM has by now."""
    if leftover.kind is LeftoverKind.FROZEN_POINT:
        return (await session.release_frozen(leftover.owner, leftover.token)).done
    stamp = Stamp(
        instance=engine.instance,
        namespace="",
        vmclone="",
        vmclone_uid="",
        ordinal=0,
        incarnation=leftover.owner.incarnation,
    )
    ref = CloneRef(stamp=stamp)
    return (await removed_twice(session, ref)).done


def _ref(clone: ObservedClone) -> CloneRef:
    return CloneRef(stamp=clone.stamp, vm_name=clone.vm_name)


async def _removed(engine: Engine, backend: Document, gone: Orphans, what: str) -> None:
    name = backend["metadata"]["name"]
    engine.orphans[name] = engine.orphans[name].without(gone)
    note = f"{what} was removed, as asked for"
    await engine.events.post(Kind.BACKEND, backend, reason="OrphanRemoved", action="Sweep", note=note)


async def _release_frozen_points(engine: Engine, session: BackendSession, vmclones: set[str]) -> None:
    """Remove what the last orphans of VMClones stood on, where the VMClones are gone too."""
    alive = await living(engine) if vmclones else ()
    for uid in sorted(vmclones.difference(alive)):
        owner = Owner(instance=engine.instance, vmclone_uid=uid)
        for token in await session.find_frozen(owner):
            await session.release_frozen(owner, token)


async def with_orphans(engine: Engine, backend: Document, status: CloneBackendStatus) -> CloneBackendStatus:
    """Return the status with what the sweeper found; unchanged before its first look."""
    found = engine.orphans.get(backend["metadata"]["name"])
    if found is None:
        return status
    if not found:
        return status.model_copy(update={"orphans": (), "conditions": without(status.conditions, "OrphansFound")})
    rows = (*(_row(clone) for clone in found.clones), *(_file_row(one) for one in found.leftovers))
    writer, told = engine.writer_for(backend), found.told()
    new = find(status.conditions, "OrphansFound") is None
    conditions = writer.put(status.conditions, "OrphansFound", status=True, reason="OrphansFound", message=told)
    if new:
        await engine.events.post(Kind.BACKEND, backend, reason="OrphansFound", action="Sweep", note=told, warning=True)
    return status.model_copy(update={"orphans": rows[:REPORTED], "conditions": conditions})


def _row(clone: ObservedClone) -> OrphanStatus:
    return OrphanStatus(
        kind=VM,
        name=printable(clone.vm_name, 253),
        external_id=printable(clone.external_id, 253),
        vmclone=printable(f"{clone.stamp.namespace}/{clone.stamp.vmclone}", 512),
        ordinal=min(max(clone.stamp.ordinal, 0), 100),
    )


def _file_row(leftover: Leftover) -> OrphanStatus:
    name = printable(leftover.name, 253)
    return OrphanStatus(kind=leftover.kind.value, name=name, external_id=name)


async def swept(
    engine: Engine, backend: Document, session: BackendSession, status: CloneBackendStatus
) -> CloneBackendStatus:
    """Remove what was asked for and return the status as it then is; a failure is told by the next look.

    An annotation that nobody takes off is carried out once: it may name a VM that has found an owner meanwhile.
    """
    name, asked = backend["metadata"]["name"], annotation(backend, _ANNOTATION)
    mark = hashlib.sha256(asked.encode()).hexdigest()[:16] if asked else ""
    if mark != status.orphans_removed_for:
        try:
            await remove_asked(engine, backend, session)
        except CloneError as error:
            log.warning("orphan not removed", extra={"backend": name, "error": str(error)})
        if name in engine.orphans and not engine.orphans[name].named_in(asked):
            status = status.model_copy(update={"orphans_removed_for": mark})
    return await with_orphans(engine, backend, status)
