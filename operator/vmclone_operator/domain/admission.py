"""Who may have clones when a CloneSource allows fewer than are wanted: one order for everybody.

Clones that exist keep their places. What is left goes to the VMClones that still miss clones, the oldest first
(creation time, then uid) and within one VMClone the lowest ordinal first. The answer follows from the snapshot alone,
so every worker, and every operator after a restart, comes to the same one. Nobody is held up by a VMClone behind it.

For example, with `maxClones: 3`, VMClone `a` (the oldest) wants two clones and has one, `b` and `c` want two each and
have none: `a` may make one more and `b` one; `c` waits. Once `a` is removed, `b` may make its second, and `c` one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from vmclone_operator.domain.steps import Blocker

Order = tuple[str, str]
"""Creation time and uid of a VMClone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimant:
    """One VMClone at a CloneSource: how many clones it has, and how many it would have."""

    order: Order
    held: int
    """Replicas that exist, those that are being removed included: their VMs may still be there."""
    wanted: int
    """Replicas that it would make now; of one that is paused or held up by something else as many as exist."""

    @property
    def missing(self) -> int:
        """Return how many more it would make."""
        return max(0, self.wanted - self.held)


def may_make(mine: Claimant, ahead: Iterable[Claimant], free: int) -> int:
    """Return how many replicas a claimant may make now.

    `ahead` are the older claimants, the oldest first; `free` is the limit less all replicas that exist.
    """
    for other in ahead:
        if free <= 0:
            return 0
        free -= other.missing
    return max(0, min(mine.missing, free))


def admitted(claimants: Iterable[Claimant], *, limit: int) -> dict[Order, int]:
    """Return how many replicas each of all claimants of a CloneSource may make now."""
    everybody = sorted(claimants, key=lambda claimant: claimant.order)
    free = limit - sum(claimant.held for claimant in everybody)
    return {mine.order: may_make(mine, everybody[:place], free) for place, mine in enumerate(everybody)}


def refusal(*, source: str, wanted: int, most_replicas: int, waits: int, limit: int, held: int) -> Blocker | None:
    """Return why some of the wanted replicas are not made; None when all of them may be.

    `waits` of those that one VMClone may have find no place among the `limit` of the CloneSource, `held` by now.
    """
    sentences = []
    if waits:
        sentences.append(
            f"{waits} of {wanted} replicas wait for a place: CloneSource {source} allows {limit} clones over all"
            f" namespaces and has {held}; they are made once others are removed, the oldest VMClone first"
        )
    if wanted > most_replicas:
        sentences.append(f"spec.replicas is {wanted}; CloneSource {source} allows {most_replicas} in one VMClone")
    if not sentences:
        return None
    message = "; ".join([*sentences, "lower spec.replicas, or ask the platform team to raise the limits"])
    return Blocker(reason="QuotaExceeded", message=message)
