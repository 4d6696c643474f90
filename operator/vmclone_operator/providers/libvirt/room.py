"""How much room pools have: libvirt tells what it saw when it last looked, and to look costs a walk over all files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmclone_operator.providers.libvirt import volumes

if TYPE_CHECKING:
    from collections.abc import Callable

    import libvirt

FRESH_SECONDS = 10.0
"""So long what was seen of a pool counts: every VMClone that waits for room plans anew each half minute."""


class Room:
    """The pools of one session, and when each was last looked at."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seen: dict[str, float] = {}

    def look_again(self, pool: libvirt.virStoragePool) -> None:
        """Have libvirt look at a pool, unless it did just now: guests write, people tidy up."""
        name, now = pool.name(), self._clock()
        if now - self._seen.get(name, -FRESH_SECONDS) >= FRESH_SECONDS:
            volumes.refresh(pool)
            self._seen[name] = now


def same_room(one: libvirt.virStoragePool, other: libvirt.virStoragePool) -> bool:
    """Return whether two pools share their free space, as two directories of one file system do.

    They were looked at one after the other, while guests write: as much is free in both to one part in a hundred.
    """
    if one.name() == other.name():
        return True
    (_, capacity, _, free), (_, other_capacity, _, other_free) = one.info(), other.info()
    return bool(capacity == other_capacity and abs(free - other_free) * 100 <= max(free, other_free))
