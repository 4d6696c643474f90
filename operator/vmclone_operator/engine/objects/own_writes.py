"""Telling the echo of our own writes from news: an echo that woke its object would get round every back-off.

The watch may tell of a write before the write's own answer is there. Until then what it says of that object is
held back; with the answer in hand, only what is newer than it counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from vmclone_operator.kube.cluster import Document


class OwnWrites:
    """The writes that are under way, by uid."""

    def __init__(self) -> None:
        self._under_way: dict[str, int] = {}
        self._held: dict[str, Document] = {}

    def hold(self, document: Document) -> bool:
        """Keep what the watch says of an object that we are writing; return whether it was kept."""
        uid = document["metadata"]["uid"]
        if uid not in self._under_way:
            return False
        self._held[uid] = document
        return True

    @contextmanager
    def writing(self, document: Document) -> Iterator[None]:
        """Hold back what the watch says of this object meanwhile."""
        uid = document["metadata"]["uid"]
        self._under_way[uid] = self._under_way.get(uid, 0) + 1
        try:
            yield
        finally:
            self._under_way[uid] -= 1
            if not self._under_way[uid]:
                del self._under_way[uid]

    def held_back(self, document: Document) -> Document | None:
        """Return what the watch said last while we wrote, once no write is under way any more."""
        uid = document["metadata"]["uid"]
        return None if uid in self._under_way else self._held.pop(uid, None)
