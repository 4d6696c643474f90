"""From a key to its pass, and from what went wrong to a condition and a wait.

The only place that turns `CloneError` into words on the object; anything else a pass raises is a bug and
goes up to the queue, loud.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from vmclone_operator.domain.conditions import Progress, is_true
from vmclone_operator.domain.errors import CloneError, LeadershipLost, RetryLater
from vmclone_operator.domain.steps import CopyNews, Decision, Do, Step
from vmclone_operator.engine.context import Engine
from vmclone_operator.engine.ledger.freeze_attempts import FreezeHeld
from vmclone_operator.engine.ledger.written import dumped
from vmclone_operator.engine.objects.lineage import is_deleting
from vmclone_operator.engine.objects.replica import Replica, read_replica, reported
from vmclone_operator.engine.platform import admin_pass
from vmclone_operator.engine.removal import teardown
from vmclone_operator.engine.replica.replica_pass import ReplicaPass
from vmclone_operator.engine.slots_needed import slots_needed
from vmclone_operator.engine.source import copy_queue
from vmclone_operator.engine.vmclone import refusals
from vmclone_operator.engine.vmclone.clone_pass import ClonePass
from vmclone_operator.engine.work.queue import PassFailed
from vmclone_operator.engine.work.wakeups import wake_next
from vmclone_operator.kube.cluster import Conflict, Document, Gone, HookDown, Key, Kind, Refused, Unavailable

log = logging.getLogger(__name__)

_STALLED_SECONDS = 30.0


async def reconcile(engine: Engine, key: Key) -> float | None:
    """Run one pass; return after how many seconds to run the next, None when events will say."""
    document = engine.cache.get(key)
    if document is None:
        return None
    try:
        return await _pass_or_refresh(engine, key, document)
    except (Refused, HookDown) as error:
        told = refusals.in_words(error)
        await refusals.post(engine, key.kind, document, told)
        raise _refused(told, error) from error
    except (Unavailable, LeadershipLost) as error:  # nothing could be written on the object either
        raise PassFailed(str(error), limit=30) from error


async def _pass_or_refresh(engine: Engine, key: Key, document: Document) -> float | None:
    try:
        return await _pass(engine, key, document)
    except (Conflict, Gone):
        return await _refresh(engine, key)


async def _refresh(engine: Engine, key: Key) -> float | None:
    """Read the object live, because the document in hand was not the newest."""
    live = await engine.cluster.get(key)
    if live is None:
        stale = engine.cache.get(key)
        if stale is not None:
            engine.lost(key.kind, stale)
        return None
    engine.saw(key.kind, live)
    return 0


async def _pass(engine: Engine, key: Key, document: Document) -> float | None:
    with engine.host_slots.acquire(engine.queue, key, slots_needed(engine.cache, key.kind, document)):
        engine.freeze_turns.begin(key)
        try:
            return await _pass_of_kind(engine, key, document)
        finally:
            _make_way(engine, key, document)


def _make_way(engine: Engine, key: Key, before: Document) -> None:
    """Let others have what this pass was given a turn at and did not use."""
    if key.kind is Kind.VMCLONE:
        engine.freeze_turns.end(engine.queue, key, copying=engine.cache.is_copied_for(key))
    elif key.kind is Kind.REPLICA:
        copy_queue.made_way(engine, before)
        engine.cache.slots.end(key)
        wake_next(engine.cache, engine.queue)


async def _pass_of_kind(engine: Engine, key: Key, document: Document) -> float | None:
    match key.kind:
        case Kind.VMCLONE:
            return await _vmclone(engine, document)
        case Kind.REPLICA:
            return await _replica(engine, document)
        case Kind.SOURCE:
            return await admin_pass.check_source(engine, document)
        case Kind.BACKEND:
            return await admin_pass.check_backend(engine, document)
        case _:
            return None


async def _vmclone(engine: Engine, document: Document) -> float | None:
    try:
        if is_deleting(document):
            return await teardown.remove_vmclone(engine, document)
        return await ClonePass(engine, document).run()
    except FreezeHeld as held:
        raise PassFailed(str(held), after=held.wait_seconds, limit=held.wait_seconds) from held
    except CloneError as error:
        raise _failed(error) from error
    except (Refused, HookDown) as error:
        told = refusals.in_words(error)
        if is_deleting(document):
            await teardown.say_refused(engine, Kind.VMCLONE, document, told)
        else:
            await refusals.tell_vmclone(engine, document, told)
        raise _refused(told, error) from error


async def _replica(engine: Engine, document: Document) -> float | None:
    replica = read_replica(document, instance=engine.instance)
    if replica is None or not (replica.controlled or is_deleting(document)):
        return None  # made by somebody else, or waiting for its VMClone to put its owner back
    try:
        if is_deleting(document):
            return await teardown.remove_replica(engine, replica)
        owner = await _owner(engine, replica)
        if owner is None:
            return None
        if is_deleting(owner):
            await engine.delete(Kind.REPLICA, document)  # its VMClone's own pass may be busy with a freeze
            return None
        session = await engine.session(replica.spec.backend)
        return await ReplicaPass(engine, replica, owner, session).run()
    except (Refused, HookDown) as error:
        told = refusals.in_words(error)
        if is_deleting(document):
            await teardown.say_refused(engine, Kind.REPLICA, document, told)
        else:
            await _tell_replica(engine, replica, told)
        raise _refused(told, error) from error
    except CloneError as error:
        if not is_deleting(document):
            await _tell_replica(engine, replica, error)
        raise _failed(error) from error


async def _owner(engine: Engine, replica: Replica) -> Document | None:
    """Return the VMClone that a replica belongs to; without one of that uid, nothing is done for it."""
    key = Key(Kind.VMCLONE, replica.stamp.namespace, replica.stamp.vmclone)
    owner = engine.cache.get(key) or await engine.live(key)
    if owner is None or owner["metadata"]["uid"] != replica.vmclone_uid:
        return None
    return owner


def _refused(told: CloneError, error: Refused | HookDown) -> PassFailed:
    log.error("the API server refuses a request", extra={"reason": told.reason, "error": str(error)})
    return PassFailed(str(error), after=refusals.WAIT_SECONDS, limit=refusals.WAIT_SECONDS)


def _failed(error: CloneError) -> PassFailed:
    if isinstance(error, RetryLater):
        return PassFailed(str(error), after=error.retry_after.total_seconds(), limit=30)
    return PassFailed(str(error), after=_STALLED_SECONDS)


async def _tell_replica(engine: Engine, replica: Replica, error: CloneError) -> None:
    """Write what went wrong into the replica's Ready condition; its step stays the one it was in."""
    document = engine.newest(Kind.REPLICA, replica.document)
    status = replica.status
    current = next((s for s in Step if s.value == _open_step(replica)), Step.RESERVE)
    progress = Progress.WORKING if isinstance(error, RetryLater) else Progress.STALLED
    decision = Decision(
        do=Do.NOTHING, step=current, reason=error.reason, message=str(error), progress=progress, failed=True
    )
    if status.operation is not None and status.operation.refresh and is_true(status.conditions, "Ready"):
        decision = replace(decision, step=Step.READY, progress=Progress.SETTLED, copy=CopyNews())  # it is in use
    generation = document["metadata"].get("generation", 1)
    changed = reported(status, decision, generation=generation, now=engine.timestamp())
    await engine.write_status(Kind.REPLICA, document, dumped(changed))
    if progress is Progress.STALLED:
        await engine.events.post(
            Kind.REPLICA, document, reason=error.reason, action=current.value, note=str(error), warning=True, once=True
        )


def _open_step(replica: Replica) -> str:
    steps = replica.status.steps
    last = steps[-1].name if steps else Step.RESERVE.value
    return next((s.name for s in steps if not s.completion_time), last)
