"""What news wakes: the object itself, and whoever waits for what it may have changed.

Every document that enters the cache from outside goes through here, whether an event or a live read brought it:
a read that came first must not make the event that follows look like old news, and so wake nobody.
"""

from __future__ import annotations

from collections.abc import Iterator

from vmclone_operator.engine.cache import Cache
from vmclone_operator.engine.queue import Priority, Wakeable
from vmclone_operator.kube.cluster import Document, Key, Kind, key_of


def saw(cache: Cache, queue: Wakeable, kind: Kind, document: Document, priority: Priority = Priority.HIGH) -> bool:
    """Remember a document; if it is news, wake it and whom it concerns. Return whether it was."""
    if not cache.put(kind, document):
        return False
    queue.add(key_of(kind, document), priority)
    for other in concerned(cache, kind, document):
        queue.add(other, priority)
    return True


def lost(cache: Cache, queue: Wakeable, kind: Kind, document: Document) -> None:
    """Forget a document that is gone, and wake whoever may now go on."""
    cache.drop(kind, document)
    for other in concerned(cache, kind, document):
        queue.add(other)
    if kind is Kind.VMCLONE:
        for vmclone in cache.all(Kind.VMCLONE):  # they may wait for its sessions or its share of a limit
            queue.add(key_of(Kind.VMCLONE, vmclone), Priority.LOW)


def concerned(cache: Cache, kind: Kind, document: Document) -> Iterator[Key]:
    """Yield the keys that wait for what this object may have changed."""
    if kind is Kind.REPLICA:
        name = parent_name(document)
        if name:
            yield Key(Kind.VMCLONE, document["metadata"]["namespace"], name)
        return
    if kind is Kind.VMCLONE and document["metadata"].get("deletionTimestamp"):
        yield from (key_of(Kind.REPLICA, replica) for replica in cache.replicas_of(document["metadata"]["uid"]))
    name = document["metadata"]["name"]
    for vmclone in cache.all(Kind.VMCLONE):
        told = (vmclone.get("status") or {}).get("source") or {}
        source = (vmclone["spec"].get("source") or {}).get("name") or told.get("cloneSource", "")
        if kind is Kind.SOURCE and source == name:
            yield key_of(Kind.VMCLONE, vmclone)
        if kind is Kind.BACKEND and _backend_of(cache, source) == name:
            yield key_of(Kind.VMCLONE, vmclone)


def parent_name(replica: Document) -> str:
    """Return the name of the VMClone that a replica was made for: its own is `<vmclone>-<ordinal>`."""
    name: str = replica["metadata"]["name"]
    return name.removesuffix(f"-{replica['spec']['ordinal']}")


def _backend_of(cache: Cache, source: str) -> str:
    document = cache.get(Key(Kind.SOURCE, "", source)) or {}
    name: str = ((document.get("spec") or {}).get("backend") or {}).get("name", "")
    return name
