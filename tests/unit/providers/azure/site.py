"""An Azure session over the double, and what an engine does with it: call again until it is done."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from tests.doubles.arm.double import Double
from tests.doubles.arm.faults import Faults
from tests.doubles.arm.guests import Disk, ModelledGuests
from tests.doubles.arm.server import Server
from tests.doubles.arm.site import COMPUTE, GROUP, LAN_GROUP, SUBNET, credential_of, furnished, source
from tests.doubles.arm.world import World
from tests.support.simulation import SimClock

from vmclone_operator.domain.backend import (
    CloneIntent,
    CloneRef,
    Consistency,
    FreezeIntent,
    FrozenPoint,
    Mode,
    OperationState,
    Owner,
    Progress,
    Seed,
    Stamp,
)
from vmclone_operator.domain.errors import RetryLater
from vmclone_operator.providers.azure.clones import Place
from vmclone_operator.providers.azure.session import AzureSession, Subscription
from vmclone_operator.providers.fake import FaultSchedule

INSTANCE = "11111111-1111-4111-8111-111111111111"
VMCLONE = "22222222-2222-4222-8222-222222222222"
STAMP = Stamp(
    instance=INSTANCE,
    namespace="team-a",
    vmclone="dev",
    vmclone_uid=VMCLONE,
    ordinal=1,
    incarnation="33333333-3333-4333-8333-333333333333",
)
NAME = "dev-1-3f9a2c"
OWNER = Owner(instance=INSTANCE, vmclone_uid=VMCLONE)
REF = CloneRef(stamp=STAMP, vm_name=NAME)
STEPS = 80
VM = "Microsoft.Compute/virtualMachines"
IMAGE = "debian:debian-13:13-gen2:latest"


@dataclass
class Site:
    """A session and the world behind it."""

    clock: SimClock
    world: World
    server: Server
    session: AzureSession

    @property
    def guests(self) -> ModelledGuests:
        """Return the modelled guests."""
        assert isinstance(self.world.guests, ModelledGuests)
        return self.world.guests

    def later(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(seconds)
        self.world.timeline.settle()

    async def until_done(self, step: Callable[[str], Awaitable[Progress]]) -> Progress:
        """Call a verb as the engine does: with the newest handle, again when it says so, and after what goes by."""
        handle = ""
        for _ in range(STEPS):
            try:
                progress = await step(handle)
            except RetryLater as later:
                self.later(later.retry_after.total_seconds())
                continue
            handle = progress.handle or handle
            if progress.state is not OperationState.RUNNING:
                return progress
            self.later(progress.again_seconds)
        raise AssertionError(f"not done after {STEPS} steps: {progress}")

    async def freeze(self, consistency: Consistency = Consistency.QUIESCED, *, image: str = "") -> Progress:
        """Take a frozen point of the source."""
        intent = FreezeIntent(
            token="f1",
            instance=INSTANCE,
            vmclone_uid=VMCLONE,
            source_id=f"/subscriptions/{self.world.subscription}/resourceGroups/{COMPUTE}/virtualMachines/golden",
            consistency=consistency,
            image=image,
        )
        return await self.until_done(lambda handle: self.session.freeze(replace(intent, handle=handle)))

    async def clone(self, mode: Mode = Mode.DISK, frozen_handle: str = "") -> Progress:
        """Make the clone."""
        intent = self.intent(mode, frozen_handle)
        return await self.until_done(lambda handle: self.session.start_clone(replace(intent, handle=handle)))

    def intent(self, mode: Mode = Mode.DISK, frozen_handle: str = "") -> CloneIntent:
        """Return what is to be made."""
        source_id = f"/subscriptions/{self.world.subscription}/resourceGroups/{COMPUTE}/virtualMachines/golden"
        seed = Seed(instance_id="i", hostname=NAME, user="dev", authorized_keys=("ssh-ed25519 AAAA dev",))
        return CloneIntent(
            stamp=STAMP,
            token="c1",
            vm_name=NAME,
            uuid="44444444-4444-4444-8444-444444444444",
            source_id=source_id,
            frozen_token="f1",
            seed=seed,
            mode=mode,
            frozen_handle=frozen_handle,
            made_from="golden at f1",
        )

    async def delete(self) -> None:
        """Remove the clone, and ask once more."""
        for _ in range(2):
            await self.until_done(lambda _: self.session.delete_clone(REF))

    async def release(self, handle: str = "") -> None:
        """Remove the frozen point."""
        await self.until_done(lambda _: self.session.release_frozen(OWNER, "f1", handle))


def of_ours(world: Any) -> list[str]:
    """Return what of ours stands there, by the last part of its id."""
    return sorted(key.rsplit("/", 1)[-1] for key, tags in world.inventory().items() if "vmclone-instance" in tags)


def site_source(site: Site) -> str:
    """Return the source's id."""
    return next(vm.key for vm in site.world.of_kind(VM) if vm.name == "golden")


def freeze_intent(site: Site) -> FreezeIntent:
    """Return what is to be frozen."""
    return FreezeIntent(
        token="f1",
        instance=STAMP.instance,
        vmclone_uid=STAMP.vmclone_uid,
        source_id=site_source(site),
        consistency=Consistency.QUIESCED,
    )


Story = Callable[[Site], Awaitable[None]]


def at_site(
    story: Story, schedule: FaultSchedule | None = None, *, data_disks: int = 1, power: str = "running", size: str = ""
) -> World:
    """Run a story over a fresh double; return its world."""
    clock = SimClock()
    world = furnished(clock)
    source(world, "golden", data_disks=data_disks, power=power)
    if data_disks == 0:
        del world.resources[f"/subscriptions/{world.subscription}/resourcegroups/{COMPUTE}/disks/golden-1".lower()]

    async def sleep(seconds: float) -> None:
        clock.advance(seconds)

    async def run() -> None:
        async with Server(Double(world), sleep=sleep, faults=Faults(schedule)) as server:
            base = f"/subscriptions/{world.subscription}/resourceGroups"
            subnet, group = f"{base}/{SUBNET}", f"{base}/{LAN_GROUP}"
            place = Place(location=world.location, subnet_id=subnet, group_id=group, size=size)
            where = Subscription(
                subscription_id=world.subscription,
                resource_group=GROUP,
                place=place,
                endpoint=server.base,
                ca_file=str(server.certificate),
                requests_per_second=10_000,
            )
            session = AzureSession(where, credential_of(server), _lead)
            try:
                await story(Site(clock=clock, world=world, server=server, session=session))
            finally:
                await session.close()

    asyncio.run(run())
    world.timeline.settle()
    return world


def _lead() -> None:
    """Lead, for ever."""


__all__ = ["NAME", "OWNER", "REF", "STAMP", "Consistency", "Disk", "FrozenPoint", "Mode", "Site", "at_site"]
