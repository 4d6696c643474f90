"""What news wakes: the object itself, and whoever waits for what it may have changed, found by index.

Every document that enters the cache from outside goes through here, whether an event or a live read brought it:
a read that came first must not make the event that follows look like old news, and so wake nobody.
"""

from __future__ import annotations

from collections.abc import Iterator

from vmclone_operator.engine.objects.cache import Cache
from vmclone_operator.engine.objects.lineage import is_deleting, is_ready, parent_name, uid_of
from vmclone_operator.engine.work.queue import Priority, Wakeable
from vmclone_operator.kube.cluster import Document, Key, Kind, key_of


def saw(cache: Cache, queue: Wakeable, kind: Kind, document: Document, priority: Priority = Priority.HIGH) -> bool:
    """Remember a document; if it is news, wake it and whom it concerns. Return whether it was."""
    if not cache.put(kind, document):
        return False
    queue.add(key_of(kind, document), priority)
    for other in concerned(cache, kind, document):
        queue.add(other, priority)
    wake_next(cache, queue)
    return True


def lost(cache: Cache, queue: Wakeable, kind: Kind, document: Document) -> None:
    """Forget a document that is gone, and wake whoever may now go on."""
    cache.drop(kind, document)
    for other in concerned(cache, kind, document):
        queue.add(other)
    if kind is Kind.VMCLONE:
        for rival in cache.rivals_of(document):
            queue.add(rival, Priority.LOW)
    wake_next(cache, queue)


def wake_next(cache: Cache, queue: Wakeable) -> None:
    """Wake those whose turn has come: a clone that was wanted before theirs is gone, ready or not wanted any more."""
    for key in cache.next_in_line():
        queue.add(key)


def concerned(cache: Cache, kind: Kind, document: Document) -> Iterator[Key]:
    """Yield the keys that wait for what this object may have changed."""
    name = document["metadata"]["name"]
    match kind:
        case Kind.REPLICA:
            yield from _concerned_by_replica(cache, document)
        case Kind.VMCLONE if is_deleting(document):
            yield from (key_of(Kind.REPLICA, replica) for replica in cache.replicas_of(uid_of(document)))
        case Kind.SOURCE:
            yield from cache.cloning(name)
        case Kind.BACKEND:
            yield from dict.fromkeys(cache.going_to(name))
        case _:
            return


def _concerned_by_replica(cache: Cache, replica: Document) -> Iterator[Key]:
    namespace, name = replica["metadata"]["namespace"], parent_name(replica)
    if name != replica["metadata"]["name"]:
        yield Key(Kind.VMCLONE, namespace, name)
    if is_ready(replica):
        yield from cache.cloning_session(namespace, replica["spec"].get("session", ""))
