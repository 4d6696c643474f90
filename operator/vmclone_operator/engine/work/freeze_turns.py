"""Turns at a source VM: one frozen point of it is copied at a time, whichever VMClone it is for.

A turn that ends is handed to the next in line, the oldest VMClone first, and that one is woken. It keeps the turn until
a pass of it ends without a copy under way: the copy is done, it failed, or the VMClone may not freeze now.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field

from vmclone_operator.engine.objects.index import Keys
from vmclone_operator.engine.work.queue import Wakeable
from vmclone_operator.kube.cluster import Key

Order = tuple[str, str]


@dataclass(slots=True)
class FreezeTurns:
    """Who has the turn at which source VM, and who waits for it."""

    _holder: dict[str, Key] = field(default_factory=dict)
    _held: dict[Key, str] = field(default_factory=dict)
    _lines: dict[str, list[tuple[Order, Key]]] = field(default_factory=dict)
    _waiting: dict[Key, tuple[str, Order]] = field(default_factory=dict)
    _handed: Keys = field(default_factory=Keys)
    """Those that were given their turn and whose pass has not begun since."""

    def take(self, source: str, key: Key, order: Order, *, copied_for: Key | None) -> bool:
        """Return whether a VMClone has its turn; `copied_for` has it by its status, as after a restart."""
        if copied_for is not None and source not in self._holder:
            self._hold(source, copied_for)
        holder = self._holder.get(source)
        if holder == key:
            return True
        self._withdraw(key)
        if holder is None:
            self._hold(source, key)
            return True
        self._waiting[key] = (source, order)
        insort(self._lines.setdefault(source, []), (order, key))
        return False

    def begin(self, key: Key) -> None:
        """Say that a pass begins: what it does not use of its turn is not handed to it once more."""
        self._handed.discard(key)

    def end(self, queue: Wakeable, key: Key, *, copying: bool) -> None:
        """Say that a pass ended; without a copy under way its turn goes to the next."""
        if not copying and key not in self._handed:
            self._give_back(queue, key)

    def forget(self, queue: Wakeable, key: Key) -> None:
        """Drop a VMClone that is gone."""
        self._withdraw(key)
        self._give_back(queue, key)

    def _hold(self, source: str, key: Key) -> None:
        self._holder[source] = key
        self._held[key] = source

    def _give_back(self, queue: Wakeable, key: Key) -> None:
        self._handed.discard(key)
        source = self._held.pop(key, "")
        if not source:
            return
        del self._holder[source]
        line = self._lines.get(source)
        if line:
            _, following = line[0]
            self._withdraw(following)
            self._hold(source, following)
            self._handed.add(following)
            queue.add(following)

    def _withdraw(self, key: Key) -> None:
        source, order = self._waiting.pop(key, ("", ("", "")))
        if source:
            line = self._lines[source]
            del line[bisect_left(line, (order, key))]
            if not line:
                del self._lines[source]
