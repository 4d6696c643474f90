"""The queue of home copies: at most so many read from one source VM at a time, first come, first served.

One VM may be behind several CloneSources, so copies are counted by the VM. What is known here (ledgers, and the
turns this process gave) is put together with the live Jobs, of which another operator may have made some.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from vmclone_operator.domain.home_copy import ENDED, RUNS, Order, queue_position
from vmclone_operator.engine.backends.endpoints import endpoint_of
from vmclone_operator.engine.context import Engine
from vmclone_operator.engine.jobs.copy_jobs import copy_jobs_of
from vmclone_operator.engine.objects.lineage import incarnation_of, is_deleting, parent_name
from vmclone_operator.kube.cluster import Document, Key, Kind, key_of

_TELL_SECONDS = 2.0
_MOST_COPIES = 5
"""`limits.maxParallelCopies` at its highest."""


def source_key(engine: Engine, vmclone: Document) -> str:
    """Return the name that all copies of one source VM share; empty while the VM is not known."""
    name = (vmclone["spec"].get("source") or {}).get("name") or ""
    source = engine.cache.get(Key(Kind.SOURCE, "", name))
    if source is None:
        return ""
    # Either status may have been wiped; both say the same.
    own = ((vmclone.get("status") or {}).get("source") or {}).get("id", "")
    identity = (source.get("status") or {}).get("id", "") or own
    return source_name(engine, source["spec"]["backend"]["name"], identity) if identity else ""


def source_name(engine: Engine, backend: str, source_id: str) -> str:
    """Return the name of a source VM's queue, as labels may have it; empty while its backend is not known.

    One host may have several CloneBackends, as for two pools: they share the queue.
    """
    document = engine.cache.get(Key(Kind.BACKEND, "", backend))
    if document is None:
        return ""
    return hashlib.sha256(f"{endpoint_of(document)}/{source_id}".encode()).hexdigest()[:20]


async def position(engine: Engine, replica: Document, source: str, *, limit: int) -> int:
    """Return how many copies go before this one; 0 says that it may take its turn."""
    if not source:
        return 1  # without knowing the VM nobody can count its copies; its CloneSource's pass will tell
    place = _place(engine, replica, source, limit=limit, active=await copy_jobs_of(engine).active(source))
    if place:  # a turn that it still holds was taken when more copies might run: two of those would wait for each other
        engine.copy_turns.get(source, set()).discard(incarnation_of(replica))
    return place


async def take_turn(engine: Engine, replica: Document, source: str, *, limit: int) -> bool:
    """Take the turn of a copy that is about to be written down, until its ledger shows it; false if it has none."""
    if not source:
        return False
    active = await copy_jobs_of(engine).active(source)
    # From here on nothing waits: another copy that counts now finds this turn taken.
    if _place(engine, replica, source, limit=limit, active=active):
        return False
    engine.copy_turns.setdefault(source, set()).add(incarnation_of(replica))
    return True


def _place(engine: Engine, replica: Document, source: str, *, limit: int, active: set[str]) -> int:
    """Return the place in line; whoever took its turn and could not write it down has nobody before it in line."""
    mine = incarnation_of(replica)
    turns = engine.copy_turns.get(source, set())
    running, waiting = _others(engine, replica, source)
    in_line = {} if mine in turns else waiting
    return queue_position(
        order_of(replica, engine.timestamp()),
        running=len((active | turns | running) - {mine}),
        waiting=[order for other, order in in_line.items() if other not in active | turns],
        limit=limit,
    )


def drop_unused(engine: Engine, incarnation: str) -> None:
    """Give back a turn that was taken and never written down: that write failed, and now nothing may begin."""
    if any(incarnation in turns for turns in engine.copy_turns.values()):
        give_back(engine, incarnation)


def give_back(engine: Engine, incarnation: str) -> None:
    """Forget the turn of a copy that ended or never began, and wake the next in line.

    Not its own replica, nor one that goes: woken by a pass that failed, they would get round every back-off.
    """
    key = engine.cache.by_incarnation(incarnation)
    replica = None if key is None else engine.cache.get(key)
    sources = [source for source, turns in engine.copy_turns.items() if incarnation in turns]
    for turns in engine.copy_turns.values():
        turns.discard(incarnation)
    for source in dict.fromkeys([*sources, *([] if replica is None else [_source_of(engine, replica)])]):
        wake_next(engine, source, but=incarnation)


def made_way(engine: Engine, before: Document) -> None:
    """Wake the next in line if a pass took a copy out of a replica's ledger: until then it still counted."""
    after = engine.cache.get(key_of(Kind.REPLICA, before))
    if _kind(before) in {RUNS, ENDED} and (after is None or _kind(after) not in {RUNS, ENDED}):
        wake_next(engine, _source_of(engine, before), but=incarnation_of(before))


