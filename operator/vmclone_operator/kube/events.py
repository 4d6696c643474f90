"""Kubernetes Events: a few per replica's life, for what people should be told when it happens.

The same note on the same object within an hour is posted once: what repeats is a condition's business.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime

from vmclone_operator.domain.conditions import printable
from vmclone_operator.kube.cluster import Cluster, ClusterError, Document, Kind

_QUIET_SECONDS = 3600.0
_REMEMBERED = 4096


class EventRecorder:
    """Posts events.k8s.io/v1 Events; a failure to post one never fails a pass."""

    def __init__(
        self, cluster: Cluster, *, reporter: str, clock: Callable[[], float], now: Callable[[], datetime]
    ) -> None:
        self._cluster = cluster
        self._reporter = reporter
        self._clock = clock
        self._now = now
        self._seen: dict[tuple[str, str, str], float] = {}

    async def post(
        self,
        kind: Kind,
        regarding: Document,
        *,
        reason: str,
        action: str,
        note: str,
        warning: bool = False,
        once: bool = False,
    ) -> None:
        """Post one Event about an object, unless the same was posted within the hour.

        `once`: another note for the same reason is the same, as where it holds figures that move by themselves.
        """
        meta = regarding["metadata"]
        mark = (meta["uid"], reason, "" if once else note)
        if self._clock() - self._seen.get(mark, -_QUIET_SECONDS) < _QUIET_SECONDS:
            return
        if len(self._seen) >= _REMEMBERED:
            self._seen.clear()
        self._seen[mark] = self._clock()
        try:
            await self._cluster.create(Kind.EVENT, self._event(kind, regarding, reason, action, note, warning=warning))
        except ClusterError:
            self._seen.pop(mark, None)

    def _event(
        self, kind: Kind, regarding: Document, reason: str, action: str, note: str, *, warning: bool
    ) -> Document:
        meta, now = regarding["metadata"], self._now()
        namespace = meta.get("namespace") or "default"
        unique = hashlib.sha256(f"{meta['uid']}/{reason}/{note}/{now.isoformat()}".encode()).hexdigest()[:16]
        return {
            "metadata": {"namespace": namespace, "name": f"{meta['name'][:200].rstrip('-.')}.{unique}"},
            "eventTime": now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "reportingController": "vmclone.dev/operator",
            "reportingInstance": self._reporter[:128],
            "type": "Warning" if warning else "Normal",
            "reason": reason,
            "action": action,
            "note": printable(note).encode()[:1024].decode(errors="ignore"),  # the API counts bytes
            "regarding": {
                "apiVersion": kind.api_version,
                "kind": kind.kind,
                "namespace": meta.get("namespace", ""),
                "name": meta["name"],
                "uid": meta["uid"],
            },
        }
