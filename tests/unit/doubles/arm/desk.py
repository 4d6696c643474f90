"""What the tests of the ARM double have in common: a server with its clients, on a clock that a test moves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from azure.mgmt.compute.aio import ComputeManagementClient
from azure.mgmt.network.aio import NetworkManagementClient
from tests.doubles.arm.double import Double
from tests.doubles.arm.faults import Faults
from tests.doubles.arm.server import Server
from tests.doubles.arm.site import GROUP, IMAGE, LAN_GROUP, SUBNET, compute_of, credential_of, furnished, network_of
from tests.doubles.arm.world import World
from tests.support.simulation import SimClock

from vmclone_operator.providers.fake import FaultSchedule


@dataclass
class Desk:
    """Microsoft's clients, the double they talk to, and its clock."""

    clock: SimClock
    world: World
    server: Server
    compute: ComputeManagementClient
    network: NetworkManagementClient

    def full(self, path: str) -> str:
        """Return the id of what stands at a path below resourceGroups."""
        return f"/subscriptions/{self.world.subscription}/resourceGroups/{path}"

    def later(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(seconds)

    async def nic(self, name: str, **properties: Any) -> None:
        """Make a network interface, and wait for it."""
        await self.network.network_interfaces.begin_create_or_update(
            GROUP, name, self.nic_body(**properties), polling=False
        )
        self.later(10)

    def nic_body(self, **properties: Any) -> Any:
        """Return the body of a network interface in the subnet."""
        configuration = {"name": "main", "properties": {"subnet": {"id": self.full(SUBNET)}}}
        return {"location": self.world.location, "properties": {"ipConfigurations": [configuration], **properties}}

    def vm_body(self, nic: str, **properties: Any) -> Any:
        """Return the body of a VM from the image."""
        publisher, offer, sku = IMAGE.split(":")
        reference = {"publisher": publisher, "offer": offer, "sku": sku, "version": "latest"}
        path = f"{GROUP}/providers/Microsoft.Network/networkInterfaces/{nic}"
        keys = [{"path": "/home/dev/.ssh/authorized_keys", "keyData": "ssh-ed25519 AAAA dev"}]
        profile = {
            "computerName": nic,
            "adminUsername": "dev",
            "linuxConfiguration": {"disablePasswordAuthentication": True, "ssh": {"publicKeys": keys}},
        }
        return {
            "location": self.world.location,
            "tags": {"owner": "me"},
            "properties": {
                "hardwareProfile": {"vmSize": "Standard_D2s_v5"},
                "storageProfile": {"imageReference": reference, "osDisk": {"createOption": "FromImage"}},
                "networkProfile": {"networkInterfaces": [{"id": self.full(path)}]},
                "osProfile": profile,
                **properties,
            },
        }

    async def vm(self, name: str) -> None:
        """Make a VM with a network interface of its name, and wait until its agent answers."""
        await self.nic(name)
        await self.compute.virtual_machines.begin_create_or_update(GROUP, name, self.vm_body(name), polling=False)
        self.later(120)


Story = Callable[[Desk], Awaitable[None]]


def at_desk(story: Story, schedule: FaultSchedule | None = None) -> World:
    """Run a story, and return what is left."""
    clock = SimClock()
    world = furnished(clock)

    async def sleep(seconds: float) -> None:
        clock.advance(seconds)

    async def run() -> None:
        async with AsyncExitStack() as stack:
            server = await stack.enter_async_context(Server(Double(world), sleep=sleep, faults=Faults(schedule)))
            credential = await stack.enter_async_context(credential_of(server))
            compute = await stack.enter_async_context(compute_of(server, credential))
            network = await stack.enter_async_context(network_of(server, credential))
            await story(Desk(clock=clock, world=world, server=server, compute=compute, network=network))

    asyncio.run(run())
    world.timeline.settle()
    return world


__all__ = ["GROUP", "IMAGE", "LAN_GROUP", "SUBNET", "Desk", "at_desk"]
