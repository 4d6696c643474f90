"""The line at each CloneSource whose limits are reached: kept up to date by the cache, asked by the VMClone's pass.

`domain/admission.py` decides; this keeps its snapshot in the order it wants, so that one pass costs no walk over all
VMClones. A VMClone that something else holds up (a pause, a missing grant, a plan that nobody approved) stands back:
it keeps the clones it has, and takes no place from those behind it. After a restart everybody is in line until its own
first pass says otherwise, so no more clones are made than before.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from vmclone_operator.domain.admission import Claimant, Order, may_make
from vmclone_operator.engine.objects.index import Keys
from vmclone_operator.kube.cluster import Key


@dataclass(slots=True)
class _Line:
    """The claimants of one CloneSource."""

    limit: int = 0
    held: int = 0
    claimants: dict[Order, Claimant] = field(default_factory=dict)
    missing: list[Order] = field(default_factory=list)
    """Of those that would make more, the oldest first."""
    refused: dict[Order, Key] = field(default_factory=dict)
    """Those that were told to wait."""

    def put(self, claimant: Claimant) -> None:
        order, known = claimant.order, self.claimants.get(claimant.order)
        had, has = known is not None and known.missing > 0, claimant.missing > 0
        if had and not has:
            del self.missing[bisect_left(self.missing, order)]
        elif has and not had:
            insort(self.missing, order)
        self.held += claimant.held - (0 if known is None else known.held)
        self.claimants[order] = claimant

    def drop(self, order: Order) -> None:
        self.put(Claimant(order=order, held=0, wanted=0))
        del self.claimants[order]
        self.refused.pop(order, None)

    def may_make(self, mine: Claimant) -> int:
        ahead = (self.claimants[other] for other in self.missing[: bisect_left(self.missing, mine.order)])
        return may_make(mine, ahead, self.limit - self.held)

    def next_in_line(self) -> Iterator[Key]:
        """Yield those that were told to wait and need not any more; each is told once."""
        free = self.limit - self.held
        for order in tuple(self.missing):
            if free <= 0 or not self.refused:
                return
            free -= self.claimants[order].missing
            key = self.refused.pop(order, None)
            if key is not None:
                yield key


@dataclass(slots=True)
class Admission:
    """Who may make how many clones of which CloneSource."""

    _lines: dict[str, _Line] = field(default_factory=dict)
    _claims: dict[Key, tuple[str, Claimant]] = field(default_factory=dict)
    """Of each VMClone its CloneSource, and what it would have if nothing but the limit held it up."""
    _standing_back: Keys = field(default_factory=Keys)
    _making: Counter[Key] = field(default_factory=Counter)
    """Replicas whose creation was asked for and not answered yet: they count, or another one would take their place."""
    _moved: dict[str, None] = field(default_factory=dict)
    """The lines in which somebody may go on since they were asked for last."""

    def set_limit(self, source: str, limit: int) -> None:
        """Say how many clones a CloneSource allows."""
        self._lines.setdefault(source, _Line()).limit = limit
        self._moved[source] = None

    def put(self, key: Key, source: str, claimant: Claimant) -> None:
        """Say what a VMClone has and would have; a VMClone that was made anew under its name replaces it."""
        known = self._claims.get(key)
        if known == (source, claimant):
            return
        if known is not None and (known[0], known[1].order) != (source, claimant.order):
            self.drop(key)
        self._claims[key] = (source, claimant)
        self._enter(key)

    def drop(self, key: Key) -> None:
        """Forget a VMClone that is gone."""
        source, claimant = self._claims.pop(key, ("", None))
        self._standing_back.discard(key)
        if claimant is not None:
            self._lines[source].drop(claimant.order)
            self._moved[source] = None

    def stand_back(self, key: Key, *, back: bool) -> None:
        """Say whether something else than the limit holds a VMClone up."""
        if back is (key in self._standing_back) or key not in self._claims:
            return
        (self._standing_back.add if back else self._standing_back.discard)(key)
        self._enter(key)

    def ask(self, key: Key) -> tuple[int, int]:
        """Return how many replicas a VMClone may make now, and how many it has to wait with.

        One that stands back is told what it could make if it did not: a dry run shows that.
        """
        source, claimant = self._claims[key]
        claimant = replace(claimant, held=claimant.held + self._making.get(key, 0))
        line = self._lines[source]
        now = line.may_make(claimant)
        waits = claimant.missing - now
        if waits:
            line.refused[claimant.order] = key
        else:
            line.refused.pop(claimant.order, None)
        return now, waits

    @contextmanager
    def making(self, key: Key) -> Iterator[bool]:
        """Hold a place while a replica is created; yields whether there is one."""
        if key not in self._claims or self.ask(key)[0] <= 0:
            yield False
            return
        self._making[key] += 1
        self._enter(key)
        try:
            yield True
        finally:
            self._making[key] -= 1
            if not self._making[key]:
                del self._making[key]
            if key in self._claims:
                self._enter(key)

    def limit(self, source: str) -> int:
        """Return how many clones a CloneSource allows."""
        return self._lines[source].limit if source in self._lines else 0

    def held(self, source: str) -> int:
        """Return how many clones of a CloneSource there are."""
        return self._lines[source].held if source in self._lines else 0

    def next_in_line(self) -> list[Key]:
        """Return who was told to wait and may go on by now."""
        moved, self._moved = self._moved, {}
        return [key for source in moved for key in self._lines[source].next_in_line()]

    def _enter(self, key: Key) -> None:
        source, claimant = self._claims[key]
        line = self._lines.setdefault(source, _Line())
        known = line.claimants.get(claimant.order)
        standing = replace(claimant, held=claimant.held + self._making.get(key, 0))
        if key in self._standing_back:
            standing = replace(standing, wanted=standing.held)
        line.put(standing)
        if known is not None and (known.held > standing.held or known.missing > standing.missing):
            self._moved[source] = None
