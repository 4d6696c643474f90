"""Azure's resources as plain JSON: got, put and deleted by name, with Microsoft's clients below.

`polling=False` everywhere: a pass never waits, and what decides is what stands under a name when it is looked at. The
address of an operation is kept as a handle, for it alone knows why one failed. One policy sits before every
request: it spends a token of the bucket, asks the fence before every write, and names the request.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterable, Awaitable, Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, NoReturn, TypeAlias

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ResourceNotFoundError,
)
from azure.core.pipeline import PipelineRequest
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.core.rest import HttpRequest
from azure.mgmt.compute.aio import ComputeManagementClient
from azure.mgmt.network.aio import NetworkManagementClient

from vmclone_operator.domain.backend import Fence
from vmclone_operator.domain.errors import BackendUnreachable, CredentialsInvalid
from vmclone_operator.providers.azure import translate
from vmclone_operator.providers.turns import Turns

Json = dict[str, Any]
Sdk: TypeAlias = Any
"""What comes from Microsoft's generated clients or goes into them; the ARM double judges it, not the type checker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """Where a kind of resource is in the clients, and what its verbs are called there."""

    service: str
    group: str
    list: str = "list"
    put: str = "begin_create_or_update"
    delete: str = "begin_delete"
    tag: str = "begin_update"


VM = Kind(service="compute", group="virtual_machines")
DISK = Kind(service="compute", group="disks", list="list_by_resource_group")
SNAPSHOT = Kind(service="compute", group="snapshots", list="list_by_resource_group")
COLLECTION = Kind(service="compute", group="restore_point_collections", put="create_or_update", tag="update")
NIC = Kind(service="network", group="network_interfaces", tag="update_tags")
NSG = Kind(service="network", group="network_security_groups", tag="update_tags")


class Gate(SansIOHTTPPolicy[Any, Any]):
    """What happens before each request is sent."""

    def __init__(self, fence: Fence, requests_per_second: float, now: Callable[[], float] = time.monotonic) -> None:
        self._fence = fence
        self._turns = Turns(requests_per_second, requests_per_second - 1, now, asyncio.sleep)

    async def on_request(self, request: PipelineRequest[Any]) -> None:
        """Wait for a token, ask the fence before a write, and give the request a name."""
        await self._turns.next()
        if request.http_request.method != "GET":
            self._fence()
        request.http_request.headers["x-ms-correlation-request-id"] = str(uuid.uuid4())


