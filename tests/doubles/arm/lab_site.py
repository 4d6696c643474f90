"""An Azure subscription over the lab: serves the double until it is ended.

    hack/lab exec -- python -m tests.doubles.arm.lab_site --source golden-dev --image golden-dev-image --facts FILE

The VM of the resource group lab is the lab's source, which runs already; the marketplace has one image, the lab's
golden one. FILE then says how to reach it: address, authority, application and its secret. What it knows is in memory.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import time
from pathlib import Path

from tests.doubles.arm.double import Double
from tests.doubles.arm.lab_guests import LabGuests
from tests.doubles.arm.nics import NIC, card_of
from tests.doubles.arm.server import Server
from tests.doubles.arm.site import COMPUTE, GROUP, IMAGE, LAN_GROUP, SUBNET, furnish, source
from tests.doubles.arm.world import World
from tests.doubles.machines import Machines

from vmclone_lab import layout
from vmclone_lab.lab import Lab
from vmclone_lab.layout import Layout
from vmclone_lab.sources import read_facts

PORT, CLIENT = 8443, "55555555-5555-5555-5555-555555555555"
_BELOW_DHCP = range(4, 50)


class LabWorld(World):
    """A subscription whose subnet is the network of the lab's guests."""

    def free_address(self) -> str:
        taken = {card_of(nic)[1] for nic in self.of_kind(NIC) if "ipConfigurations" in nic.properties}
        first = layout.GUEST_ADDRESS.rpartition(".")[0]
        return next(one for one in (f"{first}.{last}" for last in _BELOW_DHCP) if one not in taken)


def furnished(lab: Lab, name: str, image: str, secret: str) -> World:
    """Return a subscription with a source that runs, and an image that was never booted."""
    machines = Machines.of_lab(lab)
    world = LabWorld(time.monotonic)
    world.guests = guests = LabGuests(machines, world.now)
    furnish(world, client=CLIENT, secret=secret, prefix="10.90.64.0/22")
    root = f"/subscriptions/{world.subscription}/resourceGroups"
    guests.names[f"{root}/{COMPUTE}/virtualMachines/{name}".lower()] = name
    guests.given[f"{root}/{COMPUTE}/disks/{name}-0".lower()] = machines.file(f"{name}.qcow2")
    guests.images = {f"{IMAGE}:{version}": machines.file(f"{image}.qcow2") for version in world.images[IMAGE]}
    vm = source(world, name, data_disks=0)
    facts = machines.facts(name)
    vm.properties["vmId"] = facts["uuid"]
    nic = world.of_kind(NIC)[0]
    nic.properties["macAddress"] = facts["mac"].replace(":", "-").upper()
    inside = nic.properties["ipConfigurations"][0]["properties"]
    inside["privateIPAddress"] = read_facts(lab, name)["address"]
    return world


async def serve(world: World, facts: Path, secret: str) -> None:
    """Serve a subscription at the lab's node, and say how to reach it once it does."""
    server = Server(Double(world), sleep=asyncio.sleep)
    server.host, server.port = layout.NODE_ADDRESS, PORT
    async with server:
        root = f"/subscriptions/{world.subscription}/resourceGroups"
        block = {
            "subscriptionID": world.subscription,
            "resourceGroup": GROUP,
            "location": world.location,
            "subnetID": f"{root}/{SUBNET}",
            "networkSecurityGroupID": f"{root}/{LAN_GROUP}",
            "tenantID": world.tenant,
            "clientID": CLIENT,
            "endpoint": server.base,
            "authority": server.base,
            "caBundle": server.certificate.read_text(),
        }
        half = facts.with_name(facts.name + ".new")
        half.touch(mode=0o600)
        half.write_text(json.dumps({"block": block, "secret": secret, "image": f"{IMAGE}:latest"}))
        half.rename(facts)
        await asyncio.Event().wait()


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(description="A double of Azure over the lab's QEMU guests.")
    parser.add_argument("--source", required=True, help="a source of the lab that runs")
    parser.add_argument("--image", required=True, help="a golden image of the lab")
    parser.add_argument("--facts", type=Path, required=True, help="where to write how to reach it")
    given = parser.parse_args()
    lab, secret = Lab(Layout.from_environment(os.environ)), secrets.token_urlsafe()
    asyncio.run(serve(furnished(lab, given.source, given.image, secret), given.facts, secret))


if __name__ == "__main__":
    main()
