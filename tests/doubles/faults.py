"""What goes wrong between a client and a double, from the schedule that the other fakes share.

Each request is one numbered `Point` of the schedule, so a crash test repeats a run once for each of them. What a fault
does here; how THROTTLE and a server's own words look is each double's:

| kind | here |
| --- | --- |
| FAIL | nothing is done; the connection breaks, or with the double's `ServerSays` that answer comes |
| LOSE_REPLY | done, and the connection breaks before the answer |
| HANG | nothing is done, and the connection breaks after `delay_seconds` |
| THROTTLE | nothing is done; the double says that it is asked too often |
| KILL_BEFORE, KILL_AFTER | the operator process is dead in the schedule; its connection breaks |
| MEANWHILE | somebody else changes the world just before |
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from vmclone_operator.providers.fake.faults import Fault, FaultKind, FaultSchedule, Point

Sleep = Callable[[float], Awaitable[None]]
_AFTER = frozenset({FaultKind.LOSE_REPLY, FaultKind.KILL_AFTER})


class Dropped(Exception):  # noqa: N818  - named for what happened
    """The server breaks the connection without an answer."""


class RequestFaults:
    """Lets a schedule's faults strike at requests; a double says in `answer` what it answers instead."""

    verb: str
    """The points' verb: which double it is."""

    def __init__(self, schedule: FaultSchedule | None = None) -> None:
        self.schedule = schedule or FaultSchedule()

    def answer(self, fault: Fault) -> Exception | None:
        """Return what the double answers a struck request with; None: the connection breaks."""
        raise NotImplementedError

    async def before(self, call: str, method: str, path: str, sleep: Sleep) -> Fault | None:
        """Count a request, and do what its fault does before the server sees it."""
        schedule = self.schedule
        point = Point(index=schedule.calls, verb=self.verb, call=call, target=path, writes=method != "GET")
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

    async def after(self, fault: Fault | None, sleep: Sleep) -> None:
        """Do what a fault does once the server has done its part."""
        if fault is None:
            return
        await sleep(fault.delay_seconds)
        raise self._struck(fault)

    def _struck(self, fault: Fault) -> Exception:
        answer = self.answer(fault)
        if answer is not None:
            return answer
        if fault.kind in {FaultKind.KILL_BEFORE, FaultKind.KILL_AFTER}:
            self.schedule.kill()
        return Dropped()
