"""How many calls Azure takes: token buckets, per VM and per subscription.

MicrosoftDocs/azure-compute-docs articles/virtual-machines/compute-throttling-limits.md (1a043fb), the table "Throttling
limits for Virtual Machines": refill a minute and capacity, per VM, then per subscription and region. Restore points:
articles/virtual-machines/virtual-machines-create-restore-points.md (006bb0c), "Throttling limits for Restore points":
three an hour per VM and kind. Snapshots: includes/virtual-machines-disks-incremental-snapshots-restrictions.md,
seven a disk in five minutes. The body of a 429 is that of
azure-docs articles/azure-resource-manager/management/request-limits-and-throttling.md and of Compute's
troubleshooting-throttling-errors.md (`OperationNotAllowed` with details `TooManyRequests`).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from tests.doubles.arm.refusals import Refusal


@dataclass(frozen=True, slots=True)
class Limit:
    """A bucket's size and how fast it fills."""

    capacity: float
    a_minute: float


PER_VM = {
    "PutVM": Limit(12, 4),
    "UpdateVM": Limit(12, 4),
    "DeleteVM": Limit(12, 4),
    "LowCostGetVM": Limit(36, 12),
    "GetOperation": Limit(45, 15),
    "RestorePoint": Limit(3, 3 / 60),
    "Snapshot": Limit(7, 7 / 5),
}
PER_SUBSCRIPTION = {
    "PutVM": Limit(1500, 500),
    "UpdateVM": Limit(1500, 500),
    "DeleteVM": Limit(1500, 500),
    "LowCostGetVM": Limit(24000, 8000),
    "HighCostGetVM": Limit(900, 300),
    "GetOperation": Limit(15000, 5000),
}


class Throttles:
    """All buckets of a world, and what was counted."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._levels: dict[tuple[str, str], tuple[float, float]] = {}
        self.per_resource = dict(PER_VM)
        self.per_subscription = dict(PER_SUBSCRIPTION)
        self.spent: Counter[tuple[str, str]] = Counter()
        """Calls by policy and resource; the resource of a list is empty."""
        self.refused: Counter[str] = Counter()
        self.on = True

    def spend(self, policy: str, resource: str = "") -> None:
        """Take a token of each bucket that a call needs; raises Refusal with the time to wait."""
        self.spent[policy, resource] += 1
        if not self.on:
            return
        for key, limits in ((resource, self.per_resource), ("", self.per_subscription)):
            if policy in limits and (key or limits is self.per_subscription):
                self._take(policy, key, limits[policy])

    def _take(self, policy: str, key: str, limit: Limit) -> None:
        now = self._now()
        level, since = self._levels.get((policy, key), (limit.capacity, now))
        level = min(limit.capacity, level + (now - since) * limit.a_minute / 60)
        if level < 1:
            self._levels[policy, key] = (level, now)
            self.refused[policy] += 1
            raise _too_many(policy, wait=max(1.0, (1 - level) * 60 / limit.a_minute))
        self._levels[policy, key] = (level - 1, now)


def _too_many(policy: str, wait: float) -> Refusal:
    said = {"operationGroup": policy, "measuredRequestCount": 1, "allowedRequestCount": 0}
    return Refusal(
        429,
        "OperationNotAllowed",
        "The server rejected the request because too many requests have been received for this subscription.",
        retry_after=wait,
        details=[{"code": "TooManyRequests", "target": policy, "message": json.dumps(said)}],
    )
