"""A furnished subscription: a group, a network, a source that runs, an image, an operator's application.

world = furnished(clock)      # resource group lab in westeurope, VM golden with a boot and a data disk
async with Server(Double(world), sleep=sleep) as server, compute_of(server) as compute: ...
"""

from __future__ import annotations

from azure.identity.aio import ClientSecretCredential
from azure.mgmt.compute.aio import ComputeManagementClient
from azure.mgmt.network.aio import NetworkManagementClient
from tests.doubles.arm.double import seed
from tests.doubles.arm.generic import KINDS, remove
from tests.doubles.arm.guests import Disk, ModelledGuests
from tests.doubles.arm.server import Server
from tests.doubles.arm.vms import switch
from tests.doubles.arm.world import Client, Resource, World
from tests.doubles.pve.timeline import Clock

GROUP, CLIENT, SECRET = "lab", "vmclone", "correct horse"
SUBNET = f"{GROUP}/providers/Microsoft.Network/virtualNetworks/lan/subnets/clones"
LAN_GROUP = f"{GROUP}/providers/Microsoft.Network/networkSecurityGroups/lan"
IMAGE = "debian:debian-13:13-gen2"
COMPUTE = f"{GROUP}/providers/Microsoft.Compute"


def furnished(clock: Clock) -> World:
    """Return a world with one of everything that an operator finds."""
    world = World(clock)
    furnish(world)
    source(world, "golden")
    return world


def furnish(world: World, *, client: str = CLIENT, secret: str = SECRET, prefix: str = "10.8.0.0/16") -> None:
    """Give a world everything but a source."""
    world.groups[GROUP] = world.location
    world.token_seconds = 10**7  # a client keeps its token by the real clock, not by this one
    world.clients[client] = Client(secret=secret)
    world.images[IMAGE] = ["0.20260901.1", "0.20261001.1"]
    at = {"location": world.location}
    prefixes = {"addressPrefix": prefix}
    seed(world, SUBNET.rsplit("/subnets", 1)[0], "Microsoft.Network/virtualNetworks", {**at, "properties": {}})
    seed(world, SUBNET, "Microsoft.Network/virtualNetworks/subnets", {"properties": prefixes})
    seed(world, LAN_GROUP, "Microsoft.Network/networkSecurityGroups", {**at, "properties": {"securityRules": []}})


def source(world: World, name: str, *, data_disks: int = 1, power: str = "running") -> Resource:
    """Add a VM that is nobody's clone."""
    at = {"location": world.location}
    vm_id = f"/subscriptions/{world.subscription}/resourceGroups/{COMPUTE}/virtualMachines/{name}"
    disks = [
        seed(
            world,
            f"{COMPUTE}/disks/{name}-{number}",
            "Microsoft.Compute/disks",
            {
                **at,
                "sku": {"name": "Premium_LRS"},
                "managedBy": vm_id,
                "properties": {
                    "diskSizeGB": 30,
                    "diskState": "Attached",
                    **({"osType": "Linux", "hyperVGeneration": "V2"} if not number else {}),
                },
            },
        )
        for number in range(data_disks + 1)
    ]
    path = f"{GROUP}/providers/Microsoft.Network/networkInterfaces/{name}-nic"
    nic_body = {**at, "properties": {"virtualMachine": {"id": vm_id}, "ipConfigurations": [_configuration(world)]}}
    nic = seed(world, path, "Microsoft.Network/networkInterfaces", nic_body)
    boot = {"name": disks[0].name, "createOption": "FromImage", "osType": "Linux", "managedDisk": {"id": disks[0].id}}
    data = [
        {"lun": number, "name": disk.name, "createOption": "Attach", "managedDisk": {"id": disk.id}}
        for number, disk in enumerate(disks[1:])
    ]
    publisher, offer, sku = IMAGE.split(":")
    reference = {"publisher": publisher, "offer": offer, "sku": sku, "version": "latest"}
    body = {
        **at,
        "properties": {
            "vmId": world.uuid(),
            "hardwareProfile": {"vmSize": "Standard_D2s_v5"},
            "storageProfile": {"osDisk": boot, "dataDisks": data, "imageReference": reference},
            "networkProfile": {"networkInterfaces": [{"id": nic.id}]},
            "osProfile": {"computerName": name, "adminUsername": "dev"},
        },
    }
    vm = seed(world, f"{COMPUTE}/virtualMachines/{name}", "Microsoft.Compute/virtualMachines", body, power="stopped")
    vm.extra["managedDisk"] = True
    if isinstance(world.guests, ModelledGuests):
        world.guests.disks[disks[0].key] = Disk(boot_seconds=0)
        world.guests.images[f"{IMAGE}:0.20261001.1"] = Disk()
    switch(world, vm, power)
    return vm


def _configuration(world: World) -> dict[str, object]:
    subnet = f"/subscriptions/{world.subscription}/resourceGroups/{SUBNET}"
    address = f"10.8.1.{world.number() % 250 + 1}"
    return {"name": "main", "properties": {"subnet": {"id": subnet}, "privateIPAddress": address, "primary": True}}


def credential_of(server: Server, *, secret: str = SECRET) -> ClientSecretCredential:
    """Return the operator's credential."""
    return ClientSecretCredential(
        server.double.world.tenant,
        CLIENT,
        secret,
        authority=server.base,
        disable_instance_discovery=True,
        connection_verify=str(server.certificate),
    )


def compute_of(server: Server, credential: ClientSecretCredential) -> ComputeManagementClient:
    """Return Microsoft's client of Compute, at the double."""
    return ComputeManagementClient(
        credential,
        server.double.world.subscription,
        base_url=server.base,
        credential_scopes=[f"{server.base}/.default"],
        connection_verify=str(server.certificate),
        retry_total=0,
    )


def network_of(server: Server, credential: ClientSecretCredential) -> NetworkManagementClient:
    """Return Microsoft's client of Network, at the double."""
    return NetworkManagementClient(
        credential,
        server.double.world.subscription,
        base_url=server.base,
        credential_scopes=[f"{server.base}/.default"],
        connection_verify=str(server.certificate),
        retry_total=0,
    )


def remove_by_hand(world: World, kind: str, name: str) -> None:
    """Remove something as somebody does in the portal, who waits for the end."""
    found = next(one for one in world.of_kind(kind) if one.name == name)
    remove(KINDS[kind.lower()], world, found)
