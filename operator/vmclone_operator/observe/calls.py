"""Counts every call to a backend by verb and result, from outside: providers know nothing of it."""

from __future__ import annotations

from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, cast

from prometheus_client import CollectorRegistry, Counter, Histogram

from vmclone_operator.domain.errors import CloneError, LeadershipLost

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from vmclone_operator.domain.backend import Backend, BackendConfig, BackendSession, Fence, Wake

_CALL_SECONDS = (0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_FREEZE_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 7.5, 10.0)
_LABELS = ("backend_type", "verb")


class CallMeter:
    """Wraps backends; `code` is `ok`, the reason of a CloneError or of LeadershipLost, or `bug`."""

    def __init__(self, registry: CollectorRegistry, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._calls = Counter(
            "vmclone_provider_requests", "Calls to backends, by result.", (*_LABELS, "code"), registry=registry
        )
        self._seconds = Histogram(
            "vmclone_provider_request_duration_seconds",
            "Seconds of a call to a backend.",
            _LABELS,
            registry=registry,
            buckets=_CALL_SECONDS,
        )
        self._freezes = Histogram(
            "vmclone_source_freeze_seconds",
            "Seconds of a freeze call: at most so long a running source's file systems stood still.",
            ("backend_type",),
            registry=registry,
            buckets=_FREEZE_SECONDS,
        )

    def backend(self, kind: str, backend: Backend) -> Backend:
        """Return the backend, counted."""
        return _MeasuredBackend(self, kind, backend)

    async def call(self, kind: str, verb: str, act: Callable[[], Awaitable[Any]]) -> Any:  # noqa: ANN401
        """Await a call and count it; its answer and its errors pass through unchanged."""
        started, code = self._clock(), "bug"
        try:
            answer = await act()
            code = "ok"
        except (CloneError, LeadershipLost) as error:
            code = error.reason
            raise
        finally:
            seconds = self._clock() - started
            self._calls.labels(kind, verb, code).inc()
            self._seconds.labels(kind, verb).observe(seconds)
            if verb == "freeze":
                self._freezes.labels(kind).observe(seconds)
        return answer


class _MeasuredBackend:
    def __init__(self, meter: CallMeter, kind: str, backend: Backend) -> None:
        self._meter, self._kind, self._backend = meter, kind, backend

    async def open(self, config: BackendConfig, *, wake: Wake, fence: Fence) -> BackendSession:
        session = await self._meter.call(self._kind, "open", lambda: self._backend.open(config, wake=wake, fence=fence))
        return cast("BackendSession", _MeasuredSession(self._meter, self._kind, session))


class _MeasuredSession:
    """Every verb of the contract, whichever there are: a new verb is counted without a change here."""

    def __init__(self, meter: CallMeter, kind: str, session: BackendSession) -> None:
        self._meter, self._kind, self._session = meter, kind, session

    def __getattr__(self, verb: str) -> Any:  # noqa: ANN401
        inner = getattr(self._session, verb)
        if not iscoroutinefunction(inner):
            return inner

        async def counted(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401
            return await self._meter.call(self._kind, verb, lambda: inner(*arguments, **named))

        return counted
