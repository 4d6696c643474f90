"""What carries our stamp and belongs to nobody any more: who it was, and what of it somebody asked to remove. Pure.

Nothing is removed because it is an orphan: an administrator names it on the CloneBackend, by its own id.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from vmclone_operator.domain.backend import Leftover, LeftoverKind, ObservedClone

REPORTED = 50
"""So many are named in status; all are counted."""
VM = "VM"
_NAMED = 3
_WORDS = {VM: "VMs", LeftoverKind.VOLUME: "clones' volumes", LeftoverKind.FROZEN_POINT: "frozen points"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphans:
    """The orphans of one backend."""

    clones: tuple[ObservedClone, ...] = ()
    leftovers: tuple[Leftover, ...] = ()
    """Files without a VM."""

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.clones) + len(self.leftovers)

    def counts(self) -> dict[str, int]:
        """Return how many there are of each kind; none is a number, too."""
        found = Counter(leftover.kind for leftover in self.leftovers)
        return {VM: len(self.clones)} | {kind.value: found[kind] for kind in LeftoverKind}

    def named_in(self, annotation: str) -> Orphans:
        """Return those that an annotation names: ids of the backend, with commas between."""
        wanted = {part.strip() for part in annotation.split(",")} - {""}
        return Orphans(
            clones=tuple(clone for clone in self.clones if clone.external_id in wanted),
            leftovers=tuple(leftover for leftover in self.leftovers if leftover.name in wanted),
        )

    def without(self, gone: Orphans) -> Orphans:
        """Return those that are left."""
        ids = {clone.external_id for clone in gone.clones}
        return Orphans(
            clones=tuple(clone for clone in self.clones if clone.external_id not in ids),
            leftovers=tuple(leftover for leftover in self.leftovers if leftover not in gone.leftovers),
        )

    def joined(self, more: Orphans) -> Orphans:
        """Return these and others, in the order of their names."""
        return Orphans(
            clones=suspects((*self.clones, *more.clones), ()),
            leftovers=tuple(sorted((*self.leftovers, *more.leftovers), key=lambda leftover: leftover.name)),
        )

    def told(self) -> str:
        """Return what people are told of them, and what they can do."""
        counts = ", ".join(f"{n} {_WORDS[kind]}" for kind, n in self.counts().items() if n)
        named = list(self._names())
        more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
        return (
            f"{counts} carry our stamp and belong to nobody: {', '.join(named[:_NAMED])}{more}; look at status.orphans,"
            " and name those to remove in the annotation vmclone.dev/remove-orphans (their externalID, with commas"
            " between)"
        )

    def _names(self) -> Iterator[str]:
        yield from (f"{c.vm_name} of {c.stamp.namespace}/{c.stamp.vmclone}" for c in self.clones)
        yield from (leftover.name for leftover in self.leftovers)


def suspects(clones: Sequence[ObservedClone], living: Collection[str]) -> tuple[ObservedClone, ...]:
    """Return the VMs whose incarnation is not among the living, in the order of their names."""
    return tuple(sorted((c for c in clones if c.stamp.incarnation not in living), key=lambda c: c.vm_name))
