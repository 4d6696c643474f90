"""How a test names a clone to a backend: by its stamp alone, as after a restart without a ledger."""

from __future__ import annotations

from collections.abc import Awaitable

from vmclone_operator.domain.backend import CloneRef, Progress, Stamp


def ref_to(stamp: Stamp) -> CloneRef:
    """Return a reference that tells nothing but the stamp."""
    return CloneRef(stamp=stamp)


async def is_gone(removal: Awaitable[Progress]) -> bool:
    """Return whether a removal says that nothing is left; its answer itself is true in either case."""
    return (await removal).done
