"""A Proxmox VE cluster of one node over the lab: serves the double until it is ended.

    hack/lab exec -- python -m tests.doubles.pve.lab_site --source golden-dev --image golden-dev-image --facts FILE

VM 100 is the lab's source, which runs already; template 200 is its golden image. FILE then says how to reach it:
address, fingerprint and a token with every right. What it knows of its VMs is in memory, and gone with it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import time
from pathlib import Path
from typing import Any

from tests.doubles.machines import Machines
from tests.doubles.pve.access import Token
from tests.doubles.pve.double import Double
from tests.doubles.pve.drives import drives
from tests.doubles.pve.lab_guests import LabGuests
from tests.doubles.pve.rows import sight
from tests.doubles.pve.server import Server
from tests.doubles.pve.storages import Storage, Volume
from tests.doubles.pve.vm import VM
from tests.doubles.pve.world import Node, World

from vmclone_lab import layout
from vmclone_lab.guestimage import IMAGE_MIB
from vmclone_lab.lab import Lab
from vmclone_lab.layout import Layout
from vmclone_lab.sources import DEFAULT_DISK_MIB

NODE, PORT, TOKEN = "pve1", 8006, "root@pam!demo"
SOURCE, IMAGE = 100, 200
_MIB = 1024**2
_COPY_BYTES_PER_SECOND = 4 * 1024**3


def furnished(machines: Machines, source: str, image: str, secret: str) -> World:
    """Return a cluster with a source that runs, and a template that was never booted."""
    guests = LabGuests(machines)
    world = World(time.monotonic, epoch=time.time(), guests=guests)
    guests.storages = world.storages
    world.timing.clone_bytes = _COPY_BYTES_PER_SECOND  # the real copy takes its own time besides
    world.nodes[NODE] = Node(NODE, address=layout.NODE_ADDRESS)
    content = ("images", "iso", "import")
    world.storages.known["local"] = Storage(name="local", path="/var/lib/vz", content=content)
    world.access.tokens[TOKEN] = Token(secret=secret, separated=False)
    facts = machines.facts(source)
    disk = f"local:{SOURCE}/vm-{SOURCE}-disk-0.qcow2"
    guests.names[SOURCE], guests.given[disk] = source, machines.file(f"{source}.qcow2")
    vm = _add(world, SOURCE, _config(source, disk, DEFAULT_DISK_MIB, facts["mac"], facts["uuid"]))
    vm.running, vm.started, vm.pid = True, world.now(), world.new_pid()
    base = f"local:{IMAGE}/base-{IMAGE}-disk-0.qcow2"
    guests.given[base] = machines.file(f"{image}.qcow2")
    golden = _config(image, base, IMAGE_MIB, world.new_address(), world.new_uuid())
    _add(world, IMAGE, {**golden, "template": 1})
    for one in world.vms.values():
        one.seen = sight(one, world.now())
    return world


def _config(name: str, disk: str, mebibytes: int, mac: str, uuid: str) -> dict[str, Any]:
    return {
        "name": name,
        "memory": "512",
        "agent": "1",
        "boot": "order=virtio0",
        "virtio0": f"{disk},size={mebibytes}M",
        "net0": f"virtio={mac.upper()},bridge=vmbr0",
        "smbios1": f"uuid={uuid}",
    }


def _add(world: World, vmid: int, config: dict[str, Any]) -> VM:
    vm = world.vms[vmid] = VM(vmid=vmid, node=NODE, config=config)
    for one in drives(config):
        storage, _, name = one.file.partition(":")
        size = int(one.options["size"].removesuffix("M")) * _MIB
        held: dict[str, Any] = {"format": "qcow2", "size": size, "used": size, "made": world.now(), "vmid": vmid}
        world.storages.add(Volume(storage=storage, name=name, **held))
    return vm


async def serve(world: World, facts: Path, secret: str) -> None:
    """Serve a cluster at the lab's node, and say how to reach it once it does."""
    server = Server(Double(world), sleep=asyncio.sleep)
    server.host, server.port = layout.NODE_ADDRESS, PORT
    async with server:
        told = {"endpoint": f"{server.host}:{server.port}", "fingerprint": server.fingerprint}
        told |= {"tokenID": TOKEN, "tokenSecret": secret}
        half = facts.with_name(facts.name + ".new")
        half.touch(mode=0o600)
        half.write_text(json.dumps(told))
        half.rename(facts)
        await asyncio.Event().wait()


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(description="A double of Proxmox VE over the lab's QEMU guests.")
    parser.add_argument("--source", required=True, help="a source of the lab that runs")
    parser.add_argument("--image", required=True, help="a golden image of the lab")
    parser.add_argument("--facts", type=Path, required=True, help="where to write how to reach it")
    given = parser.parse_args()
    machines = Machines.of_lab(Lab(Layout.from_environment(os.environ)))
    secret = secrets.token_urlsafe()
    asyncio.run(serve(furnished(machines, given.source, given.image, secret), given.facts, secret))


if __name__ == "__main__":
    main()
