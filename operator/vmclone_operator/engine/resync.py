"""Resync as a diff: one bulk list per backend, and only what differs from its status is looked at again.

What is settled costs nothing: no read of the object, no write. A lost event is healed here, and ghosts
that the informers keep are dropped by a live list.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Collection, Sequence

from vmclone_operator.domain.backend import ObservedClone, Power
from vmclone_operator.domain.daily import is_due
from vmclone_operator.domain.errors import CloneError, LeadershipLost
from vmclone_operator.domain.units import seconds_of
from vmclone_operator.engine.context import Engine
from vmclone_operator.engine.objects.lineage import incarnation_of, is_ready
from vmclone_operator.engine.platform.sweep import look_for_orphans
from vmclone_operator.engine.platform.sweep_objects import look_for_objects
from vmclone_operator.engine.replica.drifting import differs
from vmclone_operator.engine.vmclone.adopting import list_clones
from vmclone_operator.engine.vmclone.expiring import comes_back, compare_clocks
from vmclone_operator.engine.work.queue import Priority
from vmclone_operator.kube.cluster import ClusterError, Document, Kind, key_of

log = logging.getLogger(__name__)

LEAST_SECONDS = 10.0
"""The shortest interval between two comparisons with a backend."""


async def resync(engine: Engine) -> None:
    """Enqueue what is unfinished, what differs from the backends' own lists, and whose daily look is due."""
    due = [name for name, interval in _intervals(engine).items() if interval is None]
    await compare(engine, due)
    try:
        await look_for_objects(engine)
    except ClusterError as error:
        log.warning("leftovers of home copies not listed", extra={"error": str(error)})
    _look_closer(engine)
    for kind in (Kind.BACKEND, Kind.SOURCE):
        for document in engine.cache.all(kind):
            engine.queue.add(key_of(kind, document), Priority.LOW)
    for document in engine.cache.all(Kind.VMCLONE):
        if not is_ready(document) or comes_back(engine, document):
            engine.queue.add(key_of(Kind.VMCLONE, document), Priority.LOW)


async def relist(engine: Engine) -> bool:
    """Take live lists for the truth: heals events lost for ever and drops objects that are gone.

    Return whether every kind was listed.
    """
    for kind in (Kind.BACKEND, Kind.SOURCE, Kind.VMCLONE, Kind.REPLICA):
        before = engine.cache.versions(kind)
        try:
            documents = await engine.cluster.list(kind)
        except ClusterError as error:
            log.warning("relist failed", extra={"kind": kind.kind, "error": str(error)})
            return False
        engine.hear(kind)
        for document in documents:
            engine.saw(kind, document, Priority.LOW)
        for ghost in engine.cache.ghosts(kind, documents, before):
            engine.lost(kind, ghost)
    return True


async def compare_due(engine: Engine) -> None:
    """Compare with the backends whose own interval is over (the others wait for `resync`), and both clocks."""
    compare_clocks(engine)
    now = engine.clock()
    intervals = {name: interval for name, interval in _intervals(engine).items() if interval is not None}
    await compare(
        engine, [name for name, interval in intervals.items() if now - engine.compared.get(name, -interval) >= interval]
    )


async def compare(engine: Engine, backends: Collection[str]) -> None:
    """Compare with these backends' lists, side by side: one that hangs holds up no other, nor the next comparison."""
    if not backends:
        return
    replicas: defaultdict[str, list[Document]] = defaultdict(list)
    for replica in engine.cache.all(Kind.REPLICA):
        replicas[replica["spec"].get("backend", "")].append(replica)
    begun: list[asyncio.Task[None]] = []
    for name in backends:
        earlier = engine.comparing.get(name)
        if earlier is not None and not earlier.done():
            continue  # it hangs, and another one would as well
        engine.comparing[name] = asyncio.create_task(_compare(engine, name, replicas[name]))
        begun.append(engine.comparing[name])
    if not begun:
        return
    done, _ = await asyncio.wait(begun, timeout=LEAST_SECONDS)
    for task in done:
        if not task.cancelled():  # as by a session that is closed under it; the next comparison has another
            task.result()


def _intervals(engine: Engine) -> dict[str, float | None]:
    """Return every backend that is declared or used, with the seconds between comparisons where it has its own."""
    found: dict[str, float | None] = dict.fromkeys(d["spec"].get("backend", "") for d in engine.cache.all(Kind.REPLICA))
    for document in engine.cache.all(Kind.BACKEND):
        interval = (document["spec"].get("drift") or {}).get("interval")
        found[document["metadata"]["name"]] = None if interval is None else max(seconds_of(interval), LEAST_SECONDS)
    return found


def _look_closer(engine: Engine) -> None:
    """Wake the replicas whose full look of the day falls between the last call and this one."""
    since, engine.looked_at = engine.looked_at, engine.now().timestamp()
    for document in engine.cache.all(Kind.REPLICA):
        if since and is_due(document["metadata"]["uid"], since, engine.looked_at):
            key = key_of(Kind.REPLICA, document)
            engine.thorough.add(key)
            engine.queue.add(key, Priority.LOW)


async def _compare(engine: Engine, backend: str, replicas: Sequence[Document]) -> None:
    engine.compared[backend] = engine.clock()
    try:
        session = await engine.session(backend)
        clones = await list_clones(engine, backend, session)
    except (CloneError, ClusterError, LeadershipLost) as error:  # raised, it would end the operator as a bug does
        log.warning("backend not listed", extra={"backend": backend, "error": str(error)})
        return
    try:
        await look_for_orphans(engine, backend, session, clones)
    except (CloneError, ClusterError, LeadershipLost) as error:  # what was found last stands
        log.warning("orphans not looked for", extra={"backend": backend, "error": str(error)})
    found = {clone.stamp.incarnation: clone for clone in clones}
    for replica in replicas:
        if not _as_reported(replica, found.get(incarnation_of(replica))):
            engine.queue.add(key_of(Kind.REPLICA, replica), Priority.LOW)


def _as_reported(replica: Document, clone: ObservedClone | None) -> bool:
    """Return whether the VM is as a ready replica's should be."""
    delivered_off = ((replica["spec"].get("template") or {}).get("power")) == Power.OFF.value
    right = clone is not None and (delivered_off or clone.power is Power.ON)
    settled = clone is not None and clone.complete and right and clone.connected and not differs(replica, clone)
    return settled and is_ready(replica) and not replica["metadata"].get("deletionTimestamp")
