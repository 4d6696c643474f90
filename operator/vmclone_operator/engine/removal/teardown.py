"""Removal: a replica's VM, then a VMClone's frozen points, each proven gone twice before the finalizer goes.

Nothing is read from status but where to look: names are computed from the object, and the provider compares
its stamp live. `paused` never blocks it; an unreachable backend does, with a condition that says the way out.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta

from vmclone_operator.api import FINALIZER
from vmclone_operator.api.replica import VMCloneReplicaStatus
from vmclone_operator.api.vmclone import VMCloneSpec, VMCloneStatus
from vmclone_operator.domain.backend import BackendSession, Owner
from vmclone_operator.domain.conditions import Progress, Readiness, find, printable
from vmclone_operator.domain.errors import AgentNotReady, CloneError, FrozenPointInUse
from vmclone_operator.domain.guest_access import end_copies
from vmclone_operator.domain.pace import Pace
from vmclone_operator.domain.rollout import open_point
from vmclone_operator.domain.steps import SAFETY_NET_SECONDS
from vmclone_operator.engine.backends.gone import removed_twice
from vmclone_operator.engine.context import Engine, annotation
from vmclone_operator.engine.jobs.copy_jobs import copy_jobs_of
from vmclone_operator.engine.ledger import guest_tasks
from vmclone_operator.engine.ledger.written import dumped
from vmclone_operator.engine.objects.lineage import VMCLONE_UID_LABEL, is_deleting, owner_uid, uid_of
from vmclone_operator.engine.objects.replica import Replica
from vmclone_operator.engine.removal import cascade, deletion_blockers
from vmclone_operator.engine.removal.deletion_blockers import Removal
from vmclone_operator.engine.secrets import seed_secret
from vmclone_operator.engine.source import copy_queue, session_source, source_power
from vmclone_operator.engine.vmclone import adopting, refusals
from vmclone_operator.engine.vmclone.left_behind import is_left_behind
from vmclone_operator.homecopy.job_manifest import copy_name_of
from vmclone_operator.kube.cluster import ClusterError, Document, Key, Kind, key_of

_POLL_SECONDS = 1.0
_FIRST_WORD_SECONDS = 2.0
"""When a deletion looks for what holds up its replicas."""
_PATIENCE = timedelta(seconds=30)
"""How long replicas may simply take to go before their VMClone says that it waits for them."""
_BEING_REMOVED = "the clone is being removed"
_WAITS_FOR_POD = "waits for the pod of Job "
_WAY_OUT = "or set the annotation vmclone.dev/orphan-on-delete=true to leave it behind"


async def remove_replica(engine: Engine, replica: Replica) -> float | None:
    """Remove the clone, prove that it is gone, and let the object go; return when to look again."""
    document = replica.document
    if FINALIZER not in document["metadata"].get("finalizers", []) or await _claims_anothers(engine, replica):
        return None
    if not await _end_copies(engine, replica):
        return _POLL_SECONDS
    told = find(replica.status.conditions, "Deleting")
    if told is not None and told.message.startswith(_WAITS_FOR_POD):
        await _say(engine, Kind.REPLICA, document, "Removing", _BEING_REMOVED)
    if await _orphaned(engine, replica):
        return None
    try:
        session = await _session(engine, replica.spec.backend)
        pace = Pace(look_seconds=engine.look_seconds(replica.spec.backend))
        gone = await _left_behind(engine, replica, session) or await _deleted(engine, replica, session, pace)
    except CloneError as error:
        await _say(engine, Kind.REPLICA, document, error.reason, f"{error}; {_WAY_OUT}")
        raise
    if not gone:
        if find(replica.status.conditions, "Deleting") is None:  # what is gone at once needs no word for it
            await _say(engine, Kind.REPLICA, engine.newest(Kind.REPLICA, document), "Removing", _BEING_REMOVED)
        return pace.wait(_POLL_SECONDS)
    await seed_secret.forget_host_key(engine, replica.stamp.incarnation)
    await engine.drop_finalizer(Kind.REPLICA, engine.newest(Kind.REPLICA, document))
    return None


async def _deleted(engine: Engine, replica: Replica, session: BackendSession, pace: Pace) -> bool:
    """Remove the VM, and what it stood on since its former life; true once both are proven gone."""
    progress = await removed_twice(session, replica.ref)
    if not progress.done:
        pace.not_before(progress.again_seconds)
        await _keep_handle(engine, replica, progress.handle)
        return False
    return await adopting.release_inherited(engine, replica, session)


async def _keep_handle(engine: Engine, replica: Replica, handle: str) -> None:
    """Write down what the backend must know at its next call about the removal."""
    document = engine.newest(Kind.REPLICA, replica.document)
    status = VMCloneReplicaStatus.model_validate(document.get("status") or {})
    if not handle or status.intent is None or status.intent.handle == handle:
        return
    kept = status.model_copy(update={"intent": status.intent.model_copy(update={"handle": handle})})
    await engine.write_status(Kind.REPLICA, document, dumped(kept))


async def _claims_anothers(engine: Engine, replica: Replica) -> bool:
    """Let a replica go untouched that says it adopted what another one has; return whether it did."""
    if adopting.claim_stands(engine, replica):
        return False
    await engine.drop_finalizer(Kind.REPLICA, engine.newest(Kind.REPLICA, replica.document))
    return True


async def _left_behind(engine: Engine, replica: Replica, session: BackendSession) -> bool:
    """Make the VM nobody's if the wish says that it stays, and tell so; return whether it stands there now.

    One that never was delivered is removed all the same: its disk may not be scrubbed yet, its home not be there.
    """
    status = replica.status
    if (status.intent is not None and not status.ready_time) or not await _stays(engine, replica):
        return False  # without an intent its ledger was wiped: then nobody knows what it was, and it stays
    clone = await session.find_clone(replica.ref)
    if clone is not None and not (clone.complete and clone.connected):
        return False
    await _let_no_copy_in(engine, replica)
    if not await session.disown(replica.ref):
        return False
    note = f"VM {replica.vm_name} stays at backend {replica.spec.backend} with its disks, and is nobody's from now on"
    await engine.events.post(Kind.REPLICA, replica.document, reason="Orphaned", action="Delete", note=note)
    return True


async def _stays(engine: Engine, replica: Replica) -> bool:
    """Return whether the VM outlives its replica: `onScaleDown` was written down, `onDelete` is asked of the wish."""
    namespace = replica.stamp.namespace
    owner = await engine.read(Key(Kind.VMCLONE, namespace, replica.stamp.vmclone))  # the VM depends on its word
    if owner is None or owner["metadata"]["uid"] != replica.vmclone_uid:
        return False
    if is_left_behind(owner, replica.document["metadata"]["uid"]) or await cascade.leaves(engine, owner, replica):
        return True
    if VMCloneSpec.model_validate(owner["spec"]).deletion.on_delete != "Orphan":
        return False
    if is_deleting(owner):
        return True
    home = await engine.read(Key(Kind.NAMESPACE, "", namespace))  # it may remove replicas before their VMClone
    return home is not None and is_deleting(home)


async def _end_copies(engine: Engine, replica: Replica) -> bool:
    """Remove what home copies of the clone made in the operator's namespace; true once nothing is left."""
    incarnation, operation = replica.stamp.incarnation, replica.status.operation
    names = await copy_jobs_of(engine).names_of(incarnation)
    if operation is not None:
        names.add(copy_name_of(incarnation, operation.token))
    left = [name for name in sorted(names) if not await copy_jobs_of(engine).remove(name, incarnation)]
    if left:
        await _say(engine, Kind.REPLICA, replica.document, "Removing", f"{_WAITS_FOR_POD}{', '.join(left)}")
        return False
    copy_queue.give_back(engine, incarnation)
    return True


