"""The verbs of the provider contract over one Azure subscription, as the engine will call them.

Errors of Microsoft's clients become ours in `arm.py`; nothing here waits for a long operation.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from azure.core.credentials_async import AsyncTokenCredential
from azure.mgmt.compute.aio import ComputeManagementClient
from azure.mgmt.network.aio import NetworkManagementClient

from vmclone_operator.domain.backend import (
    BackendInfo,
    Capabilities,
    CloneIntent,
    CloneRef,
    Fence,
    Finding,
    FreezeIntent,
    GuestChannel,
    GuestRun,
    GuestTask,
    ImageInfo,
    Leftover,
    ObservedClone,
    OperationState,
    Owner,
    PlanWish,
    Power,
    Progress,
    Resource,
    SourceInfo,
    TaskOnly,
)
from vmclone_operator.domain.errors import CapabilityMissing, RetryLater
from vmclone_operator.providers.azure import bill, preflight, sources
from vmclone_operator.providers.azure.arm import VM, Arm, Gate
from vmclone_operator.providers.azure.capacity import Capacity
from vmclone_operator.providers.azure.clones import Clones, Place
from vmclone_operator.providers.azure.frozen import FrozenPoints
from vmclone_operator.providers.azure.guest import Guests
from vmclone_operator.providers.azure.remains import Remains
from vmclone_operator.providers.azure.rights import Rights
from vmclone_operator.providers.azure.sources import Sources

_CONNECT_SECONDS, _ANSWER_SECONDS = 10, 60
LOOK_SECONDS = 10.0
"""12 reads of a VM a minute (azure-compute-docs compute-throttling-limits.md), shared with whoever else looks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """Where and as whom: what a CloneBackend's block and Secret say."""

    subscription_id: str
    resource_group: str
    place: Place
    endpoint: str = "https://management.azure.com"
    ca_file: str = ""
    """A bundle to trust in place of the system's, for Azure Stack and doubles."""
    requests_per_second: float = 10


def _nothing() -> None:
    """Have nothing to forget."""


