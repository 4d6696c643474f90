"""Who waits for room at a place that others take up: woken when some is given back, the first few of them in turn.

For example, the plans of `dev` and `ops` do not fit into the pool of CloneBackend `lab`. A replica of another VMClone
is removed there: `dev` is woken and looks again. If its plan fits now it wakes `ops`, for there may be room for both.
Room that others make unseen, as by deleting a file, is found by whoever waits when it looks again by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from vmclone_operator.engine.objects.index import Index
from vmclone_operator.engine.work.queue import Wakeable
from vmclone_operator.kube.cluster import Key

_AT_ONCE = 3
"""How many look at what was given back: the first may need more than that, and keeps nobody behind it waiting."""


@dataclass(slots=True)
class Waiting:
    """Keys by the place that they wait for, first come, first served."""

    _lines: Index[str] = field(default_factory=Index)

    def wait(self, key: Key, place: str) -> None:
        """Say that a key waits for room at a place, and for nothing else."""
        self._lines.put(key, (place,))

    def end(self, queue: Wakeable, key: Key) -> None:
        """Say that a key waits no more: what it found may be enough for the next, too."""
        places = self._lines.names_of(key)
        self._lines.drop(key)
        for place in places:
            self.freed(queue, place)

    def freed(self, queue: Wakeable, place: str) -> None:
        """Wake the first few who wait for room at a place."""
        for key in tuple(self._lines.of(place))[:_AT_ONCE]:
            queue.add(key)