async def _let_no_copy_in(engine: Engine, replica: Replica) -> None:
    """Take the key of a copy out of a VM that stays, if its guest answers; its private half is gone either way."""
    operation = replica.status.operation
    if operation is None or not operation.user:
        return
    with suppress(CloneError):  # whoever leaves a VM behind may do so because nothing answers any more
        session = await _session(engine, replica.spec.backend)
        command = end_copies(user=operation.user)
        await guest_tasks.told(engine, replica, session, command, attempt=f"{operation.token}/gone")


async def remove_vmclone(engine: Engine, vmclone: Document) -> float | None:
    """Remove the replicas, then the frozen points, and let the object go; return when to look again."""
    meta = vmclone["metadata"]
    if FINALIZER not in meta.get("finalizers", []):
        return None
    replicas = await _live_replicas(engine, vmclone)
    told = all(is_deleting(replica) for replica in replicas)
    await cascade.write_down(engine, vmclone, replicas)
    for replica in replicas:
        engine.saw(Kind.REPLICA, replica)
        if not is_deleting(replica):
            await engine.delete(Kind.REPLICA, replica)
    if replicas:
        removal = deletion_blockers.of_replicas(replicas)
        patient = removal.plain and _deleted_for(engine, vmclone) < _PATIENCE
        if told and not patient:
            await _say_blocked(engine, vmclone, removal)
        return SAFETY_NET_SECONDS if told else _FIRST_WORD_SECONDS  # each one that goes wakes us before
    try:
        if not await _let_go(engine, vmclone):
            return max(_POLL_SECONDS, engine.look_seconds(_backend_of(engine, vmclone)))
    except CloneError as error:
        if annotation(vmclone, "orphan-on-delete") != "true":
            removal = Removal(reason=error.reason, message=f"{error}; {_WAY_OUT}", blocked=True)
            await _say_blocked(engine, vmclone, removal)
            raise
        left = f"frozen points of {meta['namespace']}/{meta['name']} may be left at the backend"
        note = f"{left}{_switched(engine, vmclone)}: {error}"
        await engine.events.post(Kind.VMCLONE, vmclone, reason="Orphaned", action="Delete", note=note, warning=True)
    foreign = deletion_blockers.foreign_finalizers(engine.newest(Kind.VMCLONE, vmclone))
    if foreign:
        message = f"everything of it is gone; the object {deletion_blockers.held_by(foreign)}"
        await _say_blocked(engine, vmclone, Removal(reason=deletion_blockers.HELD, message=message, blocked=True))
    await engine.drop_finalizer(Kind.VMCLONE, engine.newest(Kind.VMCLONE, vmclone))
    copy_queue.tell_source(engine, vmclone)
    return None