class AzureSession(TaskOnly):
    """One subscription and resource group, as one application."""

    def __init__(
        self,
        where: Subscription,
        credential: AsyncTokenCredential,
        fence: Fence,
        forget: Callable[[], None] = _nothing,
    ) -> None:
        gate = Gate(fence, where.requests_per_second)
        options: dict[str, Any] = {
            "base_url": where.endpoint,
            "credential_scopes": [f"{where.endpoint}/.default"],
            "per_retry_policies": [gate],
            "connection_timeout": _CONNECT_SECONDS,
            "read_timeout": _ANSWER_SECONDS,
            "retry_total": 0,  # the engine's queue is what tries again, and it asks the fence first
        }
        if where.ca_file:
            options["connection_verify"] = where.ca_file
        self._credential, self._forget = credential, forget
        self._place = where.place
        self._compute = ComputeManagementClient(credential, where.subscription_id, **options)
        self._network = NetworkManagementClient(credential, where.subscription_id, **options)
        self._arm = Arm(self._compute, self._network, where.resource_group)
        self._sources = Sources(self._arm, where.place.location)
        self._frozen = FrozenPoints(self._arm, self._sources)
        self._clones = Clones(self._arm, where.place, self._sources, self._frozen)
        self._rights = Rights(self._arm, where.place)
        self._remains = Remains(self._arm)
        self._capacity = Capacity(self._arm, where.place.location)
        self._guests = Guests(self._arm, where.place.location)

    async def check(self, pool: str = "") -> BackendInfo:
        """Prove that the subscription answers and that we may look at our resource group."""
        if pool:
            raise CapabilityMissing(
                f"disk.pool {pool!r}: on Azure a copy has the kind of its source's disk; leave it out"
            )
        await self._arm.list(VM)
        capabilities = Capabilities(linked=False, sizes=True, guest=GuestChannel.TASK, look_seconds=LOOK_SECONDS)
        return BackendInfo(version="Azure Resource Manager", capabilities=capabilities)

    async def describe_source(self, name: str) -> SourceInfo:
        """Find a source by name in our resource group, or by its resource id."""
        return await self._sources.describe(name)

    async def describe_image(self, name: str) -> ImageInfo:
        """Resolve publisher:offer:sku:version."""
        return await self._sources.image(name)

    async def preflight(self, source: SourceInfo, wish: PlanWish) -> Sequence[Finding]:
        """Return every reason why this source cannot be cloned so."""
        elsewhere = bool(wish.image) and not self._sources.has(source.source_id)
        seen = None if elsewhere else await self._sources.by_id(source.source_id)
        found = tuple(preflight.findings(seen, wish, self._place))
        size = self._place.size_of_clone(wish.shape, sources.size_of(seen))
        if found or not size:
            return found
        return (*await self._rights.findings(seen, wish), *await self._capacity.findings(size, wish.replicas))

    def resources(self, source: SourceInfo, wish: PlanWish) -> Sequence[Resource]:
        """Return what each clone is made of."""
        return tuple(bill.resources(source, wish, self._place))

    async def freeze(self, intent: FreezeIntent) -> Progress:
        """Take a frozen point one step on."""
        return await self._frozen.freeze(intent)

    async def thaw(self, source_id: str) -> bool:  # noqa: ARG002 - Azure's own agent freezes, and thaws by itself
        """Thaw nothing: nothing of ours freezes."""
        return False

    async def release_frozen(self, owner: Owner, token: str, handle: str = "") -> Progress:
        """Remove a frozen point one step on; an image that was used as it is stays."""
        if handle and not handle.startswith("http"):  # publisher:offer:sku:version; ours are operation addresses
            return Progress(state=OperationState.DONE, percent=100)
        return await self._frozen.release(owner, token)

    async def find_frozen(self, owner: Owner) -> Sequence[str]:
        """List the tokens of an owner's frozen points."""
        return await self._frozen.find(owner)

    async def find_leftovers(self, instance: str, living: Collection[str]) -> Sequence[Leftover]:
        """List the frozen points of VMClones that are gone, and what clones that are gone left without a VM."""
        return [*await self._frozen.leftovers(instance, living), *await self._remains.find(instance, living)]

    async def find_clone(self, ref: CloneRef) -> ObservedClone | None:
        """Return a clone as it is now."""
        return await self._clones.find(ref)

    async def find_clones(self, owner: Owner) -> Sequence[ObservedClone]:
        """List an owner's clones."""
        return await self._clones.find_all(owner)

    async def unstamped(self, ref: CloneRef) -> str:
        """Return the name of a VM at the clone's place without its stamp."""
        return await self._clones.unstamped(ref)

    async def start_clone(self, intent: CloneIntent) -> Progress:
        """Make a clone one step on."""
        return await self._clones.start(intent)

    async def set_power(self, ref: CloneRef, power: Power) -> None:
        """Start or deallocate a clone."""
        await self._clones.set_power(ref, power)

    async def set_source_power(self, source_id: str, power: Power) -> bool:
        """Start a source, or deallocate it; return whether this call changed anything."""
        seen = await self._sources.by_id(source_id)
        towards = {"starting": Power.ON, "stopping": Power.OFF, "deallocating": Power.OFF}.get(seen.going)
        if (towards if seen.going else seen.power) is power:
            return False
        if seen.going:
            raise RetryLater(f"the power of the source {seen.name} is {seen.going}: it is switched once that is over")
        group, name = self._sources.place(source_id)
        verb = "begin_start" if power is Power.ON else "begin_deallocate"
        await self._arm.at(group).begin(VM, verb, name)
        return True

    async def connect_network(self, ref: CloneRef) -> None:
        """Let a clone out of quarantine."""
        await self._clones.connect(ref)

    async def guest_start(self, ref: CloneRef, task: GuestTask) -> None:
        """Have a task run in a clone's guest."""
        await self._clones.owned(ref)
        await self._guests.start(ref, task)

    async def guest_result(self, ref: CloneRef, run: str) -> GuestRun:
        """Return how a task stands."""
        return await self._guests.result(ref, run)

    async def console_tail(self, ref: CloneRef) -> str:  # noqa: ARG002 - boot diagnostics need a storage account's URL
        """Return nothing: boot diagnostics are not read yet."""
        return ""

    async def guest_addresses(self, ref: CloneRef) -> Sequence[str]:
        """Return a clone's private addresses."""
        return await self._sources.addresses(await self._clones.owned(ref))

    async def delete_clone(self, ref: CloneRef) -> Progress:
        """Remove a clone one step on; one whose name nobody knows any more is looked for by its stamp."""
        return await (self._clones.delete(ref) if ref.vm_name else self._remains.remove(ref))

    async def disown(self, ref: CloneRef) -> bool:
        """Take our tags off a clone."""
        return await self._clones.disown(ref)

    async def close(self) -> None:
        """End the connections; what runs at Azure goes on."""
        async with AsyncExitStack() as stack:
            stack.callback(self._forget)
            for one in (self._credential, self._network, self._compute):
                stack.push_async_callback(one.close)
