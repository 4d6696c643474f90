"""Which replicas the pass of their VMClone wakes: those that wait for what only that object says."""

from __future__ import annotations

from collections.abc import Iterable

from vmclone_operator.api.vmclone import VMCloneSpec
from vmclone_operator.engine.context import Engine, annotation
from vmclone_operator.engine.home.home_pass import REQUEST
from vmclone_operator.engine.objects.lineage import is_ready
from vmclone_operator.kube.cluster import Document, Kind, key_of

RECONCILE = "reconcile-requested-at"
"""The annotation, without our prefix; status.lastHandledReconcileAt is its echo."""


def wake_waiting(engine: Engine, replicas: Iterable[Document]) -> None:
    """Wake the replicas that are not ready: there is news of the frozen point."""
    for document in replicas:
        if not is_ready(document):
            engine.queue.add(key_of(Kind.REPLICA, document))


def wake_asked(engine: Engine, vmclone: Document, spec: VMCloneSpec, replicas: Iterable[Document]) -> None:
    """Wake the replicas that have not answered the newest request for a refresh.

    Only those that are ready, for no other answers one: woken by each other's news they would get round a back-off.
    """
    asked = annotation(vmclone, REQUEST)[:128]
    if not asked or spec.home_copy.refresh != "OnRequest" or spec.paused:
        return
    for document in replicas:
        status = document.get("status") or {}
        begun = status.get("operation")  # it looks again by itself, and later each time
        if not begun and is_ready(document) and (status.get("homeCopy") or {}).get("handledSyncAt", "") != asked:
            engine.queue.add(key_of(Kind.REPLICA, document))


def look_closer(engine: Engine, vmclone: Document, seen: str, replicas: Iterable[Document]) -> None:
    """Give every replica the full look of the day now, if somebody asks to have this VMClone reconciled."""
    if annotation(vmclone, RECONCILE)[:128] == seen:
        return
    for document in replicas:
        engine.thorough.add(key_of(Kind.REPLICA, document))
        engine.queue.add(key_of(Kind.REPLICA, document))


def wake_blocked(engine: Engine, replicas: Iterable[Document]) -> None:
    """Wake replicas that waited for something only this object says: a grant, a pause that ended, more slots.

    Not those in line for a slot: their turn wakes them, and a hundred would look for it at each news of another.
    """
    for document in replicas:
        key, state = key_of(Kind.REPLICA, document), (document.get("status") or {}).get("state", "")
        if state in ("", "Failed", "Paused") and not engine.cache.slots.is_waiting(key):
            engine.queue.add(key)
