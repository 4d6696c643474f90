"""What is true at the moment of a scrape: replicas by state, who leads, how old what we know is. Aggregates only."""

from __future__ import annotations

from collections import Counter as Count
from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from vmclone_operator import __version__
from vmclone_operator.kube.cluster import Kind
from vmclone_operator.observe import copies
from vmclone_operator.observe.passes import name_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prometheus_client import CollectorRegistry

    from vmclone_operator.engine.context import Engine
    from vmclone_operator.kube.cluster import Document
    from vmclone_operator.observe.health import Health

LEASE = "vmclone-operator"


class State(Collector):
    """Reads the cache, the Lease and the loop when asked."""

    def __init__(self, registry: CollectorRegistry, health: Health) -> None:
        self._health = health
        self.engine: Engine | None = None
        """Set while this process leads: a standby has no cache."""
        registry.register(self)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield all families, empty ones too."""
        yield _family(
            "vmclone_build_info", "1, with the operator's version.", ("version",), {(__version__,): 1}.items()
        )
        yield from self._process()
        yield from self._objects()

    def _process(self) -> Iterator[GaugeMetricFamily]:
        keeper, lag = self._health.keeper, self._health.lag
        leads = self._health.leads and keeper is not None
        yield _family(
            "leader_election_master_status", "1 while this process leads.", ("name",), {(LEASE,): leads}.items()
        )
        age = [((), keeper.age_seconds)] if leads and keeper is not None else []
        yield _family("vmclone_lease_age_seconds", "Seconds since the leader renewed the Lease.", (), age)
        conflict = [((), float(bool(self._health.claim)))]
        meaning = "1 while this process does nothing because another installation works in the same namespaces."
        yield _family("vmclone_installation_conflict", meaning, (), conflict)
        late = [((), keeper.lag_seconds)] if leads and keeper is not None else []
        meaning = "Seconds from when a renewal of the Lease was due to its answer, the worst of the last minute."
        yield _family("vmclone_lease_renewal_lag_seconds", meaning, (), late)
        meaning = "How late the event loop woke a sleeper, the worst of the last minute."
        yield _family("vmclone_event_loop_lag_seconds", meaning, (), [((), lag.worst_seconds)])

    def _objects(self) -> Iterator[GaugeMetricFamily]:
        engine = self.engine
        heard = {} if engine is None else {(name_of(k),): engine.clock() - at for k, at in engine.heard.items()}
        meaning = "Seconds since an event or a list of this kind came; a list is made every --relist-seconds."
        yield _family("vmclone_watch_age_seconds", meaning, ("kind",), heard.items())
        replicas = Count((_backend(d), _state(d)) for d in self._all(Kind.REPLICA))
        yield _family("vmclone_replicas", "Replicas by backend and state.", ("backend", "state"), replicas.items())
        wishes = Count(_ready(d) for d in self._all(Kind.VMCLONE))
        yield _family("vmclone_vmclones", "VMClones by their Ready condition.", ("ready", "reason"), wishes.items())
        yield self._orphans()
        leftovers = [] if engine is None else [((), len(engine.leftover_jobs))]
        yield _family("vmclone_leftover_jobs", "Jobs of home copies that belong to nobody.", (), leftovers)
        leftovers = [] if engine is None else [((), len(engine.leftover_secrets))]
        meaning = "Secrets of home copies and seeds that belong to nobody."
        yield _family("vmclone_leftover_secrets", meaning, (), leftovers)
        skew = [] if engine is None else [((), engine.clocks().skew.total_seconds())]
        meaning = "Seconds that the operator's clock is ahead of the API server's; beyond 60 nothing expires."
        yield _family("vmclone_clock_skew_seconds", meaning, (), skew)
        yield from self._copies()
        up = {(str(d["metadata"]["name"]),): _ready(d)[0] == "True" for d in self._all(Kind.BACKEND)}
        yield _family("vmclone_backend_up", "1 while a CloneBackend is Ready.", ("backend",), up.items())

    def _orphans(self) -> GaugeMetricFamily:
        found = {} if self.engine is None else self.engine.orphans
        counts = {(name, kind): count for name, one in found.items() for kind, count in one.counts().items()}
        meaning = "What of ours belongs to nobody, by backend and kind: VM, Volume, FrozenPoint."
        return _family("vmclone_orphans", meaning, ("backend", "kind"), counts.items())

    def _copies(self) -> Iterator[GaugeMetricFamily]:
        cache = None if self.engine is None else self.engine.cache
        found = [] if cache is None else [((), copies.active(cache))]
        yield _family("vmclone_homecopy_active", "Home copies that have their turn at a source.", (), found)
        found = [] if cache is None else [((), copies.queued(cache))]
        yield _family("vmclone_homecopy_queued", "Home copies that wait for their turn.", (), found)
        found = [] if cache is None else [((), copies.failed(cache.all(Kind.REPLICA)))]
        yield _family("vmclone_homecopy_failed", "Replicas whose last home copy failed.", (), found)

    def _all(self, kind: Kind) -> Iterable[Document]:
        return () if self.engine is None else self.engine.cache.all(kind)


def _family(
    name: str, meaning: str, labels: tuple[str, ...], values: Iterable[tuple[tuple[str, ...], float]]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, meaning, labels=labels)
    for key, value in sorted(values):
        family.add_metric(key, value)
    return family


def _backend(replica: Document) -> str:
    return str(replica["spec"].get("backend", ""))


def _state(replica: Document) -> str:
    if replica["metadata"].get("deletionTimestamp"):
        return "Deleting"
    return str((replica.get("status") or {}).get("state") or "New")


def _ready(document: Document) -> tuple[str, str]:
    for condition in (document.get("status") or {}).get("conditions") or []:
        if condition["type"] == "Ready":
            return str(condition["status"]), str(condition["reason"])
    return "Unknown", "NotSeen"
