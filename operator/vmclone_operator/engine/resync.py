"""Resync as a diff: one bulk list per backend, and only what differs from its status is looked at again.

What is settled costs nothing: no read of the object, no write. A lost event is healed here, and ghosts
that the informers keep are dropped by a live list.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence

from vmclone_operator.domain.backend import ObservedClone, Owner, Power
from vmclone_operator.domain.errors import CloneError
from vmclone_operator.engine.context import Engine
from vmclone_operator.engine.queue import Priority
from vmclone_operator.kube.cluster import ClusterError, Document, Kind, key_of

log = logging.getLogger(__name__)


async def resync(engine: Engine) -> None:
    """Enqueue what is unfinished and what differs from the backends' own lists."""
    by_backend: defaultdict[str, list[Document]] = defaultdict(list)
    for replica in engine.cache.all(Kind.REPLICA):
        by_backend[replica["spec"].get("backend", "")].append(replica)
    for name, replicas in by_backend.items():
        await _compare(engine, name, replicas)
    for kind in (Kind.BACKEND, Kind.SOURCE):
        for document in engine.cache.all(kind):
            engine.queue.add(key_of(kind, document), Priority.LOW)
    for document in engine.cache.all(Kind.VMCLONE):
        if not _is_ready(document):
            engine.queue.add(key_of(Kind.VMCLONE, document), Priority.LOW)


async def relist(engine: Engine) -> None:
    """Take live lists for the truth: heals events lost for ever and drops objects that are gone."""
    for kind in (Kind.BACKEND, Kind.SOURCE, Kind.VMCLONE, Kind.REPLICA):
        before = engine.cache.versions(kind)
        try:
            documents = await engine.cluster.list(kind)
        except ClusterError as error:
            log.warning("relist failed", extra={"kind": kind.kind, "error": str(error)})
            return
        engine.hear(kind)
        for document in documents:
            engine.saw(kind, document, Priority.LOW)
        for ghost in engine.cache.ghosts(kind, documents, before):
            engine.lost(kind, ghost)


async def _compare(engine: Engine, backend: str, replicas: Sequence[Document]) -> None:
    try:
        session = await engine.session(backend)
        clones = await session.find_clones(Owner(instance=engine.instance))
    except (CloneError, ClusterError) as error:
        log.warning("backend not listed", extra={"backend": backend, "error": str(error)})
        return
    found = {clone.stamp.incarnation: clone for clone in clones}
    for replica in replicas:
        if not _as_reported(replica, found.get(replica["metadata"]["uid"])):
            engine.queue.add(key_of(Kind.REPLICA, replica), Priority.LOW)


def _as_reported(replica: Document, clone: ObservedClone | None) -> bool:
    """Return whether the VM is as a ready replica's should be."""
    settled = clone is not None and clone.complete and clone.power is Power.ON and clone.connected
    return settled and _is_ready(replica) and not replica["metadata"].get("deletionTimestamp")


def _is_ready(document: Document) -> bool:
    conditions = (document.get("status") or {}).get("conditions") or []
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
