"""Places at hosts: how many passes may be at one at a time, so that one that hangs leaves workers to the others.

Replicas have places of their own, for neither they nor the wishes they belong to shall wait for the other. A pass
that needs two hosts takes a place at both, from a share that leaves places to whoever needs only one of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum

from vmclone_operator.engine.queue import Wakeable
from vmclone_operator.kube.cluster import Key

CROWDED_SECONDS = 5.0
"""When who found no place looks again, should nobody wake it."""


class Share(StrEnum):
    """Who shares places; of all workers, so many parts."""

    REPLICAS = "replicas"
    REPLICAS_ACROSS = "replicas across hosts"
    WISHES = "wishes"
    WISHES_ACROSS = "wishes across hosts"


_PARTS = {Share.REPLICAS: 2, Share.REPLICAS_ACROSS: 4, Share.WISHES: 4, Share.WISHES_ACROSS: 8}

Room = tuple[str, Share]
"""A host, and a share of its places."""


@dataclass(slots=True, kw_only=True)
class Places:
    """Who is at which host, and who waits."""

    workers: int
    _taken: Counter[Room] = field(default_factory=Counter)
    _waiting: dict[Room, dict[Key, None]] = field(default_factory=dict)

    @contextmanager
    def taken(self, queue: Wakeable, key: Key, rooms: Collection[Room]) -> Iterator[bool]:
        """Take a place in each of the rooms for a pass, and say whether there was one; who has none is woken."""
        full = next((room for room in rooms if self._taken[room] >= max(1, self.workers // _PARTS[room[1]])), None)
        if full is not None:
            self._waiting.setdefault(full, {})[key] = None
            yield False
            return
        self._taken.update(rooms)
        for room in rooms:
            self._waiting.get(room, {}).pop(key, None)
        try:
            yield True
        finally:
            self._taken.subtract(rooms)
            for room in rooms:
                self._wake_next(queue, room)

    def _wake_next(self, queue: Wakeable, room: Room) -> None:
        waiting = self._waiting.get(room)
        if waiting:
            key = next(iter(waiting))
            del waiting[key]
            queue.add(key)
