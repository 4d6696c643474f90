"""The double itself: an answer for every call, from the state of a `World`.

The order is the server's (pve-http-server src/PVE/APIServer/AnyEvent.pm 5c9e4ea, pve-manager PVE/HTTPServer.pm
14a22df; recordings 01, 02 and 09): who calls, which method, the declared privileges, the node, the parameters,
then the method itself. `Answer.seconds` are not slept: `steps` yields them, and whoever drives it decides what
waiting means.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from inspect import isgenerator
from typing import Any

from tests.doubles.pve import handlers  # noqa: F401  - fills the table of endpoints
from tests.doubles.pve.access import TICKET_SECONDS, Caller
from tests.doubles.pve.call import Call, Total, check_permission, endpoint, route
from tests.doubles.pve.call import handlers as known_handlers
from tests.doubles.pve.refusals import Raw, Refused
from tests.doubles.pve.schema import checked, document, parameters
from tests.doubles.pve.timeline import Steps
from tests.doubles.pve.world import World

AUTH_SECONDS = 3.0
"""How long a failed authentication takes (recording 01-auth)."""
_CONFLICT = "duplicate parameter (already defined in URI) with conflicting values!"


@dataclass(slots=True, kw_only=True)
class Request:
    """A request as the HTTP layer understood it."""

    method: str
    path: str
    """Below /api2/json, percent-encoding still in it."""
    params: dict[str, Any] = field(default_factory=dict)
    authorization: str = ""
    ticket: str = ""
    csrf: str = ""
    upload: tuple[str, bytes] | None = None


@dataclass(slots=True, kw_only=True)
class Answer:
    """What goes back: `body` is JSON, or plain text for what the HTTP daemon says itself."""

    status: int = 200
    reason: str = "OK"
    body: Any = ""


class Double:
    """Answers requests from a world's state."""

    def __init__(self, world: World) -> None:
        self.world = world

    def steps(self, request: Request) -> Generator[float, None, Answer]:
        """Answer a request, yielding whatever seconds it takes."""
        self.world.timeline.settle()
        try:
            return (yield from self._answer(request))
        except Raw as raw:
            return Answer(status=raw.status, reason=raw.reason, body=raw.body)
        except Refused as refused:
            body: dict[str, Any] = {"data": None, "message": f"{refused.text}\n"}
            if refused.errors:
                body["errors"] = refused.errors
            return Answer(status=refused.status, reason=refused.text, body=body)

    def occupies_worker(self, request: Request) -> bool:
        """Tell whether one of the three workers of pvedaemon carries the request out."""
        found = route(request.method, request.path)
        return found is not None and bool(_row(found[0]).get("daemon") == "pvedaemon")

    def _answer(self, request: Request) -> Generator[float, None, Answer]:
        if request.method not in {"GET", "POST", "PUT", "DELETE"}:
            raise Raw(501, f"method '{request.method}' not available")
        found = route(request.method, request.path)
        caller = yield from self._authenticated(request)
        if found is None:
            path = "/" + "/".join(part for part in request.path.split("/") if part)
            text = f"Method '{request.method} {path}' not implemented"
            raise Raw(501, text, {"data": None, "message": text})
        name, values = found
        call = Call(world=self.world, caller=caller, upload=request.upload, given=frozenset(request.params))
        call.params = {**request.params, **values}
        row = _row(name)
        if "check" in row:
            check_permission(call, row["check"])
        if row.get("node"):
            self._check_node(call)
        conflict = next((key for key in values if str(request.params.get(key, values[key])) != values[key]), None)
        if conflict is not None:
            raise Refused("Parameter verification failed.", status=400, errors={conflict: _CONFLICT})
        call.params = checked(parameters(name), call.params)
        result = known_handlers()[name](call)
        if isgenerator(result):
            result = yield from result
        self.world.timeline.settle()
        return _answer(result)

    def _check_node(self, call: Call) -> None:
        """Refuse a node that nobody knows, or that does not answer the proxy."""
        node = str(call.params["node"])
        if node == "localhost":
            node = call.params["node"] = next(iter(self.world.nodes))
        known = self.world.nodes.get(node)
        if known is None:
            failed = f"failed to get address info for: {node}: Temporary failure in name resolution"
            raise Refused(f"hostname lookup '{node}' failed - {failed}")
        if not known.online:
            raise Raw(595, "No route to host")

    def _authenticated(self, request: Request) -> Steps[Caller]:
        """Return who calls; whoever is not known waits three seconds for his answer."""
        try:
            return self._known(request)
        except Raw:
            yield AUTH_SECONDS
            raise

    def _known(self, request: Request) -> Caller:
        scheme = request.authorization.partition("=")[0]
        if scheme.split(" ")[0] == "PVEAPIToken":
            return self._token(request.authorization[len("PVEAPIToken") + 1 :])
        if not request.ticket:
            raise Raw(401, "No ticket")
        issued = self.world.access.tickets.get(request.ticket)
        if issued is None or self.world.now() - issued[1] > TICKET_SECONDS:
            raise Raw(401, "Authentication failed!")
        if request.method != "GET" and request.csrf != self.world.access.csrf.get(issued[0]):
            raise Raw(401, "Permission denied - invalid csrf token")
        return Caller(issued[0])

    def _token(self, text: str) -> Caller:
        name, _, secret = text.partition("=")
        token = self.world.access.tokens.get(name)
        expired = token is not None and 0 < token.expires < self.world.now()
        if token is None or token.secret != secret or expired:
            raise Raw(401, "Authentication failed!")
        user, _, own = name.partition("!")
        return Caller(user, own)


def _row(name: str) -> dict[str, Any]:
    found: dict[str, Any] = document()["endpoints"].get(name, {})
    return found


def _answer(result: Any) -> Answer:
    if isinstance(result, Answer):
        return result
    if isinstance(result, Total):
        return Answer(body={"data": result.data, "total": result.total})
    return Answer(body={"data": result})


@endpoint("GET", "/version")
def version(call: Call) -> dict[str, str]:
    """Say which release this is (recording 01-auth, 11)."""
    said = call.world.release
    return {"version": said.version, "release": said.release, "repoid": said.repoid}
