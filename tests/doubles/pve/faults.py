"""What goes wrong between client and server, from the schedule that the other fakes share.

Each request is one numbered `Point` of the schedule, so a crash test repeats a run once for each of them:
`verb` is pve, `call` the endpoint, `target` the path. What a fault does here:

| kind | here |
| --- | --- |
| FAIL | nothing is done; the connection breaks, or with `ServerSays` that answer comes |
| LOSE_REPLY | done, and the connection breaks before the answer |
| HANG | nothing is done, and the connection breaks after `delay_seconds` |
| THROTTLE | nothing is done; 503 |
| KILL_BEFORE, KILL_AFTER | the operator process is dead in the schedule; its connection breaks |
| MEANWHILE | somebody else changes the world just before |
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tests.doubles.pve.double import Request
from tests.doubles.pve.refusals import Dropped, Raw

from vmclone_operator.domain.errors import CloneError
from vmclone_operator.providers.fake.faults import Fault, FaultKind, FaultSchedule, Point

_AFTER = frozenset({FaultKind.LOSE_REPLY, FaultKind.KILL_AFTER})


class ServerSays(CloneError):  # noqa: N818  - named for what happened
    """An answer of the HTTP daemon in place of the API's: 595 when a node is down, 596 when a worker died."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"{status} {reason}")
        self.status = status
        self.reason_phrase = reason


class Faults:
    """Lets a schedule's faults strike at requests."""

    def __init__(self, schedule: FaultSchedule | None = None) -> None:
        self.schedule = schedule or FaultSchedule()

    async def before(self, name: str, request: Request, sleep: Callable[[float], Awaitable[None]]) -> Fault | None:
        """Count a request, and do what its fault does before the server sees it."""
        schedule = self.schedule
        writes = request.method != "GET"
        point = Point(index=schedule.calls, verb="pve", call=name, target=request.path, writes=writes)
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
        if fault is None:
            return
        await sleep(fault.delay_seconds)
        raise self._struck(fault)

    def _struck(self, fault: Fault) -> Exception:
        if isinstance(fault.error, ServerSays):
            return Raw(fault.error.status, fault.error.reason_phrase)
        if fault.kind is FaultKind.THROTTLE:
            return Raw(503, "Service Unavailable")
        if fault.kind in {FaultKind.KILL_BEFORE, FaultKind.KILL_AFTER}:
            self.schedule.kill()
        return Dropped()
