"""A VMClone whose time is over, or nearly: what is on its clones goes with them, so both clocks have to say so."""

from __future__ import annotations

import logging

from vmclone_operator.domain.expiry import Expiry, expiry_of
from vmclone_operator.engine.context import Engine, stamp_time
from vmclone_operator.engine.work.queue import Priority
from vmclone_operator.kube.cluster import Document, Kind, key_of

log = logging.getLogger(__name__)


def standing(engine: Engine, vmclone: Document) -> Expiry | None:
    """Return how a VMClone stands by both clocks; None when it has no end, or was never ready."""
    status = vmclone.get("status") or {}
    ready_time, expire_after = status.get("readyTime", ""), vmclone["spec"].get("expireAfter")
    return expiry_of(expire_after, ready_time, engine.clocks(), before=_has_expired(vmclone))


def _has_expired(vmclone: Document) -> bool:
    conditions = (vmclone.get("status") or {}).get("conditions") or []
    return any(c["type"] == "Expired" and c["status"] == "True" for c in conditions)


def comes_back(engine: Engine, vmclone: Document) -> bool:
    """Return whether a VMClone was expired by mistake: its time is not over by the API server's clock."""
    if not _has_expired(vmclone):
        return False
    stands = standing(engine, vmclone)
    return stands is not None and not stands.expired


def compare_clocks(engine: Engine) -> None:
    """Wake whoever tells it, once the clocks begin or cease to differ."""
    clocks = engine.clocks()
    if clocks.skewed == engine.skewed:
        return
    engine.skewed = clocks.skewed
    log.warning("clocks", extra={"seconds_ahead": round(clocks.skew.total_seconds()), "complaint": clocks.complaint()})
    for document in engine.cache.all(Kind.BACKEND):
        engine.queue.add(key_of(Kind.BACKEND, document), Priority.LOW)
    for document in engine.cache.all(Kind.VMCLONE):
        if document["spec"].get("expireAfter"):
            engine.queue.add(key_of(Kind.VMCLONE, document), Priority.LOW)


async def warn(engine: Engine, vmclone: Document, expiry: Expiry | None) -> float | None:
    """Warn once it is time to; return when to look at it again."""
    if expiry is None:
        return None
    if expiry.warned and not expiry.expired and not engine.clocks().skewed:
        note = f"its clones are removed at {stamp_time(expiry.at)}; raise or remove spec.expireAfter to keep them"
        await engine.events.post(Kind.VMCLONE, vmclone, reason="ExpiresSoon", action="Expire", note=note, warning=True)
    return expiry.again_seconds
