"""What goes wrong between client and ARM, from the schedule that the other fakes share.

Each request to ARM (not to the login service) is one numbered `Point` of the schedule: `verb` is arm, `call` the
method and kind, `target` the path. What a fault does here:

| kind | here |
| --- | --- |
| FAIL | nothing is done; the connection breaks, or with `ServerSays` that answer comes |
| LOSE_REPLY | done, and the connection breaks before the answer |
| HANG | nothing is done, and the connection breaks after `delay_seconds` |
| THROTTLE | nothing is done; 429 with Retry-After |
| KILL_BEFORE, KILL_AFTER | the operator process is dead in the schedule; its connection breaks |
| MEANWHILE | somebody else changes the world just before |
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tests.doubles.arm.call import Request, kind_and_name
from tests.doubles.arm.refusals import Dropped, Refusal

from vmclone_operator.domain.errors import CloneError
from vmclone_operator.providers.fake.faults import Fault, FaultKind, FaultSchedule, Point

_AFTER = frozenset({FaultKind.LOSE_REPLY, FaultKind.KILL_AFTER})


class ServerSays(CloneError):  # noqa: N818  - named for what happened
    """An answer in place of the real one: 503 ServiceUnavailable, 500 InternalServerError."""

    def __init__(self, status: int, code: str, message: str = "") -> None:
        super().__init__(f"{status} {code}")
        self.refusal = Refusal(status, code, message or "The server is busy.")


class Faults:
    """Lets a schedule's faults strike at requests."""

    def __init__(self, schedule: FaultSchedule | None = None) -> None:
        self.schedule = schedule or FaultSchedule()

    async def before(self, request: Request, sleep: Callable[[float], Awaitable[None]]) -> Fault | None:
        """Count a request, and do what its fault does before the server sees it."""
        schedule = self.schedule
        call = f"{request.method} {kind_and_name(request.path)[0]}"
        writes = request.method != "GET"
        point = Point(index=schedule.calls, verb="arm", call=call, target=request.path, writes=writes)
        schedule.calls += 1
        schedule.trace.append(point)
        fault = schedule.choose(point)
        if fault is None:
            return None
        schedule.struck.append((point, fault))
        if fault.kind in _AFTER:
            return fault
        if fault.kind is FaultKind.MEANWHILE:
            if fault.meanwhile is not None:
                fault.meanwhile()
            return None
        await sleep(fault.delay_seconds)
        raise self._struck(fault)

    async def after(self, fault: Fault | None, sleep: Callable[[float], Awaitable[None]]) -> None:
        """Do what a fault does once the server has done its part."""
        if fault is not None:
            await sleep(fault.delay_seconds)
            raise self._struck(fault)

    def _struck(self, fault: Fault) -> Exception:
        if isinstance(fault.error, ServerSays):
            return fault.error.refusal
        if fault.kind is FaultKind.THROTTLE:
            message = "Number of requests for subscription exceeded the limit. Please try again later."
            return Refusal(429, "SubscriptionRequestsThrottled", message, retry_after=fault.retry_after_seconds)
        if fault.kind in {FaultKind.KILL_BEFORE, FaultKind.KILL_AFTER}:
            self.schedule.kill()
        return Dropped()
