"""Leadership by a Lease, so that one operator works and another takes over.

30 s lease, 20 s until the leader stops by itself, 4 s between renewals; only the local monotonic clock is
compared, never two machines' clocks. A Lease is not fencing: incarnations, stamps and intents are what keeps
two operators that both believe they lead from doing harm; `LeaseKeeper.fence` makes that window small.

It is kept in a thread of its own, on a connection of its own (`own_loop.py`): whatever the passes do, it is renewed.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from vmclone_operator.domain.errors import LeadershipLost
from vmclone_operator.kube.claims import CLAIM, NAMESPACES, WAITING, Order, order_of, watched
from vmclone_operator.kube.cluster import Cluster, ClusterError, Conflict, Document, Gone, Key, Kind

_REMEMBERED = 15
"""Renewals of the last minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseTimes:
    """Seconds: how long a lease counts, when its holder gives up, how often it renews."""

    duration: float = 30
    deadline: float = 20
    retry: float = 4


class LeaseKeeper:
    """Acquires, holds and releases one Lease."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        namespace: str,
        identity: str,
        name: str = "vmclone-operator",
        times: LeaseTimes = LeaseTimes(),
        clock: Callable[[], float] = time.monotonic,
        works: Callable[[], bool] = lambda: True,
        watches: Collection[str] = (),
    ) -> None:
        """`works` says whether the rest of the process still does: a renewal for one that hangs helps nobody.

        `watches`: the namespaces that this installation works in, empty for all; it stands on the lease.
        """
        self._watches = watched(watches)
        self.claim = WAITING
        """Whether this installation works in its namespaces, or waits for another one to leave."""
        self._cluster = cluster
        self._key = Key(Kind.LEASE, namespace, name)
        self._identity = identity
        self._times = times
        self._clock = clock
        self._seen_version = ""
        self._seen_at = -times.duration
        self._renewed_at: float | None = None
        self._answered_at: float | None = None
        self._held: Document | None = None
        self._late: deque[float] = deque(maxlen=_REMEMBERED)
        self._works = works

    def fence(self) -> None:
        """Raise LeadershipLost unless the lease was renewed within the deadline."""
        if self.age_seconds >= self._times.deadline:
            raise LeadershipLost("this operator does not hold the Lease any more")

    @property
    def age_seconds(self) -> float:
        """Seconds since the last renewal; infinite before the first."""
        renewed = self._renewed_at  # another thread may forget it between two looks
        return float("inf") if renewed is None else self._clock() - renewed

    @property
    def silent_seconds(self) -> float:
        """Seconds since the API server last answered about the Lease, whoever holds it; infinite before."""
        answered = self._answered_at
        return float("inf") if answered is None else self._clock() - answered

    @property
    def lag_seconds(self) -> float:
        """The most that a renewal was late in the last minute: from when it was due until it was answered."""
        return max(self._late, default=0.0)

    async def acquire(self) -> None:
        """Wait until this operator holds the lease."""
        while True:
            with suppress(ClusterError, TimeoutError):
                async with asyncio.timeout(self._times.retry):
                    if await self._try():
                        return
            await asyncio.sleep(self._pause())

    def _pause(self) -> float:
        """Return the seconds until the next look: four times as often as it is renewed, and when it may have ended.

        A renewal counts from when it is seen, so looking rarely would make every takeover late.
        """
        usual = random.uniform(0.8, 1.2) * self._times.retry / 4  # noqa: S311  - jitter
        left = self._seen_at + self._times.duration - self._clock()
        return min(usual, left + usual / 20) if left > 0 else usual

    async def hold(self) -> None:
        """Renew until the lease is lost; then return."""
        while self.age_seconds < self._times.deadline:
            due = self._clock() + self._times.retry
            await asyncio.sleep(self._times.retry)
            if not self._works():
                continue  # whoever cannot work lets the lease run out, and another takes over
            with suppress(ClusterError, TimeoutError):
                async with asyncio.timeout(self._times.retry):  # wait_for may swallow a cancellation on Python 3.11
                    if not await self._renew():
                        break
                self._late.append(max(0.0, self._clock() - due))
        self._renewed_at = None

    @property
    def order(self) -> Order:
        """Return since when this installation is there, to be compared with others'."""
        return ("", "") if self._held is None else order_of(self._held)

    async def write_claim(self, claim: str) -> None:
        """Write into the lease at once whether this installation works or waits; raises what the cluster does."""
        self.claim = claim
        async with asyncio.timeout(self._times.retry):
            if not await self._renew():
                raise Conflict("another pod of this installation holds its Lease")

    async def release(self) -> None:
        """Give the lease up at once, so that another operator need not wait for its end."""
        if self._renewed_at is None:
            return
        self._renewed_at = None
        with suppress(ClusterError, TimeoutError):
            lease = await asyncio.wait_for(self._cluster.get(self._key), self._times.retry)
            if lease is not None and lease["spec"].get("holderIdentity") == self._identity:
                lease["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1}
                await asyncio.wait_for(self._cluster.replace(Kind.LEASE, lease), self._times.retry)

    async def _renew(self) -> bool:
        """Write the lease as it was seen last, in one request; look first only when somebody else wrote it."""
        held, started = self._held, self._clock()
        if held is None:
            return await self._try()
        lease = {**held, "metadata": self._noted(held["metadata"]), "spec": self._spec(held["spec"], taken=False)}
        try:
            renewed = await self._cluster.replace(Kind.LEASE, lease)
        except (Conflict, Gone):
            self._held = None
            return await self._try()
        self._answered_at = self._clock()
        return self._renewed(renewed, started)

    async def _try(self) -> bool:
        started = self._clock()
        lease = await self._cluster.get(self._key)
        self._answered_at = self._clock()
        if lease is None:
            return await self._create(started)
        version, spec = lease["metadata"]["resourceVersion"], lease.get("spec") or {}
        if version != self._seen_version:
            self._seen_version, self._seen_at = version, started
        holder = spec.get("holderIdentity") or ""
        if holder not in ("", self._identity) and started < self._seen_at + self._times.duration:
            return False
        if holder != self._identity:  # whoever takes over from a pod of the same installation takes over its claim
            self.claim = (lease["metadata"].get("annotations") or {}).get(CLAIM, WAITING)
        lease["spec"] = self._spec(spec, taken=holder != self._identity)
        lease["metadata"] = self._noted(lease["metadata"])
        return self._renewed(await self._cluster.replace(Kind.LEASE, lease), started)

    async def _create(self, started: float) -> bool:
        document: Document = {
            "metadata": self._noted({"namespace": self._key.namespace, "name": self._key.name}),
            "spec": self._spec({}, taken=True),
        }
        try:
            return self._renewed(await self._cluster.create(Kind.LEASE, document), started)
        except Conflict:
            return False

    def _noted(self, meta: Document) -> Document:
        notes = {**(meta.get("annotations") or {}), NAMESPACES: self._watches, CLAIM: self.claim}
        return {**meta, "annotations": notes}

    def _spec(self, old: Document, *, taken: bool) -> Document:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        changed = {"acquireTime": now, "leaseTransitions": int(old.get("leaseTransitions", 0)) + 1} if taken else {}
        return {
            **old,
            **changed,
            "holderIdentity": self._identity,
            "leaseDurationSeconds": int(self._times.duration),
            "renewTime": now,
        }

    def _renewed(self, lease: Document, started: float) -> bool:
        self._seen_version, self._seen_at = lease["metadata"]["resourceVersion"], started
        self._renewed_at, self._held = started, lease
        return True
