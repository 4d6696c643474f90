"""The second place where it stands how a source was before it was switched: the status of its CloneSource.

Who wipes the status of a VMClone wipes its ledger, and nobody would know that the source goes back. Here it is written
first and forgotten first: what stands here alone is taken up as if nothing had been done yet.
"""

from __future__ import annotations

from collections.abc import Sequence

from vmclone_operator.api.source import CloneSourceStatus
from vmclone_operator.api.source_power import MOST_SWITCHED, SourcePowerStatus, SwitchedFor, SwitchedSource
from vmclone_operator.api.vmclone import VMCloneStatus
from vmclone_operator.engine.context import Engine
from vmclone_operator.engine.ledger.written import dumped
from vmclone_operator.engine.objects.lineage import uid_of
from vmclone_operator.engine.objects.parsed import vmclone_status
from vmclone_operator.kube.cluster import Document, Key, Kind

_SHARED = tuple(SwitchedSource.model_fields)


def status_of(engine: Engine, vmclone: Document) -> VMCloneStatus:
    """Return the status of a VMClone, with the ledger of its source's power where that was lost."""
    status = vmclone_status(vmclone)
    told = None if status.source_power else ledger_of(engine, vmclone)
    return status if told is None else status.model_copy(update={"source_power": told})


def ledger_of(engine: Engine, vmclone: Document) -> SourcePowerStatus | None:
    """Return what is written down about the source's power for a VMClone, at one place or the other."""
    own = (vmclone.get("status") or {}).get("sourcePower")
    if own:
        return SourcePowerStatus.model_validate(own)
    told = next((entry for entry in _told(engine, vmclone) if entry["vmCloneUID"] == vmclone["metadata"]["uid"]), None)
    if told is None:
        return None
    entry = SwitchedFor.model_validate(told)
    return SourcePowerStatus(**{name: getattr(entry, name) for name in _SHARED})


async def remember(engine: Engine, vmclone: Document, ledger: SourcePowerStatus) -> None:
    """Write to the CloneSource how its VM is found, before it is switched."""
    meta = vmclone["metadata"]
    entry = SwitchedFor(
        vmclone=f"{meta['namespace']}/{meta['name']}",
        vmclone_uid=meta["uid"],
        **{name: getattr(ledger, name) for name in _SHARED},
    )
    await _write(engine, vmclone, entry)


async def forget(engine: Engine, vmclone: Document) -> None:
    """Write to the CloneSource that its VM is not switched for this VMClone any more."""
    if any(entry["vmCloneUID"] == vmclone["metadata"]["uid"] for entry in _told(engine, vmclone)):
        await _write(engine, vmclone, None)


def still_switched(engine: Engine, status: CloneSourceStatus) -> tuple[SwitchedFor, ...]:
    """Return what stands there for VMClones that still exist: one that was torn away by force forgets nothing."""
    return tuple(entry for entry in status.switched_for if engine.cache.by_uid(entry.vmclone_uid) is not None)


def others(engine: Engine, vmclone: Document) -> list[Document]:
    """Return the other VMClones that may have switched a source: by their own status, or by a CloneSource's."""
    found = {uid_of(document): document for document in engine.cache.switching()}
    for source in engine.cache.all(Kind.SOURCE):
        for entry in (source.get("status") or {}).get("switchedFor") or ():
            document = engine.cache.by_uid(entry["vmCloneUID"])
            if document is not None:
                found[uid_of(document)] = document
    found.pop(uid_of(vmclone), None)
    return list(found.values())


def _told(engine: Engine, vmclone: Document) -> Sequence[Document]:
    """Return what the CloneSource says of its VM as it stands there: each pass asks, and mostly there is nothing."""
    source = engine.cache.get(Key(Kind.SOURCE, "", engine.cache.root_of(vmclone)))
    return ((source or {}).get("status") or {}).get("switchedFor") or ()


async def _write(engine: Engine, vmclone: Document, entry: SwitchedFor | None) -> None:
    """Replace the VMClone's entry; without a CloneSource there is no second place."""
    source = await engine.read(Key(Kind.SOURCE, "", engine.cache.root_of(vmclone)))
    if source is None:
        return
    status = CloneSourceStatus.model_validate(source.get("status") or {})
    others = [told for told in status.switched_for if told.vmclone_uid != vmclone["metadata"]["uid"]]
    entries = (*others, entry) if entry is not None and len(others) < MOST_SWITCHED else tuple(others)
    await engine.write_status(Kind.SOURCE, source, dumped(status.model_copy(update={"switched_for": entries})))
