"""The verbs of the provider contract on one Proxmox VE cluster."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from vmclone_operator.domain.backend import (
    BackendInfo,
    Capabilities,
    CloneIntent,
    CloneRef,
    ExecOnly,
    Finding,
    FreezeIntent,
    GuestCommand,
    GuestResult,
    ImageInfo,
    Leftover,
    ObservedClone,
    Owner,
    PlanWish,
    Power,
    Progress,
    SourceInfo,
    Unbilled,
)
from vmclone_operator.domain.errors import NotAuthorized, RetryLater
from vmclone_operator.providers.proxmox import leftovers, rights, storages, switches, translate
from vmclone_operator.providers.proxmox.clean import Clean
from vmclone_operator.providers.proxmox.client import Client
from vmclone_operator.providers.proxmox.clones import Clones
from vmclone_operator.providers.proxmox.copying import LOOK_SECONDS, Copying
from vmclone_operator.providers.proxmox.frozen import FrozenPoints
from vmclone_operator.providers.proxmox.guest import Guests
from vmclone_operator.providers.proxmox.preflight import Preflight, quorate
from vmclone_operator.providers.proxmox.pve import Pve
from vmclone_operator.providers.proxmox.removing import Removing
from vmclone_operator.providers.proxmox.seeds import MakeImage, Seeds
from vmclone_operator.providers.proxmox.site import Place, Site
from vmclone_operator.providers.proxmox.source import Sources
from vmclone_operator.providers.proxmox.translate import Refused

Asked = ParamSpec("Asked")
Answer = TypeVar("Answer")


def in_our_words(verb: Callable[Asked, Coroutine[Any, Any, Answer]]) -> Callable[Asked, Coroutine[Any, Any, Answer]]:
    """Let a verb fail only with the errors of the contract."""

    @wraps(verb)
    async def spoken(*args: Asked.args, **kwargs: Asked.kwargs) -> Answer:
        try:
            return await verb(*args, **kwargs)
        except Refused as refused:
            raise translate.error(refused) from refused

    return spoken


class ProxmoxSession(ExecOnly, Unbilled):
    """One cluster, as one API token."""

    def __init__(
        self,
        client: Client,
        place: Place,
        *,
        make_seed: MakeImage,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._pve = Pve(client)
        self._site = Site(self._pve, place, now)
        self._guests = Guests(self._site, now=now, sleep=sleep)
        self._sources = Sources(self._site, self._guests, now)
        self._seeds = Seeds(self._site, make_seed, now)
        copying, removing = Copying(self._site), Removing(self._site)
        self._frozen = FrozenPoints(self._site, self._sources, copying, removing)
        clean = Clean(self._site, self._sources)
        self._clones = Clones(self._site, copying, removing, self._seeds, clean)
        self._switches = switches.Switches(self._site, self._clones, self._sources)

    @in_our_words
    async def check(self, pool: str = "") -> BackendInfo:
        """Prove that the cluster answers and that the token may do what cloning needs; each right that lacks is named.

        `pool`: linked clones lie where their template is, so on another storage there are full ones only.
        """
        version = await self._pve.version()
        place, release = self._site.place, str(version.get("release", ""))
        lacking = await rights.missing(self._pve, [*rights.of_our_vms(place, release)])
        if lacking:
            raise NotAuthorized(f"{'; '.join(lacking)}: give it a role with them (docs/how-to/clone-on-proxmox.md)")
        if not await quorate(self._site):
            raise RetryLater("the cluster has no quorum: it takes no changes until a majority of its nodes is back")
        linked = not pool or pool == place.storage
        if linked and place.storage:
            node = next((str(row["node"]) for row in await self._pve.nodes() if row.get("status") == "online"), "")
            linked = storages.links(await self._pve.storages(node), place.storage) if node else linked
        named = f"Proxmox VE {translate.plain(str(version.get('version', release)))}"
        return BackendInfo(version=named, capabilities=Capabilities(linked=linked, look_seconds=LOOK_SECONDS))

    @in_our_words
    async def describe_source(self, name: str) -> SourceInfo:
        """Find a VM by name, `vmid` or `node/vmid`."""
        return await self._sources.describe(name)

    @in_our_words
    async def describe_image(self, name: str) -> ImageInfo:
        """Find a template by name, `vmid` or `node/vmid`."""
        return await self._sources.image(name)

    @in_our_words
    async def preflight(self, source: SourceInfo, wish: PlanWish) -> Sequence[Finding]:
        """Return every reason why this source cannot be cloned so."""
        return await Preflight(self._site, self._sources).findings(source, wish)

    @in_our_words
    async def freeze(self, intent: FreezeIntent) -> Progress:
        """Take a frozen point one step on."""
        return await self._frozen.freeze(intent)

    @in_our_words
    async def thaw(self, source_id: str) -> bool:
        """Thaw the source's file systems if they are frozen, unless a clone task of ours froze them just now."""
        seen = await self._sources.by_id(source_id)
        if await self._pve.tasks(seen.node, kind="qmclone", vmid=seen.vmid, running=True):
            return False
        if seen.template or not await self._site.is_running(seen):
            return False
        return await self._guests.thaw(seen)

    @in_our_words
    async def release_frozen(self, owner: Owner, token: str, handle: str = "") -> Progress:
        """Remove a frozen point one step on."""
        return await self._frozen.release(owner, token, handle)

    @in_our_words
    async def find_frozen(self, owner: Owner) -> Sequence[str]:
        """List a VMClone's frozen points; borrowed ones are nobody's."""
        return await self._frozen.tokens(owner)

    @in_our_words
    async def find_leftovers(self, instance: str, living: Collection[str]) -> Sequence[Leftover]:
        """List frozen points and seeds of an installation that nobody has."""
        return await leftovers.find(self._site, self._seeds, instance, living)

    @in_our_words
    async def find_clone(self, ref: CloneRef) -> ObservedClone | None:
        """Return one finished clone as it is now."""
        return await self._clones.find_one(ref)

    @in_our_words
    async def find_clones(self, owner: Owner) -> Sequence[ObservedClone]:
        """List an owner's finished clones; power may be ten seconds old."""
        return await self._clones.find(owner)

    @in_our_words
    async def unstamped(self, ref: CloneRef) -> str:
        """Return the name of the clone's VM if it lost our mark."""
        return await self._clones.unstamped(ref)

    @in_our_words
    async def start_clone(self, intent: CloneIntent) -> Progress:
        """Take a clone one step on."""
        return await self._clones.start(intent)

    @in_our_words
    async def set_power(self, ref: CloneRef, power: Power) -> None:
        """Switch the clone on or off."""
        await self._switches.set_power(ref, power)

    @in_our_words
    async def set_source_power(self, source_id: str, power: Power) -> bool:
        """Switch a source on, or shut it down."""
        return await self._switches.set_source_power(source_id, power)

    @in_our_words
    async def connect_network(self, ref: CloneRef) -> None:
        """Set the clone's links up."""
        await self._switches.connect(ref)

    @in_our_words
    async def guest_exec(self, ref: CloneRef, command: GuestCommand) -> GuestResult:
        """Run a short command in the clone's guest."""
        return await self._guests.run(await self._clones.with_guest(ref), command)

    async def console_tail(self, ref: CloneRef) -> str:  # noqa: ARG002 - the API has no console to read
        """Return nothing: the API hands a console to a person's browser only."""
        return ""

    @in_our_words
    async def guest_addresses(self, ref: CloneRef) -> Sequence[str]:
        """Return the guest's own addresses."""
        return await self._guests.addresses(await self._clones.with_guest(ref))

    @in_our_words
    async def delete_clone(self, ref: CloneRef) -> Progress:
        """Remove the clone one step on."""
        return await self._clones.delete(ref)

    @in_our_words
    async def disown(self, ref: CloneRef) -> bool:
        """Take our mark off a clone."""
        return await self._clones.disown(ref)

    async def close(self) -> None:
        """End the connections; the server's tasks go on."""
        await self._pve.close()
