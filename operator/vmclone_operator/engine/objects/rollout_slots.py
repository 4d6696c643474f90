"""Slots for clones that are being made: at most `maxInFlight` of a CloneBackend, and of a VMClone, at a time.

A replica holds a slot from its intent until it is ready, has failed or goes; its status says so, and so a restart
changes nothing. One that finds none waits in line, first come, first served, and is woken when its turn comes. One
whose VMClone has all its own slots taken is passed over, so that it does not keep a slot of the backend empty.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from vmclone_operator.engine.objects.index import Keys
from vmclone_operator.engine.objects.slot_line import Order, SlotLine
from vmclone_operator.kube.cluster import Key


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a replica needs a slot."""

    order: Order
    backend: str
    vmclone: str
    """The uid of its VMClone."""


@dataclass(slots=True)
class RolloutSlots:
    """Who holds a slot, and who waits for one."""

    _limits: dict[str, int] = field(default_factory=dict)
    """By the name of a CloneBackend or the uid of a VMClone."""
    _holding: dict[Key, Place] = field(default_factory=dict)
    _unwritten: Keys = field(default_factory=Keys)
    """Slots that a pass was given, and that no status shows yet."""
    _taken: Counter[str] = field(default_factory=Counter)
    _lines: dict[str, SlotLine] = field(default_factory=dict)
    """By CloneBackend; a VMClone may wait in several."""
    _waiting: dict[Key, Place] = field(default_factory=dict)
    _freed: dict[str, None] = field(default_factory=dict)

    def set_limit(self, name: str, limit: int) -> None:
        """Say how many slots a CloneBackend or a VMClone has; without that it has one."""
        if self._limits.get(name) != limit:
            self._limits[name] = limit
            self._look_again(name)
            self._freed.update(dict.fromkeys(self._lines))

    def drop_limit(self, name: str) -> None:
        """Forget a CloneBackend or a VMClone that is gone."""
        self._limits.pop(name, None)
        self._look_again(name)

    def shown(self, key: Key, place: Place, *, under_way: bool) -> None:
        """Take over what a replica's status shows."""
        if under_way:
            self._unwritten.discard(key)
            self._hold(key, place)
        elif key in self._holding and key not in self._unwritten:
            self._release(key)

    def gone(self, key: Key) -> None:
        """Forget a replica that is gone."""
        self._release(key)
        self._leave_line(key)

    def is_waiting(self, key: Key) -> bool:
        """Return whether a replica is in line, and so is woken when its turn comes."""
        return key in self._waiting

    def take(self, key: Key, place: Place) -> bool:
        """Return whether a replica has a slot; if not, it is woken when its turn comes."""
        if key in self._holding:
            return True
        self._leave_line(key)
        self._waiting[key] = place
        line = self._lines.setdefault(place.backend, SlotLine(self._room))
        line.join(place.vmclone, place.order, key)
        if key not in self._may_go(place.backend):
            return False
        self._unwritten.add(key)
        self._hold(key, place)
        return True

    def withdraw(self, key: Key) -> None:
        """Let a replica wait no more: it has no use for a slot now."""
        self._leave_line(key)

    def end(self, key: Key) -> None:
        """Say that a pass ended: a slot that it was given and did not write down goes to the next."""
        if key in self._unwritten:
            self._release(key)

    def next_in_line(self) -> list[Key]:
        """Return who may take a slot since the last time."""
        freed, self._freed = self._freed, {}
        return [key for backend in freed for key in self._may_go(backend)]

    def _may_go(self, backend: str) -> Iterator[Key]:
        """Yield those in line who would get a slot now, as many as there are."""
        line = self._lines.get(backend)
        if line is not None:
            yield from line.first(self._room(backend))

    def _room(self, name: str) -> int:
        """Return how many slots a CloneBackend or a VMClone has left."""
        return self._limits.get(name, 1) - self._taken.get(name, 0)

    def _look_again(self, vmclone: str) -> None:
        for line in self._lines.values():
            line.look_again(vmclone)

    def _hold(self, key: Key, place: Place) -> None:
        if key not in self._holding:
            self._leave_line(key)
            self._holding[key] = place
            self._taken.update((place.backend, place.vmclone))
            self._look_again(place.vmclone)

    def _release(self, key: Key) -> None:
        self._unwritten.discard(key)
        place = self._holding.pop(key, None)
        if place is None:
            return
        for name in (place.backend, place.vmclone):
            self._taken[name] -= 1
            if not self._taken[name]:
                del self._taken[name]
        self._look_again(place.vmclone)
        self._freed[place.backend] = None

    def _leave_line(self, key: Key) -> None:
        place = self._waiting.pop(key, None)
        if place is None:
            return
        self._lines[place.backend].leave(place.vmclone, place.order, key)
        self._freed[place.backend] = None
