"""Slots at hosts: how many passes may be at one host at a time, so that one that hangs leaves workers to the others.

Replicas have slots of their own, and so have VMClones and CloneSources: neither waits for the other. A pass that needs
two hosts takes a slot at both, from a class that leaves slots to those that need only one.

A slot that is freed is handed to the first in line, and stays theirs until its pass has run; nobody is woken to find
that another one was quicker. For example, with 8 workers host `a` has two slots for VMClones. The passes of `x` and `y`
take them, and that of `z` raises NoSlot. When `x` ends, its slot is `z`'s, and `z` is woken. A pass of `w` that begins
before it finds no slot, and waits behind it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum

from vmclone_operator.domain.steps import SAFETY_NET_SECONDS
from vmclone_operator.engine.work.queue import NoSlot, Wakeable
from vmclone_operator.kube.cluster import Key


class SlotClass(StrEnum):
    """Who shares slots of a host."""

    REPLICAS = "replicas"
    REPLICAS_ACROSS = "replicas across hosts"
    WISHES = "wishes"
    """Of VMClones and of CloneSources."""
    WISHES_ACROSS = "wishes across hosts"


_PARTS = {SlotClass.REPLICAS: 2, SlotClass.REPLICAS_ACROSS: 4, SlotClass.WISHES: 4, SlotClass.WISHES_ACROSS: 8}
"""Of all workers, one in so many."""

Slot = tuple[str, SlotClass]
"""A host, and a class of its slots."""


@dataclass(slots=True, kw_only=True)
class HostSlots:
    """Who is at which host, and who waits.

    Invariants: a key is in at most one line, and in none while slots are handed to it. Whoever waits stands in the line
    of a slot that was full when it was put there.
    """

    workers: int
    _taken: Counter[Slot] = field(default_factory=Counter)
    """By passes that run, and by those that slots were handed to."""
    _handed: dict[Key, Collection[Slot]] = field(default_factory=dict)
    """The slots of those that were woken and have not run yet."""
    _needs: dict[Key, Collection[Slot]] = field(default_factory=dict)
    """What those that wait need."""
    _lines: dict[Slot, dict[Key, None]] = field(default_factory=dict)

    @contextmanager
    def acquire(self, queue: Wakeable, key: Key, slots: Collection[Slot]) -> Iterator[None]:
        """Hold a slot of each kind during a pass; raises NoSlot, and has the key woken once it has them all."""
        handed = self._handed.pop(key, None)
        if handed is not None and set(handed) != set(slots):  # it needs others by now
            self._release(queue, handed)
            handed = None
        if handed is None:
            self._take(key, slots)
        try:
            yield
        finally:
            self._release(queue, slots)

    def forget(self, queue: Wakeable, key: Key) -> None:
        """Drop a key that no longer exists; what was handed to it goes to the next."""
        self._withdraw(key)
        self._release(queue, self._handed.pop(key, ()))

    def _take(self, key: Key, slots: Collection[Slot]) -> None:
        full = self._full(slots)
        if full is None:
            self._withdraw(key)
            self._taken.update(slots)
            return
        if key not in self._lines.get(full, {}):  # else it keeps its turn
            self._withdraw(key)
            self._lines.setdefault(full, {})[key] = None
        self._needs[key] = slots
        raise NoSlot(SAFETY_NET_SECONDS)

    def _full(self, slots: Iterable[Slot]) -> Slot | None:
        return next((slot for slot in slots if self._taken[slot] >= max(1, self.workers // _PARTS[slot[1]])), None)

    def _withdraw(self, key: Key) -> None:
        for slot in self._needs.pop(key, ()):
            self._lines.get(slot, {}).pop(key, None)

    def _release(self, queue: Wakeable, slots: Collection[Slot]) -> None:
        self._taken.subtract(slots)
        for slot in slots:
            if not self._taken[slot]:
                del self._taken[slot]
        for slot in slots:
            self._hand_over(queue, slot)

    def _hand_over(self, queue: Wakeable, slot: Slot) -> None:
        """Hand the slot to the first in line that has all it needs then; others wait where there is none for them."""
        line = self._lines.get(slot, {})
        while line and self._full([slot]) is None:
            key = next(iter(line))
            del line[key]
            needs = self._needs[key]
            full = self._full(needs)
            if full is not None:
                self._lines.setdefault(full, {})[key] = None
                continue
            del self._needs[key]
            self._taken.update(needs)
            self._handed[key] = needs
            queue.add(key)  # the queue remembers how urgent it is
        if not line:
            self._lines.pop(slot, None)
