"""Passes and the work queue under controller-runtime's names, so that the dashboards people have work at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from vmclone_operator.engine.work.meter import Outcome
from vmclone_operator.kube.cluster import Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from vmclone_operator.kube.cluster import Key

_RESULTS = {Outcome.SUCCESS: "success", Outcome.REQUEUE_AFTER: "requeue_after"}
_PASS_SECONDS = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_QUEUE_SECONDS = (0.001, 0.01, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0, 300.0)


class PassMeter:
    """Implements `Meter`; one controller per kind, all in one queue."""

    def __init__(self, registry: CollectorRegistry, *, clock: Callable[[], float], workers: int) -> None:
        self._clock = clock
        self._waiting: dict[Key, float] = {}
        self._busy: dict[Key, float] = {}
        self._declare_passes(registry)
        self._declare_queue(registry)
        for kind in (Kind.VMCLONE, Kind.REPLICA, Kind.SOURCE, Kind.BACKEND):
            self._show_at_zero(kind, workers)

    def added(self, key: Key) -> None:
        """Note that a key begins to wait for a worker."""
        self._waiting[key] = self._clock()
        self._adds.labels(name_of(key.kind)).inc()

    def started(self, key: Key) -> None:
        """Note that a worker takes the key."""
        now = self._clock()
        self._queued.labels(name_of(key.kind)).observe(now - self._waiting.pop(key, now))
        self._busy[key] = now

    def ended(self, key: Key, outcome: Outcome) -> None:
        """Note that the pass of the key is over."""
        now, name = self._clock(), name_of(key.kind)
        seconds = now - self._busy.pop(key, now)
        self._time.labels(name).observe(seconds)
        self._worked.labels(name).observe(seconds)
        self._total.labels(name, _RESULTS.get(outcome, "error")).inc()
        if outcome not in _RESULTS:
            self._errors.labels(name).inc()
        if outcome is Outcome.BUG:
            self._panics.labels(name).inc()
        if outcome is Outcome.TIMEOUT:
            self._timeouts.labels(name).inc()

    def retried(self, key: Key) -> None:
        """Note that a key backs off before it is tried again."""
        self._retries.labels(name_of(key.kind)).inc()

    def _declare_passes(self, registry: CollectorRegistry) -> None:
        def counter(name: str, meaning: str, *labels: str) -> Counter:
            return Counter(f"controller_runtime_{name}", meaning, ("controller", *labels), registry=registry)

        self._total = counter("reconcile", "Passes, by how they ended.", "result")
        self._errors = counter("reconcile_errors", "Passes that failed.")
        self._panics = counter("reconcile_panics", "Passes that met a bug.")
        self._timeouts = counter("reconcile_timeouts", "Passes that took too long and were stopped.")
        self._time = Histogram(
            "controller_runtime_reconcile_time_seconds",
            "Seconds of a pass.",
            ("controller",),
            registry=registry,
            buckets=_PASS_SECONDS,
        )
        self._active = Gauge(
            "controller_runtime_active_workers", "Passes that run now.", ("controller",), registry=registry
        )
        self._limit = Gauge(
            "controller_runtime_max_concurrent_reconciles",
            "Passes that may run side by side; all controllers share these workers.",
            ("controller",),
            registry=registry,
        )

    def _declare_queue(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, meaning: str) -> Gauge:
            return Gauge(f"workqueue_{name}", meaning, ("name",), registry=registry)

        def histogram(name: str, meaning: str) -> Histogram:
            return Histogram(f"workqueue_{name}", meaning, ("name",), registry=registry, buckets=_QUEUE_SECONDS)

        self._depth = gauge("depth", "Objects that wait for a worker now.")
        self._unfinished = gauge(
            "unfinished_work_seconds", "Seconds that the running passes have taken so far, in all."
        )
        self._longest = gauge("longest_running_processor_seconds", "Seconds that the oldest running pass has taken.")
        self._queued = histogram("queue_duration_seconds", "Seconds that an object waited for a worker.")
        self._worked = histogram("work_duration_seconds", "Seconds that a worker had an object.")
        self._adds = Counter("workqueue_adds", "Objects that began to wait.", ("name",), registry=registry)
        self._retries = Counter(
            "workqueue_retries", "Objects that were put back after a failure.", ("name",), registry=registry
        )

    def _show_at_zero(self, kind: Kind, workers: int) -> None:
        """Have every series from the start: a counter that appears with its first error hides that error's rate."""
        name = name_of(kind)
        for result in ("success", "requeue_after", "error"):
            self._total.labels(name, result)
        for family in (self._errors, self._panics, self._timeouts, self._time, self._queued, self._worked):
            family.labels(name)
        self._adds.labels(name)
        self._retries.labels(name)
        self._limit.labels(name).set(workers)
        self._depth.labels(name).set_function(lambda: float(sum(key.kind is kind for key in self._waiting)))
        self._active.labels(name).set_function(lambda: float(len(self._ages(kind))))
        self._unfinished.labels(name).set_function(lambda: sum(self._ages(kind)))
        self._longest.labels(name).set_function(lambda: max(self._ages(kind), default=0.0))

    def _ages(self, kind: Kind) -> list[float]:
        now = self._clock()
        return [now - since for key, since in self._busy.items() if key.kind is kind]


def name_of(kind: Kind) -> str:
    """Return the controller's name as controller-runtime writes it: the kind in lower case."""
    return kind.kind.lower()
