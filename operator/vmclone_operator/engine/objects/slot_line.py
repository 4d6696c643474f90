"""The line for the slots of one CloneBackend: by VMClone, so that a hundred who may not go yet are passed over at once.

For example, `dev` has 100 replicas and 5 slots of its own, all taken; `ops` has one replica that came later. Whoever
asks who may go is told of `ops` without a look at the hundred.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from heapq import heappop, heappush

from vmclone_operator.kube.cluster import Key

Order = tuple[str, str]
"""Creation time, and namespace and name: who came first goes first."""
Waiting = tuple[Order, Key]


class SlotLine:
    """Who waits, first come first; `room` says how many slots of its own a VMClone has left."""

    def __init__(self, room: Callable[[str], int]) -> None:
        self._room = room
        self._lines: dict[str, list[Waiting]] = {}
        self._heads: list[tuple[Order, Key, str]] = []
        """The first of each VMClone that has room, in order."""
        self._head_of: dict[str, tuple[Order, Key, str]] = {}

    def join(self, vmclone: str, order: Order, key: Key) -> None:
        """Let a replica of a VMClone wait."""
        insort(self._lines.setdefault(vmclone, []), (order, key))
        self.look_again(vmclone)

    def leave(self, vmclone: str, order: Order, key: Key) -> None:
        """Let a replica wait no more that does."""
        line = self._lines[vmclone]
        del line[bisect_left(line, (order, key))]
        if not line:
            del self._lines[vmclone]
        self.look_again(vmclone)

    def look_again(self, vmclone: str) -> None:
        """Find out anew whether the first of a VMClone may go: its room, or its line, is another."""
        line = self._lines.get(vmclone)
        head = (*line[0], vmclone) if line and self._room(vmclone) > 0 else None
        old = self._head_of.get(vmclone)
        if head == old:
            return
        if old is not None:
            del self._heads[bisect_left(self._heads, old)]
            del self._head_of[vmclone]
        if head is not None:
            insort(self._heads, head)
            self._head_of[vmclone] = head

    def first(self, most: int) -> Iterator[Key]:
        """Yield who may go now, first come first, at most so many, and of each VMClone no more than it has room for."""
        given: dict[str, int] = {}
        following: list[tuple[Order, Key, str]] = []
        heads = iter(self._heads)
        head = next(heads, None)
        for _ in range(most):
            if following and (head is None or following[0] < head):
                turn = heappop(following)
            elif head is not None:
                turn, head = head, next(heads, None)
            else:
                return
            _, key, vmclone = turn
            given[vmclone] = count = given.get(vmclone, 0) + 1
            line = self._lines[vmclone]
            if count < min(len(line), self._room(vmclone)):
                heappush(following, (*line[count], vmclone))
            yield key
