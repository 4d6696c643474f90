"""The double on a port: HTTPS, three workers, faults.

    async with Server(Double(world), sleep=sleep) as server:
        ...  # https://127.0.0.1:{server.port}, certificate {server.certificate}

`sleep` decides what waiting is. On the simulation's clock it moves the clock and nobody waits; with
`asyncio.sleep` and a real clock it is a server that takes its time. pvedaemon has three workers, and a call of
an agent that does not answer holds one of them for three seconds, whoever else is waiting; pve-manager
PVE/Service/pvedaemon.pm 14a22df (`max_workers => 3`).
"""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict

from aiohttp import web
from tests.doubles.faults import Dropped, Sleep
from tests.doubles.https import HttpsServer
from tests.doubles.pve.call import route
from tests.doubles.pve.double import Answer, Double, Request
from tests.doubles.pve.faults import Faults
from tests.doubles.pve.refusals import Raw
from tests.doubles.pve.wire import Reply, extjs, understood, written

WORKERS = 3


class Server(HttpsServer):
    """Serves a double until it is closed."""

    def __init__(self, double: Double, *, sleep: Sleep, faults: Faults | None = None) -> None:
        super().__init__("pve")
        self.double = double
        self.faults = faults or Faults()
        self.calls: list[str] = []
        """Every request as "METHOD endpoint", in order of arrival."""
        self._sleep = sleep
        self._workers: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(WORKERS))

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        target = request.raw_path
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            limit = self.double.world.release.post_bytes
            asked = understood(request.method, target, headers, await request.content.read(), limit)
            reply = written(await self._answered(asked), for_extjs=extjs(target))
        except Raw as raw:
            reply = written(Answer(status=raw.status, reason=raw.reason, body=raw.body), for_extjs=False)
        except Dropped:
            if request.transport is not None:
                request.transport.abort()
            return web.Response()
        return _response(reply)

    async def _answered(self, request: Request) -> Answer:
        found = route(request.method, request.path)
        name = found[0] if found else f"{request.method} {request.path}"
        self.calls.append(name)
        fault = await self.faults.before(name, request.method, request.path, self._sleep)
        if self.double.occupies_worker(request):
            node = re.match(r"/nodes/([^/]+)", request.path)
            async with self._workers[node[1] if node else ""]:
                answer = await self._driven(request)
        else:
            answer = await self._driven(request)
        await self.faults.after(fault, self._sleep)
        return answer

    async def _driven(self, request: Request) -> Answer:
        """Answer a request, taking the time that it takes."""
        steps = self.double.steps(request)
        try:
            wait = next(steps)
            while True:
                await self._sleep(wait)
                self.double.world.timeline.settle()
                wait = steps.send(None)
        except StopIteration as end:
            answer: Answer = end.value
            return answer


def _response(reply: Reply) -> web.Response:
    return web.Response(status=reply.status, reason=reply.reason, headers=reply.headers, body=reply.body)