def _deleted_for(engine: Engine, document: Document) -> timedelta:
    """Return since when an object is to go, by the clock that wrote it down."""
    return (engine.server_now() or engine.now()) - datetime.fromisoformat(document["metadata"]["deletionTimestamp"])


async def _live_replicas(engine: Engine, vmclone: Document) -> list[Document]:
    """Return the replicas of a VMClone, read live: by their label, and those that lost it as the cache knows them."""
    meta = vmclone["metadata"]
    labels = {VMCLONE_UID_LABEL: meta["uid"]}
    found = {uid_of(d): d for d in await engine.cluster.list(Kind.REPLICA, namespace=meta["namespace"], labels=labels)}
    for cached in engine.cache.replicas_of(meta["uid"]):
        if uid_of(cached) not in found:
            live = await engine.cluster.get(key_of(Kind.REPLICA, cached))
            if live is None:
                engine.lost(Kind.REPLICA, cached)
            else:
                found[uid_of(live)] = live
    return [document for document in found.values() if owner_uid(document) == meta["uid"]]


async def _say_blocked(engine: Engine, vmclone: Document, removal: Removal) -> None:
    """Report on a VMClone what its removal waits for; what blocks it is an Event as well."""
    await _say(engine, Kind.VMCLONE, vmclone, removal.reason, removal.message)
    if removal.blocked:
        note = f"{removal.reason}: {removal.message}"
        await engine.events.post(
            Kind.VMCLONE, vmclone, reason="DeletionBlocked", action="Delete", note=note, warning=True, once=True
        )


async def _let_go(engine: Engine, vmclone: Document) -> bool:
    """Release the frozen points and put the source back; return true once both are done.

    A failure to release a frozen point does not stop the source from being put back.
    """
    try:
        if not await _release_frozen_points(engine, vmclone):
            return False  # their copy may still read from the source as it is
    except CloneError:
        if not await source_power.put_back(engine, vmclone):
            return False  # while it has yet to go back, its ledger must not go
        raise
    return await source_power.put_back(engine, vmclone)


def _switched(engine: Engine, vmclone: Document) -> str:
    """Return how the source is left, for people, if it is switched for this VMClone."""
    held = VMCloneStatus.model_validate(engine.newest(Kind.VMCLONE, vmclone).get("status") or {}).source_power
    return "" if held is None else f", and its source switched {held.wanted}, which was {held.was} before"


