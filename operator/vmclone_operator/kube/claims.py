"""Who works in which namespaces, so that two installations in one cluster never work on the same objects.

Every installation has one Lease named vmclone-operator, in its own namespace. On it stands what it watches, and whether
it works there (`active`) or waits for somebody else to leave (`waiting`):

    metadata:
      annotations: {vmclone.dev/watch-namespaces: "team-a,team-b", vmclone.dev/claim: active}

An operator that holds its Lease looks at all others before its first write. It waits for those that are active and
overlap, and for those that wait as it does and were there before. Then it writes `active`, and looks once more: of two
that did so at once at least one sees the other, and steps back. Whether another one lives is judged by this machine's
monotonic clock alone: its Lease has changed within a minute, which is longer than any rollout takes. Only a Lease that
was given back is judged by its own time: nobody is to wait a minute at each start for what was uninstalled last year.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from vmclone_operator.kube.cluster import Cluster, Document, Kind

LEASE_NAME = "vmclone-operator"
NAMESPACES = "vmclone.dev/watch-namespaces"
CLAIM = "vmclone.dev/claim"
ACTIVE, WAITING = "active", "waiting"
EVERYWHERE = "*"
LIVES_SECONDS = 60.0

Order = tuple[str, str]
"""When a Lease was made, and its uid: who was there before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """Another operator of this cluster, as its Lease shows it."""

    namespace: str
    holder: str
    watches: frozenset[str]
    """Empty: all namespaces."""
    active: bool
    order: Order

    def __str__(self) -> str:
        """Return it as people look for it."""
        where = f"namespaces {', '.join(sorted(self.watches))}" if self.watches else "all namespaces"
        return f"the vmclone operator of namespace {self.namespace} ({self.holder or 'without a leader'}), in {where},"


def watched(namespaces: Collection[str]) -> str:
    """Return a set of namespaces as the annotation has it."""
    return ",".join(sorted(namespaces)) or EVERYWHERE


def overlap(one: Collection[str], other: Collection[str]) -> bool:
    """Return whether two installations watch a namespace both; an empty set means all."""
    return not one or not other or not set(one).isdisjoint(other)


def order_of(lease: Document) -> Order:
    """Return who was there before."""
    meta = lease["metadata"]
    return str(meta.get("creationTimestamp", "")), str(meta.get("uid", ""))


@dataclass(slots=True, kw_only=True)
class Claims:
    """What the other installations claim."""

    cluster: Cluster
    namespace: str
    """The operator's own."""
    watches: frozenset[str]
    clock: Callable[[], float] = time.monotonic
    server_now: Callable[[], datetime | None] = lambda: None
    """The API server's time; None while it is not known."""
    others: tuple[Installation, ...] = ()
    """Those that lived at the last look."""
    _seen: dict[str, tuple[str, float]] = field(default_factory=dict)

    async def look(self) -> None:
        """Look at all Leases; raises what the cluster does."""
        leases = await self.cluster.list_named(Kind.LEASE, LEASE_NAME)
        others = [lease for lease in leases if lease["metadata"]["namespace"] != self.namespace]
        self.others = tuple(_installation(lease) for lease in others if self._lives(lease))

    def _lives(self, lease: Document) -> bool:
        """Return whether a Lease that somebody has held changed within a minute; one seen first counts as changed.

        One that was given back more than a minute ago does not. Its pod's clock may have been behind, which costs
        nothing: whoever returns meanwhile is seen at the next look.
        """
        spec = lease.get("spec") or {}
        if not spec.get("renewTime"):
            return False
        if not spec.get("holderIdentity") and self._age_seconds(spec["renewTime"]) > LIVES_SECONDS:
            return False
        uid, version = lease["metadata"]["uid"], lease["metadata"]["resourceVersion"]
        known = self._seen.get(uid)
        if known is None or known[0] != version:
            self._seen[uid] = (version, self.clock())
        return self.clock() - self._seen[uid][1] < LIVES_SECONDS

    def _age_seconds(self, renewed: str) -> float:
        """Return how long ago a Lease was renewed, by the API server's clock; 0 while that is not known."""
        now = self.server_now()
        return (now - datetime.fromisoformat(renewed)).total_seconds() if now else 0.0

    @property
    def rivals(self) -> Sequence[Installation]:
        """Return those that watch a namespace which this one watches, too."""
        return [other for other in self.others if overlap(self.watches, other.watches)]

    def before(self, mine: Order) -> Installation | None:
        """Return whom an operator that has not begun waits for."""
        ahead = (other for other in self.rivals if other.active or other.order < mine)
        return next(ahead, None)

    def active_rival(self, mine: Order | None = None) -> Installation | None:
        """Return another one that works in the same namespaces; with an order, only one that was there before."""
        found = (o for o in self.rivals if o.active and (mine is None or o.order < mine))
        return next(found, None)

    def keeps_shared(self, mine: Order) -> bool:
        """Return whether this one writes the status of what all share: CloneBackends and CloneSources."""
        return all(other.order > mine for other in self.others if other.active)


def refusal(rival: Installation) -> str:
    """Return why an operator does nothing, and the ways on."""
    return (
        f"{rival} has claimed what this operator watches, so it writes nothing: uninstall one of the two, or give"
        " each its own namespaces with watchNamespaces (--watch-namespaces)"
    )


def _installation(lease: Document) -> Installation:
    """Read a Lease; one of an operator that knew no claims counts as active everywhere."""
    notes = lease["metadata"].get("annotations") or {}
    watches = str(notes.get(NAMESPACES, EVERYWHERE))
    return Installation(
        namespace=lease["metadata"]["namespace"],
        holder=str(lease["spec"].get("holderIdentity") or ""),
        watches=frozenset() if watches == EVERYWHERE else frozenset(watches.split(",")),
        active=notes.get(CLAIM, ACTIVE) == ACTIVE,
        order=order_of(lease),
    )
