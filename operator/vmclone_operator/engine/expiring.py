"""Tells people of a VMClone whose time is nearly over: what is on its clones goes with them."""

from __future__ import annotations

from vmclone_operator.domain.expiry import Expiry
from vmclone_operator.engine.context import Engine, stamp_time
from vmclone_operator.kube.cluster import Document, Kind


async def warn(engine: Engine, vmclone: Document, expiry: Expiry | None) -> float | None:
    """Warn once it is time to; return when to look at it again."""
    if expiry is None:
        return None
    if expiry.warned and not expiry.expired:
        note = f"its clones are removed at {stamp_time(expiry.at)}; raise or remove spec.expireAfter to keep them"
        await engine.events.post(Kind.VMCLONE, vmclone, reason="ExpiresSoon", action="Expire", note=note, warning=True)
    return expiry.again_seconds