async def _release_frozen_points(engine: Engine, vmclone: Document) -> bool:
    status = VMCloneStatus.model_validate(vmclone.get("status") or {})
    backend = _backend_of(engine, vmclone)
    if not backend:
        return True  # no source was ever described, so none was ever frozen
    session = await _session(engine, backend)
    owner = Owner(instance=engine.instance, vmclone_uid=vmclone["metadata"]["uid"])
    point = open_point(status.frozen_points)
    if point is not None and not (point.frozen_time or point.handle):
        with suppress(AgentNotReady):  # a silent agent must not hold up a removal; the guest's watchdog thaws
            await session.thaw(point.source_id)
    # What is in the making may not carry our mark yet, and what is fresh may be missing in a list for a while.
    handles = {point.id: point.handle for point in status.frozen_points}
    for _ in range(2):
        used = []
        for token in sorted({*handles, *await session.find_frozen(owner)}):
            try:
                if not (await session.release_frozen(owner, token, handles.get(token, ""))).done:
                    return False
            except FrozenPointInUse as error:
                used.append(error)  # another one may still be copied, and the source is switched for that
        for in_use in used:
            await _leave_frozen_point(engine, vmclone, backend, in_use)
    return True


async def _leave_frozen_point(engine: Engine, vmclone: Document, backend: str, error: FrozenPointInUse) -> None:
    """Leave a frozen point to the orphans that stand on it; raises the error where there can be none."""
    deletion = VMCloneSpec.model_validate(vmclone["spec"]).deletion
    left = VMCloneStatus.model_validate(engine.newest(Kind.VMCLONE, vmclone).get("status") or {}).left_behind
    if "Orphan" not in (deletion.on_delete, deletion.on_scale_down) and not left:
        raise error
    note = f"a frozen point stays at backend {backend}, below VMs that were left there: {error}"
    await engine.events.post(Kind.VMCLONE, vmclone, reason="Orphaned", action="Delete", note=note)


def _backend_of(engine: Engine, vmclone: Document) -> str:
    """Return where the frozen points are: where status was wiped, the backend that is wished for, or the source's."""
    known = VMCloneStatus.model_validate(vmclone.get("status") or {}).source.backend
    if known:
        return known
    wished = VMCloneSpec.model_validate(vmclone["spec"]).backend
    return session_source.backend_of(engine.cache, vmclone) if wished is None else wished.name


async def _session(engine: Engine, backend: str) -> BackendSession:
    key = Key(Kind.BACKEND, "", backend)
    return await engine.sessions.get(engine.cache.get(key) or await engine.live(key), backend)


async def _orphaned(engine: Engine, replica: Replica) -> bool:
    """Let the object go and leave the VM, when somebody asked for that in so many words."""
    owner = await engine.read(Key(Kind.VMCLONE, replica.stamp.namespace, replica.stamp.vmclone))
    asked = [replica.document, *([owner] if owner is not None else [])]
    if not any(annotation(document, "orphan-on-delete") == "true" for document in asked):
        return False
    await _let_no_copy_in(engine, replica)
    await seed_secret.forget_host_key(engine, replica.stamp.incarnation)
    note = f"VM {replica.vm_name} is left at backend {replica.spec.backend}, with its disks and our stamp"
    await engine.events.post(
        Kind.REPLICA, replica.document, reason="Orphaned", action="Delete", note=note, warning=True
    )
    await engine.drop_finalizer(Kind.REPLICA, engine.newest(Kind.REPLICA, replica.document))
    return True


async def say_refused(engine: Engine, kind: Kind, document: Document, error: CloneError) -> None:
    """Report on an object that goes what the API server refuses, by condition and Event."""
    with suppress(ClusterError):
        await _say(engine, kind, document, error.reason, str(error))
    await refusals.post(engine, kind, document, error)


async def _say(engine: Engine, kind: Kind, document: Document, reason: str, message: str) -> None:
    """Report on the object what its deletion waits for."""
    current = engine.newest(kind, document)
    writer = engine.writer_for(current)
    state = Readiness(ready=False, reason="Deleting", message=message, progress=Progress.WORKING, step=reason)
    model = VMCloneStatus if kind is Kind.VMCLONE else VMCloneReplicaStatus
    status = model.model_validate(current.get("status") or {})
    conditions = writer.put_readiness(status.conditions, state)
    conditions = writer.put(conditions, "Deleting", status=True, reason=reason, message=message)
    update: dict[str, object] = {"conditions": conditions, "observed_generation": writer.generation}
    if kind is Kind.REPLICA:
        update["state"] = "Deleting"
    else:
        update["summary"] = printable(f"deleting: {reason}, {message}", 253)
    await engine.write_status(kind, current, dumped(status.model_copy(update=update)))