class Arm:
    """One subscription and resource group."""

    def __init__(self, compute: ComputeManagementClient, network: NetworkManagementClient, group: str) -> None:
        self._compute, self._network = compute, network
        self._clients: dict[str, Any] = {"compute": compute, "network": network}
        self.group = group

    def at(self, group: str) -> Arm:
        """Return the same subscription, seen from another resource group: a source may be elsewhere."""
        return self if group.lower() == self.group.lower() else Arm(self._compute, self._network, group)

    async def get(self, kind: Kind, *name: str, **options: Sdk) -> Json | None:
        """Return what stands under a name; None when nothing does."""
        return await self.found(lambda: self._verb(kind, "get")(self.group, *name, **options))

    async def found(self, look: Callable[[], Awaitable[Any]]) -> Json | None:
        """Return what a look of Microsoft's client finds; None when there is nothing."""
        found = await self.asked(look)
        return None if found is None else _plain(found)

    async def asked(self, look: Callable[[], Awaitable[Any]]) -> Sdk:
        """Return what a look of Microsoft's client answers, as it is; None when there is nothing."""
        try:
            return await look()
        except ResourceNotFoundError:
            return None
        except AzureError as error:
            _raise(error)

    async def put(self, kind: Kind, name: str, body: Json, **options: Sdk) -> str:
        """Begin to make or change something; return the address of the operation."""
        return await self.begin(kind, kind.put, name, body, **options)

    async def delete(self, kind: Kind, name: str) -> str:
        """Begin to remove something; what is not there is removed already."""
        return await self.begin(kind, kind.delete, name)

    async def tag(self, kind: Kind, name: str, tags: dict[str, str]) -> None:
        """Replace the tags of something."""
        await self.begin(kind, kind.tag, name, {"tags": tags})

    async def listed(self, look: Callable[[], AsyncIterable[Any]]) -> list[Json]:
        """Return all that a list of Microsoft's client holds, page after page."""
        try:
            return [_plain(one) async for one in look()]
        except AzureError as error:
            _raise(error)

    async def list(self, kind: Kind, **options: Sdk) -> list[Json]:
        """Return all of a kind in the group; what is fresh may be missing for a while."""
        return await self.listed(lambda: self._verb(kind, kind.list)(self.group, **options))

    async def pages(self, path: str, version: str) -> Sequence[Json] | None:
        """Return all that is listed at a path for which these clients have no verb; None: nothing is there."""
        compute: Sdk = self._clients["compute"]
        client, endpoint = compute._client, compute._config.base_url  # noqa: SLF001 - has no other door
        found: Sequence[Json] = ()
        address = client.format_url(f"{path}?api-version={version}", endpoint=endpoint)
        try:
            while address:
                response = await client.send_request(HttpRequest("GET", address))
                if response.status_code == HTTPStatus.NOT_FOUND:
                    return None
                response.raise_for_status()
                page = response.json()
                found = [*found, *(page.get("value") or [])]
                address = page.get("nextLink") or ""
        except AzureError as error:
            _raise(error)
        return found

    async def begin(self, kind: Kind, verb: str, *arguments: Sdk, **options: Sdk) -> str:
        """Call a verb that goes on after it has answered; return the address of its operation."""
        seen: list[str] = []

        def keep(response: Sdk) -> None:
            seen.append(response.http_response.headers.get("Azure-AsyncOperation", ""))

        if verb.startswith("begin_"):
            options["polling"] = False
        try:
            await self._verb(kind, verb)(self.group, *arguments, raw_response_hook=keep, **options)
        except AzureError as error:
            _raise(error)
        return seen[-1] if seen else ""

    async def why(self, operation: str) -> tuple[str, str]:
        """Return code and text of an operation that failed; empty when it does not say."""
        if not operation:
            return "", ""
        try:
            response = await self._clients["compute"]._client.send_request(HttpRequest("GET", operation))  # noqa: SLF001 - has no other door
            response.raise_for_status()
            error = response.json().get("error") or {}
        except AzureError:
            return "", ""  # it is forgotten after a while, and then nobody knows
        return str(error.get("code", "")), str(error.get("message", ""))

    def id_of(self, provider: str, name: str) -> str:
        """Return the id of something in the group, by Microsoft.Compute/disks and name."""
        return f"/subscriptions/{self.subscription}/resourceGroups/{self.group}/providers/{provider}/{name}"

    @property
    def subscription(self) -> str:
        """Return the subscription's id."""
        return str(self._clients["compute"]._config.subscription_id)  # noqa: SLF001

    def operations(self, service: str, group: str) -> Sdk:
        """Return a group of operations of Microsoft's client, for what has no verb here."""
        return getattr(self._clients[service], group)

    def _verb(self, kind: Kind, verb: str) -> Sdk:
        return getattr(self.operations(kind.service, kind.group), verb)


def state_of(resource: Json | None) -> str:
    """Return a resource's provisioning state: Succeeded, Failed and Canceled are final; empty when there is none."""
    return str((resource or {}).get("properties", {}).get("provisioningState", ""))


def _plain(model: Sdk) -> Json:
    found: Json = model.as_dict()
    return found


def _raise(error: AzureError) -> NoReturn:
    # Without a response nobody was asked: the pod has no identity to show (azure-identity, CredentialUnavailableError).
    if isinstance(error, ClientAuthenticationError) and ("AADSTS" in str(error) or error.response is None):
        raise CredentialsInvalid(f"Microsoft Entra ID refuses the application: {str(error)[:300]}") from error
    if not isinstance(error, HttpResponseError):
        raise BackendUnreachable(f"Azure can not be reached: {error}") from error
    code = getattr(error.error, "code", "") or ""
    message = getattr(error.error, "message", "") or error.message
    headers: Any = getattr(error.response, "headers", {})
    wait = headers.get("Retry-After", "0")
    seconds = float(wait) if wait.isdigit() else 0.0
    raise translate.refused(error.status_code or 0, str(code), str(message), seconds) from error
