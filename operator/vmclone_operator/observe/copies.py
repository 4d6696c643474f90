"""Home copies as a scrape shows them: how many there are by the replicas' statuses, and counts of those that ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram

from vmclone_operator.domain.home_copy import ENDED, RUNS
from vmclone_operator.homecopy.filters import floor
from vmclone_operator.homecopy.outcome import Ended

if TYPE_CHECKING:
    from vmclone_operator.domain.home_copy import CopyJobView
    from vmclone_operator.engine.objects.cache import Cache
    from vmclone_operator.kube.cluster import Document

_FAILURES = {reason.value for reason in Ended} - {Ended.COPIED.value}
_SECONDS = (5.0, 15.0, 60.0, 180.0, 600.0, 1800.0, 3600.0, 7200.0, 14400.0)
_OTHER = "other"


class CopyCounts:
    """Implements `CopyMeter`; what a copy left out is counted by rule, and no rule is a name of a user."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, meaning: str, *labels: str) -> Counter:
            return Counter(f"vmclone_homecopy_{name}", meaning, labels, registry=registry)

        self._attempts = counter(
            "attempts", "Home copies that ended: Copied, or why HomeCopied is False.", "backend", "result"
        )
        self._files = counter("files", "Files that home copies brought to clones.", "backend")
        self._bytes = counter("bytes", "Bytes that home copies sent to get done.", "backend")
        self._excluded = counter("excluded_files", "Files and folders that the filter left out, by rule.", "rule")
        self._seconds = Histogram(
            "vmclone_homecopy_duration_seconds",
            "Seconds of a home copy's Job.",
            ("backend", "result"),
            registry=registry,
            buckets=_SECONDS,
        )
        self._rules = {*floor().rules["families"], "content", "extra"}
        for rule in (*self._rules, _OTHER):
            self._excluded.labels(rule)

    def copy_ended(self, backend: str, copy: CopyJobView) -> None:
        """Count an attempt by its result, and what its receipt says if it succeeded."""
        self._attempts.labels(backend, copy.reason).inc()
        if copy.seconds:
            self._seconds.labels(backend, copy.reason).observe(copy.seconds)
        if copy.receipt is None:
            return
        self._files.labels(backend).inc(copy.receipt.files)
        self._bytes.labels(backend).inc(copy.receipt.sent_bytes)
        for rule, number in copy.receipt.excluded.items():
            self._excluded.labels(rule if rule in self._rules else _OTHER).inc(number)


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
