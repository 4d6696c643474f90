"""The verbs of the provider contract, each handed to a thread of the connection that suits it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from pydantic import ValidationError

from vmclone_operator.api.backend import LibvirtSettings
from vmclone_operator.domain.backend import (
    BackendConfig,
    BackendInfo,
    Capabilities,
    CloneIntent,
    CloneRef,
    ExecOnly,
    Fence,
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
    Wake,
)
from vmclone_operator.domain.errors import ActionNeeded, OwnershipMismatch, RetryLater
from vmclone_operator.providers.libvirt import (
    clones,
    frozen,
    guest,
    images,
    leftovers,
    preflight,
    switches,
    translate,
    volumes,
)
from vmclone_operator.providers.libvirt import source as sources
from vmclone_operator.providers.libvirt.access import PrivateFiles, knock, uri
from vmclone_operator.providers.libvirt.connection import Connection
from vmclone_operator.providers.libvirt.consoles import Consoles
from vmclone_operator.providers.libvirt.events import Watch
from vmclone_operator.providers.libvirt.room import Room
from vmclone_operator.providers.opening import checked

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    import libvirt

QUICK_WORKERS = 4
GUEST_WORKERS = 8
BULK_WORKERS = 3
CLOSE_SECONDS = 3.0
CAPABILITIES = Capabilities()


class LibvirtSession(ExecOnly, Unbilled):
    """One libvirt host."""

    def __init__(
        self,
        settings: LibvirtSettings,
        *,
        keys: PrivateFiles | None,
        wake: Wake,
        fence: Fence,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        watch = Watch(wake)
        address = uri(settings, "" if keys is None else keys.path)
        door = knock(settings)
        self._keys = keys
        self._pool = settings.pool
        self._room = Room(clock)
        self._quick = Connection(address, workers=QUICK_WORKERS, knock=door, watch=watch)
        self._guests = Connection(address, workers=GUEST_WORKERS, knock=door)
        self._bulk = Connection(address, workers=BULK_WORKERS, knock=door)
        self._console = Connection(address, workers=1, knock=door)
        self._consoles = Consoles(self._console)
        self._clones = clones.Clones(
            pool=settings.pool, network=settings.network, bulk=self._bulk, watch=watch, fence=fence
        )
        self._switches = switches.Switches(fence)
        self._frozen = frozen.FrozenPoints(pool=settings.pool, bulk=self._bulk, watch=watch, fence=fence)

    async def check(self, pool: str = "") -> BackendInfo:  # noqa: ARG002 - all its pools are alike
        """Prove that libvirtd answers and that the pool is there."""
        return await self._quick.run(self._check)

    def _check(self, connection: libvirt.virConnect) -> BackendInfo:
        volumes.open_pool(connection, self._pool)
        version = f"libvirt {_dotted(connection.getLibVersion())}, QEMU {_dotted(connection.getVersion())}"
        return BackendInfo(version=translate.plain(version), capabilities=CAPABILITIES)

    async def describe_source(self, name: str) -> SourceInfo:
        """Find a source by name or UUID."""
        return await self._quick.run(partial(sources.describe, name=name))

    async def describe_image(self, name: str) -> ImageInfo:
        """Find a golden image by name."""
        return await self._quick.run(partial(images.describe, pool_name=self._pool, name=name))

    async def preflight(self, source: SourceInfo, wish: PlanWish) -> Sequence[Finding]:
        """Return every reason why this source cannot be cloned so."""
        return await self._quick.run(
            partial(preflight.findings, info=source, wish=wish, home_pool=self._pool, room=self._room)
        )

    async def freeze(self, intent: FreezeIntent) -> Progress:
        """Take the point in time, or tell how its copy stands."""
        standing = await self._quick.run(partial(self._frozen.standing, intent=intent))
        if standing is not None:
            return standing
        begun = await self._guests.run(partial(self._frozen.begin, intent=intent))
        try:  # a small disk is copied by now, and that is told with the same answer
            asked = replace(intent, handle=begun.handle)
            standing = await self._quick.run(partial(self._frozen.standing, intent=asked))
        except RetryLater:
            return begun
        return standing if standing is not None and standing.done else begun

    async def thaw(self, source_id: str) -> bool:
        """Thaw the guest if it is frozen."""

        def thaw(connection: libvirt.virConnect) -> bool:
            domain = sources.by_uuid(connection, source_id)
            return domain is not None and guest.thaw(domain)

        return await self._quick.run(thaw)

    async def release_frozen(self, owner: Owner, token: str, handle: str = "") -> Progress:  # noqa: ARG002 - needs none
        """Remove a frozen point."""
        if not owner.vmclone_uid:
            raise OwnershipMismatch("a frozen point is removed for one VMClone only, and none was named")
        return await self._quick.run(partial(self._frozen.release, owner=owner, token=token))

    async def find_frozen(self, owner: Owner) -> Sequence[str]:
        """List a VMClone's frozen points; none when no VMClone is named."""
        if not owner.vmclone_uid:
            return ()
        return await self._quick.run(partial(self._frozen.tokens, owner=owner))

    async def find_leftovers(self, instance: str, living: Collection[str]) -> Sequence[Leftover]:
        """List the files of an installation that nobody has or uses."""
        return await self._quick.run(partial(leftovers.find, pool=self._pool, instance=instance, living=living))

    async def find_clones(self, owner: Owner) -> Sequence[ObservedClone]:
        """List the VMs stamped for this owner."""
        found = await self._quick.run(partial(self._clones.find, owner=owner))
        for clone in found:
            self._listened(clone)
        return found

    async def find_clone(self, ref: CloneRef) -> ObservedClone | None:
        """Return the VM of this incarnation."""
        found = await self._quick.run(partial(self._clones.find_one, stamp=ref.stamp))
        if found is not None:
            self._listened(found)
        return found

    def _listened(self, clone: ObservedClone) -> None:
        """Let go of the console of a clone whose boot is over."""
        if clone.agent or clone.power is Power.OFF:
            self._consoles.forget(clone.stamp.incarnation)

    async def unstamped(self, ref: CloneRef) -> str:
        """Return the VM that has the clone's UUID and not its stamp."""
        return await self._quick.run(partial(clones.unstamped, stamp=ref.stamp))

    async def start_clone(self, intent: CloneIntent) -> Progress:
        """Make the clone, powered off and (mode Disk) with its links down."""
        return await self._quick.run(partial(self._clones.start, intent=intent))

    async def set_power(self, ref: CloneRef, power: Power) -> None:
        """Switch the clone on or off; one that boots is listened to."""
        await self._quick.run(partial(self._switches.set_power, stamp=ref.stamp, power=power))
        if power is Power.ON:
            self._consoles.listen(ref.stamp)
        else:
            self._consoles.forget(ref.stamp.incarnation)

    async def set_source_power(self, source_id: str, power: Power) -> bool:
        """Switch a source on, or shut it down."""
        return await self._quick.run(partial(self._switches.set_source_power, source_id=source_id, power=power))

    async def connect_network(self, ref: CloneRef) -> None:
        """Set the clone's links up."""
        await self._quick.run(partial(self._switches.connect_network, stamp=ref.stamp))

    async def guest_exec(self, ref: CloneRef, command: GuestCommand) -> GuestResult:
        """Run a short command in the clone's guest."""
        return await self._guests.run(lambda connection: guest.run(clones.owned(connection, ref.stamp), command))

    async def console_tail(self, ref: CloneRef) -> str:
        """Return what the clone's serial console said last."""
        return await self._consoles.tail(ref.stamp)

    async def guest_addresses(self, ref: CloneRef) -> Sequence[str]:
        """Return the guest's own addresses."""
        return await self._guests.run(lambda connection: guest.addresses(clones.owned(connection, ref.stamp)))

    async def delete_clone(self, ref: CloneRef) -> Progress:
        """Remove the VM and its volumes."""
        self._consoles.forget(ref.stamp.incarnation)
        return await self._quick.run(partial(self._clones.delete, stamp=ref.stamp))

    async def disown(self, ref: CloneRef) -> bool:
        """Take our mark off a clone."""
        return await self._quick.run(partial(self._switches.disown, stamp=ref.stamp))

    async def close(self) -> None:
        """End the connections; what libvirtd has begun goes on."""
        self._consoles.close()
        closing = [connection.close() for connection in (self._quick, self._guests, self._bulk, self._console)]
        deadline = time.monotonic() + CLOSE_SECONDS
        while any(thread.is_alive() for thread in closing) and time.monotonic() < deadline:  # noqa: ASYNC110 - threads
            await asyncio.sleep(0.01)
        if self._keys is not None:
            self._keys.remove()


class LibvirtBackend:
    """Opens sessions with libvirt hosts."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock

    async def open(self, config: BackendConfig, *, wake: Wake, fence: Fence) -> LibvirtSession:
        """Connect; raises BackendUnreachable or CredentialsInvalid when that fails."""
        try:
            settings = LibvirtSettings.model_validate(config.settings)
        except ValidationError as error:
            raise ActionNeeded(
                f"the libvirt block of CloneBackend {config.name} is invalid: {translate.plain(str(error))}"
            ) from error
        keys = None if settings.transport == "local" else PrivateFiles(settings, config.credentials)
        session = LibvirtSession(settings, keys=keys, wake=wake, fence=fence, clock=self._clock)
        return await checked(session)


def _dotted(number: int) -> str:
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"
