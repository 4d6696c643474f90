"""Home copies as a scrape shows them: totals only, read from what the replicas' statuses say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmclone_operator.domain.home_copy import ENDED, RUNS
from vmclone_operator.homecopy.outcome import Ended

if TYPE_CHECKING:
    from vmclone_operator.engine.cache import Cache
    from vmclone_operator.kube.cluster import Document

_FAILURES = {reason.value for reason in Ended} - {Ended.COPIED.value}


def active(cache: Cache) -> int:
    """Return how many copies have their turn: each reads from its source, or is being cleaned up."""
    return sum(1 for document in cache.copying() if _operation(document) in {RUNS, ENDED})


def queued(cache: Cache) -> int:
    """Return how many copies wait for their turn at a source; one that waits for its next attempt has no place."""
    return sum(1 for document in cache.copying() if _operation(document) not in {RUNS, ENDED} and _has_place(document))


def failed(replicas: list[Document]) -> int:
    """Return how many replicas have no home because their last copy failed."""
    return sum(1 for document in replicas if _copy_failed(document))


def _operation(replica: Document) -> str:
    operation = (replica.get("status") or {}).get("operation") or {}
    return str(operation.get("kind", ""))


def _has_place(replica: Document) -> bool:
    steps = (replica.get("status") or {}).get("steps") or []
    copies = (step for step in steps if step["name"] == "HomeCopy" and not step.get("completionTime"))
    return any(step.get("queuePosition", 0) > 0 for step in copies)


def _copy_failed(replica: Document) -> bool:
    conditions = (replica.get("status") or {}).get("conditions") or []
    told = (c for c in conditions if c["type"] == "HomeCopied" and c["status"] == "False")
    return any(condition["reason"] in _FAILURES for condition in told)
