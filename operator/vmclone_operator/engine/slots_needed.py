"""Which hosts a pass may turn to, as far as the cache tells: known before it begins, so that it can wait its turn.

A CloneBackend's own pass is not counted: there is one of each, and it is what says that a host is away.
"""

from __future__ import annotations

from vmclone_operator.engine.backends.endpoints import host_of
from vmclone_operator.engine.objects.cache import Cache
from vmclone_operator.engine.objects.lineage import parent_name
from vmclone_operator.engine.source import session_source
from vmclone_operator.engine.work.host_slots import Slot, SlotClass
from vmclone_operator.kube.cluster import Document, Key, Kind


def slots_needed(cache: Cache, kind: Kind, document: Document) -> list[Slot]:
    """Return where a pass over an object needs a slot."""
    hosts = sorted({host_of(cache, backend) for backend in _backends(cache, kind, document) if backend})
    classes = [SlotClass.WISHES, SlotClass.WISHES_ACROSS]
    if kind is Kind.REPLICA:
        classes = [SlotClass.REPLICAS, SlotClass.REPLICAS_ACROSS]
    return [(host, needed) for host in hosts for needed in (classes if len(hosts) > 1 else classes[:1])]


def _backends(cache: Cache, kind: Kind, document: Document) -> set[str]:
    match kind:
        case Kind.REPLICA:
            owner = cache.get(Key(Kind.VMCLONE, document["metadata"]["namespace"], parent_name(document)))
            return {document["spec"]["backend"], "" if owner is None else session_source.backend_of(cache, owner)}
        case Kind.VMCLONE:
            return _of_wish(document) | {session_source.backend_of(cache, document)}
        case Kind.SOURCE:
            return {document["spec"]["backend"]["name"]}
        case _:
            return set()


def _of_wish(vmclone: Document) -> set[str]:
    """Return where its clones go, and where it has frozen points or a source to put back."""
    wished, status = vmclone["spec"].get("backend") or {}, vmclone.get("status") or {}
    ledgers = [status.get(name) or {} for name in ("source", "sourcePower")]
    return {str(wished.get("name", "")), *(str(ledger.get("backend", "")) for ledger in ledgers)}
