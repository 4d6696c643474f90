"""How a test names a clone to a backend: by its stamp alone, as after a restart without a ledger."""

from __future__ import annotations

from vmclone_operator.domain.backend import CloneRef, Stamp


def ref_to(stamp: Stamp) -> CloneRef:
    """Return a reference that tells nothing but the stamp."""
    return CloneRef(stamp=stamp)
