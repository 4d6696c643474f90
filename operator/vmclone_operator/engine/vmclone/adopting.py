"""A VMClone that was restored goes on with the VMs that were made for it; what they stand on goes with the last.

One list of a backend serves all VMClones that were known when it began: their VMs are older than they are. What is
found is looked at again, live, and the name of the VMCloneReplica is the claim: there is one object of a name.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from vmclone_operator.api.vmclone import VMCloneSpec
from vmclone_operator.domain.adoption import Claim, Claimable, Match, made_from, matches
from vmclone_operator.domain.backend import BackendSession, CloneRef, Mode, ObservedClone, Owner
from vmclone_operator.domain.errors import CloneError, FrozenPointInUse
from vmclone_operator.engine.context import Engine, annotation
from vmclone_operator.engine.objects.lineage import owner_uid
from vmclone_operator.engine.objects.replica import Replica
from vmclone_operator.engine.source.consent import Consent
from vmclone_operator.kube.cluster import Document, Kind

OPT_OUT = "adopt"
"""The annotation, without our prefix, that with `false` has new clones made."""
_FAILED_FRESH_SECONDS = 5.0


async def list_clones(engine: Engine, backend: str, session: BackendSession) -> Sequence[ObservedClone]:
    """List all our VMs of a backend, and remember which of them a wish of now may claim."""
    wishes = {_name(document): str(document["metadata"]["uid"]) for document in engine.cache.all(Kind.VMCLONE)}
    clones = await session.find_clones(Owner(instance=engine.instance))
    claimable = tuple(clone for clone in clones if _claimable(engine, wishes, clone))
    engine.unlisted.pop(backend, None)
    engine.claimable[backend] = Claimable(wishes=frozenset(wishes.values()), clones=claimable)
    return clones


def _name(vmclone: Document) -> tuple[str, str]:
    return vmclone["metadata"]["namespace"], vmclone["metadata"]["name"]


def _claimable(engine: Engine, wishes: Mapping[tuple[str, str], str], clone: ObservedClone) -> bool:
    """Return whether a VM was made for an earlier VMClone of the same name, and is not adopted yet."""
    uid = wishes.get((clone.stamp.namespace, clone.stamp.vmclone), "")
    if not uid or uid == clone.stamp.vmclone_uid:
        return False
    key = engine.cache.by_incarnation(clone.stamp.incarnation)
    holder = None if key is None else engine.cache.get(key)
    return holder is None or owner_uid(holder) != uid


async def look(
    engine: Engine, vmclone: Document, found: Consent, ordinals: Collection[int], recorded: Mapping[int, str]
) -> dict[int, Match]:
    """Return the VMs that replicas to come go on with, each seen live; raises what the backend fails with."""
    if not ordinals or annotation(vmclone, OPT_OUT) == "false":
        return {}
    meta, spec = vmclone["metadata"], VMCloneSpec.model_validate(vmclone["spec"])
    claim = Claim(
        namespace=meta["namespace"],
        vmclone=meta["name"],
        uid=meta["uid"],
        prefix=spec.session_prefix or meta["name"],
        made_from=made_from(spec, Mode(found.mode)),
        recorded=recorded,
        went_on_with={_adopted_from(document) for document in engine.cache.replicas_of(meta["uid"])},
    )
    clones = await _of_earlier_wishes(engine, found.backend_name, meta["uid"])
    wanted = matches(claim, clones, ordinals)
    session = await engine.session(found.backend_name) if wanted else None
    return {n: seen for n, match in wanted.items() if session and (seen := await _confirmed(session, match))}


async def _of_earlier_wishes(engine: Engine, backend: str, uid: str) -> Sequence[ObservedClone]:
    """Return what a list shows that began when this VMClone was known; many that wait for one share it.

    Its failure they share as well, and of a host that failed they no longer wait for the next: each holds a worker.
    """
    if not _is_known(engine, backend, uid):
        gate = engine.list_gate(backend)
        _refuse_failed(engine, backend, math.inf if gate.locked() else _FAILED_FRESH_SECONDS)
        async with gate:
            if not _is_known(engine, backend, uid):
                _refuse_failed(engine, backend, _FAILED_FRESH_SECONDS)
                await _list_first(engine, backend)
    return engine.claimable[backend].clones


def _is_known(engine: Engine, backend: str, uid: str) -> bool:
    return backend in engine.claimable and uid in engine.claimable[backend].wishes


def _refuse_failed(engine: Engine, backend: str, fresh_seconds: float) -> None:
    when, error = engine.unlisted.get(backend, (0.0, None))
    if error is not None and engine.clock() - when < fresh_seconds:
        raise error


async def _list_first(engine: Engine, backend: str) -> None:
    try:
        await list_clones(engine, backend, await engine.session(backend))
    except CloneError as error:
        engine.unlisted[backend] = (engine.clock(), error)
        raise


async def _confirmed(session: BackendSession, match: Match) -> Match | None:
    listed = match.clone
    clone = await session.find_clone(CloneRef(stamp=listed.stamp, vm_name=listed.vm_name))
    if clone is None or not clone.complete or (clone.stamp, clone.vm_name) != (listed.stamp, listed.vm_name):
        return None
    return replace(match, clone=clone)


def _adopted_from(replica: Document) -> str:
    return str((replica["spec"].get("adopted") or {}).get("vmCloneUID", ""))


async def tell(engine: Engine, vmclone: Document, replica: Document, match: Match) -> None:
    """Say on both objects which VM was found."""
    note = f"VM {match.clone.vm_name} was found by its stamp; {replica['metadata']['name']} goes on with it"
    for kind, document in ((Kind.REPLICA, replica), (Kind.VMCLONE, vmclone)):
        await engine.events.post(kind, document, reason="Adopted", action="Adopt", note=note)


def claim_stands(engine: Engine, replica: Replica) -> bool:
    """Return whether no other replica has the incarnation that this one says it adopted."""
    return not replica.adopted or engine.cache.by_incarnation(replica.stamp.incarnation) == replica.key


async def release_inherited(engine: Engine, replica: Replica, session: BackendSession) -> bool:
    """Remove the frozen points that an adopted VM stood on, when it was the last; false while one has yet to go."""
    adopted = replica.spec.adopted
    if adopted is None or engine.cache.by_uid(adopted.vm_clone_uid) is not None:
        return True
    owner, gone = Owner(instance=engine.instance, vmclone_uid=adopted.vm_clone_uid), True
    for token in await session.find_frozen(owner):
        try:
            gone = (await session.release_frozen(owner, token)).done and gone
        except FrozenPointInUse:
            continue  # a sibling, or an orphan, still stands on it
    return gone
