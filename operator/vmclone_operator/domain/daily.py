"""Who has its full look of the day now: everybody once, spread over the day by name, without anything remembered."""

from __future__ import annotations

import hashlib

DAY_SECONDS = 86_400


def is_due(name: str, since: float, until: float) -> bool:
    """Return whether this name's moment of the day lies after `since` and not after `until`, in Unix seconds."""
    moment = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") % DAY_SECONDS
    return (until - moment) // DAY_SECONDS > (since - moment) // DAY_SECONDS
