"""One request, what answers it, and the table of what the double can answer.

The routes and bodies are the SDK's (`sdk.py`); a handler is a function from a `Call` to an `Answer`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.doubles.arm.refusals import Refusal, not_found
from tests.doubles.arm.sdk import Route, route
from tests.doubles.arm.world import Client, Resource, World


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """An HTTP request, read."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    """Names in lower case."""
    body: Any = None
    base: str = "https://management.azure.com"
    """Where this server is, for the URLs in its answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is sent back."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request that found its handler."""

    world: World
    request: Request
    params: dict[str, str]
    version: str
    client: Client
    """Who calls."""

    @property
    def body(self) -> dict[str, Any]:
        """Return the body; the SDK's models have passed it."""
        found: dict[str, Any] = self.request.body
        return found

    @property
    def group(self) -> str:
        """Return the resource group in the path."""
        return self.params["resource_group_name"]

    def resource(self) -> Resource:
        """Return the resource at the path; raises ARM's 404."""
        found = self.world.find(self.request.path)
        if found is None:
            raise self.missing()
        return found

    def resource_at(self, kind: str) -> Resource:
        """Return the resource of a kind that the path leads to or through; raises ARM's 404."""
        depth = 2 * kind.count("/")
        head, _, _ = self.request.path.rpartition("/providers/")
        path = "/".join([head, "providers", *segments(self.request.path)[: depth + 1]])
        found = self.world.find(path)
        if found is None:
            raise not_found(*kind_and_name(path), self.params.get("resource_group_name", ""))
        return found

    def missing(self) -> Refusal:
        """Return the 404 for the path."""
        kind, name = kind_and_name(self.request.path)
        return not_found(kind, name, self.params.get("resource_group_name", ""))


Handler = Callable[[Call], Answer]
Policy = Callable[[Call], tuple[str, str]]
"""Which bucket a call draws from, and whose; an empty policy is not counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One operation that the double knows."""

    service: str
    route: Route
    handler: Handler
    body: str
    """The SDK's model of the body; empty when there is none."""
    policy: Policy


ENDPOINTS: list[Endpoint] = []


def add(service: str, name: str, handler: Handler, *, body: str = "", policy: str | Policy = "") -> None:
    """Answer an operation of the SDK."""
    if isinstance(policy, str):
        word = policy

        def policy(call: Call) -> tuple[str, str]:
            return word, vm_key(call)

    ENDPOINTS.append(Endpoint(service=service, route=route(service, name), handler=handler, body=body, policy=policy))


def endpoint(service: str, name: str, *, body: str = "", policy: str | Policy = "") -> Callable[[Handler], Handler]:
    """Make a function the handler of an operation of the SDK."""

    def register(handler: Handler) -> Handler:
        add(service, name, handler, body=body, policy=policy)
        return handler

    return register


def vm_key(call: Call) -> str:
    """Return the id of the VM in the path, by which its calls are counted; empty for lists."""
    found = re.match(r"(.*/virtualMachines/[^/]+)", call.request.path, re.IGNORECASE)
    return found[1].lower() if found else ""


def segments(path: str) -> list[str]:
    """Return what follows the last `/providers/`: namespace, type, name, type, name, ..."""
    return re.split("/providers/", path, flags=re.IGNORECASE)[-1].strip("/").split("/")


def kind_and_name(path: str) -> tuple[str, str]:
    """Return Microsoft.Compute/virtualMachines/runCommands and vm/run for the path of one."""
    namespace, *rest = segments(path)
    return "/".join([namespace, *rest[0::2]]), "/".join(rest[1::2])


def action(method: str, path: str) -> str:
    """Return the right that a call needs, as a role names it.

    azure-docs articles/role-based-access-control/role-definitions.md, "Actions": read, write, delete and action.
    """
    namespace, *rest = segments(path)
    if method == "POST":
        return "/".join([namespace, *rest[0:-1:2], rest[-1], "action"])
    verb = {"GET": "read", "PUT": "write", "PATCH": "write", "DELETE": "delete"}[method]
    return "/".join([namespace, *rest[0::2], verb])