def wake_next(engine: Engine, source: str, *, but: str) -> None:
    """Wake those of a source's line that may have a turn by now: as many as may ever copy at a time."""
    now = engine.timestamp()
    line = [d for d in _copies_of(engine, source) if _kind(d) not in {RUNS, ENDED} and not is_deleting(d)]
    line = [document for document in line if incarnation_of(document) != but]
    for document in sorted(line, key=lambda d: order_of(d, now))[:_MOST_COPIES]:
        engine.queue.add(key_of(Kind.REPLICA, document))


def tell_source(engine: Engine, vmclone: Document) -> None:
    """Wake the CloneSource, which shows how many clones it has, and how many copies run and wait."""
    name = (vmclone["spec"].get("source") or {}).get("name")
    if name:
        engine.queue.add_after(Key(Kind.SOURCE, "", name), _TELL_SECONDS)


def counts(engine: Engine, source: str) -> tuple[int, int]:
    """Return how many copies of a source run and how many wait, as the ledgers say."""
    running = waiting = 0
    for other in _copies_of(engine, source):
        active = _kind(other) in {RUNS, ENDED}
        running, waiting = running + active, waiting + (not active)
    return running, waiting


def order_of(replica: Document, now: str) -> Order:
    """Return a copy's place: since when it waits, or may be tried again."""
    status = replica.get("status") or {}  # read as it stands: whoever waits asks this of everybody in line
    steps = (s for s in status.get("steps") or () if s["name"] == "HomeCopy" and not s.get("completionTime"))
    since = next((str(step.get("startTime") or "") for step in steps), now)
    retry = str((status.get("operation") or {}).get("notBefore") or "")
    meta = replica["metadata"]
    return max(since, retry), f"{meta['namespace']}/{meta['name']}"


def _copies_of(engine: Engine, source: str) -> Iterator[Document]:
    """Yield the replicas whose home is copied from a VM, or waits to be: it may be behind several CloneSources."""
    for document in engine.cache.all(Kind.SOURCE):
        name = document["metadata"]["name"]
        if not engine.cache.is_copied_from(name):
            continue
        for replica in engine.cache.copying(name):
            if _source_of(engine, replica) == source:
                yield replica


def _others(engine: Engine, replica: Document, source: str) -> tuple[set[str], dict[str, Order]]:
    running: set[str] = set()
    waiting: dict[str, Order] = {}
    now = engine.timestamp()
    for other in _copies_of(engine, source):
        incarnation = incarnation_of(other)
        if incarnation == incarnation_of(replica):
            continue
        if _kind(other) in {RUNS, ENDED}:
            running.add(incarnation)
        elif _stands_in_line(other):
            waiting[incarnation] = order_of(other, now)
    return running, waiting


def _stands_in_line(replica: Document) -> bool:
    """Return whether a copy was told its place: one that may not begin, or waits for its next attempt, has none."""
    steps = (replica.get("status") or {}).get("steps") or []
    copies = (s for s in steps if s["name"] == "HomeCopy" and s["state"] == "Running")
    return any(s.get("queuePosition", 0) > 0 and not s.get("completionTime") for s in copies)


def _kind(replica: Document) -> str:
    operation = (replica.get("status") or {}).get("operation") or {}
    kind: str = operation.get("kind", "")
    return kind


def _source_of(engine: Engine, replica: Document) -> str:
    vmclone = engine.cache.get(Key(Kind.VMCLONE, replica["metadata"]["namespace"], parent_name(replica)))
    return "" if vmclone is None else source_key(engine, vmclone)
