"""Places at hosts: how many passes may be at one at a time, so that one that hangs leaves workers to the others.

Replicas have places of their own, for neither they nor the wishes they belong to shall wait for the other. A pass
that needs two hosts takes a place at both, from a share that leaves places to whoever needs only one of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum

from vmclone_operator.engine.queue import NoPlace, Priority, Wakeable
from vmclone_operator.kube.cluster import Key

CROWDED_SECONDS = 5.0
"""When who found no place looks again, should nobody wake it."""


class Share(StrEnum):
    """Who shares places; of all workers, so many parts."""

    REPLICAS = "replicas"
    REPLICAS_ACROSS = "replicas across hosts"
    WISHES = "wishes"
    """Of VMClones and of CloneSources."""
    WISHES_ACROSS = "wishes across hosts"


_PARTS = {Share.REPLICAS: 2, Share.REPLICAS_ACROSS: 4, Share.WISHES: 4, Share.WISHES_ACROSS: 8}

Room = tuple[str, Share]
"""A host, and a share of its places."""


@dataclass(slots=True, kw_only=True)
class Places:
    """Who is at which host, and who waits."""

    workers: int
    _taken: Counter[Room] = field(default_factory=Counter)
    _asked: dict[Key, Collection[Room]] = field(default_factory=dict)
    """What is needed by who found no place and has not looked again since, woken or not."""
    _waiting: dict[Room, dict[Key, None]] = field(default_factory=dict)
    """Who waits where: each in one of the rooms that were full, and nowhere once woken."""

    @contextmanager
    def taken(self, queue: Wakeable, key: Key, rooms: Collection[Room]) -> Iterator[None]:
        """Take a place in each of the rooms for a pass; raises NoPlace, and has the key woken when there is one."""
        full = self._full(rooms)
        before = self._withdraw(key, stays_at=full)
        if full is not None:
            self._asked[key] = rooms
            self._waiting.setdefault(full, {})[key] = None
            self._wake(queue, dict.fromkeys((*before, *rooms)))
            raise NoPlace(CROWDED_SECONDS)
        self._taken.update(rooms)
        try:
            self._wake(queue, before)
            yield
        finally:
            self._taken.subtract(rooms)
            self._wake(queue, rooms)

    def forget(self, queue: Wakeable, key: Key) -> None:
        """Drop a key that no longer exists; if it was woken, the next one is."""
        self._wake(queue, self._withdraw(key))

    def _full(self, rooms: Iterable[Room]) -> Room | None:
        return next((room for room in rooms if self._taken[room] >= max(1, self.workers // _PARTS[room[1]])), None)

    def _withdraw(self, key: Key, *, stays_at: Room | None = None) -> Collection[Room]:
        """Let a key wait no more but where it keeps its turn; return what it asked for."""
        rooms = self._asked.pop(key, ())
        for room in rooms:
            if room != stays_at:
                self._waiting.get(room, {}).pop(key, None)
        return rooms

    def _wake(self, queue: Wakeable, rooms: Iterable[Room]) -> None:
        for room in rooms:
            self._wake_next(queue, room)

    def _wake_next(self, queue: Wakeable, room: Room) -> None:
        """Wake the first that can go on if there is a place; who needs another room that is full waits there."""
        waiting = self._waiting.get(room, {})
        while waiting and not self._full([room]):
            key = next(iter(waiting))
            del waiting[key]
            full = self._full(self._asked[key])
            if full is None:
                queue.add(key, Priority.LOW)  # the queue remembers how urgent it is
                return
            self._waiting.setdefault(full, {})[key] = None
