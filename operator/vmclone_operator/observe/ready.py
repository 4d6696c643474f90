"""How long VMClones take until all their clones are ready for the first time: what users wait for."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Histogram

_SECONDS = (15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0, 14400.0)


class ReadyTimes:
    """Implements `ReadyMeter`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Histogram(
            "vmclone_time_to_ready_seconds",
            "Seconds from a VMClone's creation until all its clones were ready for the first time.",
            ("backend", "mode"),
            registry=registry,
            buckets=_SECONDS,
        )

    def became_ready(self, backend: str, mode: str, seconds: float) -> None:
        """Count one VMClone; a clock that was set back counts as no time at all."""
        self._seconds.labels(backend, mode).observe(max(0.0, seconds))
