"""The double on a port: HTTPS, the login service and ARM behind one address, faults.

    async with Server(Double(world), sleep=sleep) as server:
        ...  # https://127.0.0.1:{server.port}, certificate {server.certificate}

`sleep` decides what waiting is: on the simulation's clock it moves the clock and nobody waits.
"""

from __future__ import annotations

import json
from email.utils import formatdate
from typing import Any

from aiohttp import web
from tests.doubles.arm import tokens
from tests.doubles.arm.call import Answer, Request, kind_and_name
from tests.doubles.arm.double import Double
from tests.doubles.arm.faults import Faults
from tests.doubles.arm.refusals import Refusal
from tests.doubles.faults import Dropped, Sleep
from tests.doubles.https import HttpsServer


class Server(HttpsServer):
    """Serves a double until it is closed."""

    def __init__(self, double: Double, *, sleep: Sleep, faults: Faults | None = None) -> None:
        super().__init__("arm")
        self.double = double
        self.faults = faults or Faults()
        self.calls: list[str] = []
        """Every request to ARM as "METHOD path", in order of arrival."""
        self._sleep = sleep

    @property
    def base(self) -> str:
        """Return the address of both services."""
        return f"https://{self.host}:{self.port}"

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        response = await self._handled(request)
        # The time of the world, not of this machine: what a client reckons with it is reckoned by one clock.
        response.headers["Date"] = formatdate(self.double.world.now(), usegmt=True)
        return response

    async def _handled(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.content.read()
        if tokens.is_login(request.path):
            return _response(tokens.issue(self.double.world, self.base, request.path, body))
        try:
            return _response(await self._answered(self._understood(request, body)))
        except Refusal as refusal:
            wait = {"Retry-After": str(round(refusal.retry_after))} if refusal.retry_after else {}
            return _response(Answer(status=refusal.status, body={"error": refusal.error()}, headers=wait))
        except Dropped:
            if request.transport is not None:
                request.transport.abort()
            return web.Response()

    def _understood(self, request: web.BaseRequest, body: bytes) -> Request:
        return Request(
            method=request.method,
            path=request.path,
            query=dict(request.query),
            headers={name.lower(): value for name, value in request.headers.items()},
            body=_json(body) if body else None,
            base=self.base,
        )

    async def _answered(self, request: Request) -> Answer:
        self.calls.append(f"{request.method} {request.path}")
        call = f"{request.method} {kind_and_name(request.path)[0]}"
        fault = await self.faults.before(call, request.method, request.path, self._sleep)
        answer = self.double.answer(request)
        await self.faults.after(fault, self._sleep)
        return answer


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        raise Refusal(400, "InvalidRequestContent", "The request content was invalid: it is no JSON.") from None


def _response(answer: Answer) -> web.Response:
    if answer.body is None:
        return web.Response(status=answer.status, headers=answer.headers)
    return web.json_response(answer.body, status=answer.status, headers=answer.headers)
