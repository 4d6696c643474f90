"""The double itself: an answer for every request, from the state of a `World`.

The order is ARM's: who calls (401), whether it may (403), which operation and api-version (404, 400), the group (404),
the throttle (429), the body (400), then the resource provider. Texts: azure-docs articles/azure-resource-manager/
troubleshooting/common-deployment-errors.md and its pages; api-version: "MissingApiVersionParameter".
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any

from tests.doubles.arm import catalog, images, nics, points, runs, storage, vms  # noqa: F401  - fill the table
from tests.doubles.arm.call import ENDPOINTS, Answer, Call, Endpoint, Request, action, kind_and_name
from tests.doubles.arm.refusals import Refusal
from tests.doubles.arm.sdk import check_body, model
from tests.doubles.arm.world import Client, Operation, Resource, World

OLDER = {"authorization": frozenset[str](), "compute": frozenset[str](), "network": frozenset({"2025-05-01"})}
"""api-versions beside the Python SDK's own: those of Microsoft's Go clients (armcompute v8.4.0 asks for the same ones,
armnetwork v9.0.0 for this); their bodies pass the same tables."""
_OPERATION = re.compile(r"/subscriptions/[^/]+/providers/[^/]+/locations/[^/]+/(\w+)/([0-9a-f-]+)", re.IGNORECASE)


class Double:
    """Answers as ARM does."""

    def __init__(self, world: World) -> None:
        self.world = world

    def answer(self, request: Request) -> Answer:
        """Answer a request; never raises Refusal."""
        self.world.timeline.settle()
        try:
            return self._answer(request)
        except Refusal as refusal:
            wait = {"Retry-After": str(round(refusal.retry_after))} if refusal.retry_after else {}
            return Answer(status=refusal.status, body={"error": refusal.error()}, headers=wait)

    def _answer(self, request: Request) -> Answer:
        client = self._caller(request)
        polled = _OPERATION.fullmatch(request.path)
        if polled is not None and polled[1].lower() in {"operations", "diskoperations", "operationresults"}:
            return self._polled(request, polled[1].lower(), polled[2])
        endpoint, params = _found(request)
        self._authorize(client, action(request.method, request.path), request.path)
        self._check_place(params)
        version = _version(request, endpoint)
        call = Call(world=self.world, request=request, params=params, version=version, client=client)
        policy, resource = endpoint.policy(call)
        if policy:
            self.world.throttles.spend(policy, resource)
        if endpoint.body:
            check_body(model(endpoint.service, endpoint.body), request.body)
            self._check_joins(client, request)
        return endpoint.handler(call)

    def _caller(self, request: Request) -> Client:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        name, until = self.world.tokens.get(token, ("", 0.0))
        if scheme.lower() != "bearer" or not name:
            raise Refusal(401, "InvalidAuthenticationToken", "The access token is invalid.")
        if until <= self.world.now():
            raise Refusal(401, "ExpiredAuthenticationToken", "The access token expiry UTC time is earlier than now.")
        return self.world.clients[name]

    def _authorize(self, client: Client, wanted: str, scope: str, *, linked: bool = False) -> None:
        if any(fnmatchcase(wanted.lower(), right.lower()) for right in client.rights):
            return
        who = f"The client '{client.object_id}' with object id '{client.object_id}'"
        if linked:
            raise Refusal(
                403,
                "LinkedAuthorizationFailed",
                f"{who} has permission to perform the action on the scope; however, it does not have permission to "
                f"perform action(s) '{wanted}' on the linked scope(s) '{scope}' (respectively) or the linked scope(s) "
                "are invalid.",
            )
        raise Refusal(
            403,
            "AuthorizationFailed",
            f"{who} does not have authorization to perform action '{wanted}' over scope '{scope}' or the scope is "
            "invalid. If access was recently granted, please refresh your credentials.",
        )

    def _check_place(self, params: dict[str, str]) -> None:
        if params["subscription_id"].lower() != self.world.subscription.lower():
            given = params["subscription_id"]
            raise Refusal(404, "SubscriptionNotFound", f"The subscription '{given}' could not be found.")
        group = params.get("resource_group_name", "")
        if group and group.lower() not in {one.lower() for one in self.world.groups}:
            raise Refusal(404, "ResourceGroupNotFound", f"Resource group '{group}' could not be found.")

    def _check_joins(self, client: Client, request: Request) -> None:
        """Ask for the right to use what a body names (azure-docs, "LinkedAuthorizationFailed")."""
        for named in _ids(request.body):
            wanted = _JOINS.get(kind_and_name(named)[0].lower())
            if wanted is not None:
                self._authorize(client, wanted, named, linked=True)

    def _polled(self, request: Request, folder: str, name: str) -> Answer:
        operation = self.world.operations.get(name)
        if operation is None:
            raise Refusal(404, "NotFound", f"The operation '{name}' was not found.")
        if not request.query.get("api-version"):
            raise _no_version()
        if "virtualmachines" in operation.resource:
            vm = re.split(r"(?<=virtualmachines/)([^/]+)", operation.resource)
            self.world.throttles.spend("GetOperation", "".join(vm[:2]))
        if folder == "operationresults":
            return self._result(operation)
        return Answer(status=200, body=_status(operation), headers={} if operation.done else {"Retry-After": "10"})

    def _result(self, operation: Operation) -> Answer:
        if not operation.done:
            return Answer(status=202, headers={"Retry-After": "10"})
        if operation.error is not None:
            raise operation.error
        resource = self.world.resources.get(operation.resource)
        return Answer(status=200, body=resource.shown()) if resource is not None else Answer(status=204)


_JOINS = {
    "/".join(["microsoft.network", *kind]).lower(): "/".join(["Microsoft.Network", *kind, "join/action"])
    for kind in (
        ("virtualNetworks", "subnets"),
        ("networkSecurityGroups",),
        ("networkInterfaces",),
        ("publicIPAddresses",),
    )
}
"""Linked rights; azure-docs articles/role-based-access-control/permissions/networking.md."""


def _ids(body: Any) -> list[str]:
    """Return every resource id that a body names as one (`id`)."""
    if isinstance(body, list):
        return [one for inner in body for one in _ids(inner)]
    if not isinstance(body, dict):
        return []
    own = [body["id"]] if isinstance(body.get("id"), str) else []
    return own + [one for value in body.values() for one in _ids(value)]


def _found(request: Request) -> tuple[Endpoint, dict[str, str]]:
    for endpoint in ENDPOINTS:
        found = endpoint.route.pattern.fullmatch(request.path)
        if found is not None and endpoint.route.method == request.method:
            return endpoint, found.groupdict()
    message = f"The double does not know {request.method} {request.path}."
    raise Refusal(404, "InvalidResourceType", message)


def _no_version() -> Refusal:
    return Refusal(400, "MissingApiVersionParameter", "The api-version query parameter (?api-version=) is required.")


def _version(request: Request, endpoint: Endpoint) -> str:
    given = request.query.get("api-version", "")
    if not given:
        raise _no_version()
    known = {endpoint.route.version, *OLDER[endpoint.service]}
    if given not in known:
        raise Refusal(
            400,
            "NoRegisteredProviderFound",
            f"No registered resource provider found for API version '{given}'. The supported api-versions are "
            f"'{', '.join(sorted(known))}'.",
        )
    return given


def _status(operation: Operation) -> dict[str, Any]:
    """Return what a status URL shows (async-operations.md, "Azure-AsyncOperation")."""
    shown: dict[str, Any] = {"name": operation.id, "startTime": _iso(operation.started), "status": "InProgress"}
    if operation.done:
        shown |= {"endTime": _iso(operation.ended), "status": "Failed" if operation.error else "Succeeded"}
    if operation.error is not None:
        shown["error"] = operation.error.error()
    return shown


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seed(world: World, path: str, kind: str, body: dict[str, Any], **extra: Any) -> Resource:
    """Put a resource into a world that nobody has to make: a virtual network, a source's disk."""
    full = f"/subscriptions/{world.subscription}/resourceGroups/{path}"
    group, name = path.split("/", 1)[0], path.rsplit("/", 1)[-1]
    made = Resource(
        id=full, kind=kind, name=name, group=group, body=body, created=world.now() - 3600, extra=dict(extra)
    )
    made.properties.setdefault("provisioningState", "Succeeded")
    world.resources[made.key] = made
    return made
