"""Network interfaces, security groups, public addresses; virtual networks are there, and only read.

Rules, and where they were read:

* An interface of a VM is not deleted: 400 NicInUse (azure-docs articles/virtual-network/
  troubleshoot-nic... "aka.ms/deletenic"; gardener/machine-controller-manager issue 298).
* A group in use is not deleted: 400 InUseNetworkSecurityGroupCannotBeDeleted; an address in use neither:
  400 PublicIPAddressCannotBeDeleted (terraform-provider-azurerm issues 5274, 10038).
* An interface kept for another VM: 400 NicReservedForAnotherVm (cloudfoundry/bosh-azure-cpi-release issue 366).
* A put may carry If-Match (azure-docs articles/virtual-network, REST "Network Interfaces - Create Or Update").
* An interface without a group lets everything in its network in; a group's own rules go before the default ones, the
  lowest priority first (azure-docs articles/virtual-network/network-security-groups-overview.md).
"""

from __future__ import annotations

from typing import Any

from tests.doubles.arm.call import Answer, Call, endpoint, kind_and_name
from tests.doubles.arm.generic import Kind, inner, register
from tests.doubles.arm.refusals import Refusal, not_found
from tests.doubles.arm.world import Resource, World

NIC = "Microsoft.Network/networkInterfaces"
NSG = "Microsoft.Network/networkSecurityGroups"
ADDRESS = "Microsoft.Network/publicIPAddresses"
VNET = "Microsoft.Network/virtualNetworks"


def attached_to(world: World, vm: Resource) -> list[Resource]:
    """Return the cards that a VM names."""
    named = (str(one["id"]).lower() for one in inner(vm.properties, "networkProfile.networkInterfaces") or [])
    return [world.resources[one] for one in named if one in world.resources]


def free_nic(call: Call, nic_id: str, vm: Resource | None) -> None:
    """Refuse a card that a VM can not have."""
    nic = call.world.find(nic_id)
    if nic is None:
        raise Refusal(
            400,
            "InvalidResourceReference",
            f"Resource {nic_id} referenced by resource {call.request.path} was not found. Please make sure that the "
            "referenced resource exists, and that both resources are in the same region.",
        )
    owner = str(inner(nic.properties, "virtualMachine.id") or "")
    if owner and owner.lower() != call.request.path.lower():
        raise Refusal(400, "NicInUse", f"Network Interface {nic.id} is used by existing resource {owner}.")
    if nic.location.lower() != call.body["location"].lower():
        raise Refusal(400, "InvalidResourceReference", f"{nic_id} is in another region than the virtual machine.")
    _check_reservation(call.world, nic, call.request.path.lower() if vm is None else vm.key)


def _check_reservation(world: World, nic: Resource, vm: str) -> None:
    owner, until = nic.extra.get("reserved", ("", 0.0))
    if owner and owner != vm and world.now() < until:
        raise Refusal(
            400,
            "NicReservedForAnotherVm",
            "Nic(s) in request is reserved for another Virtual Machine for 180 seconds. Please provide another nic(s) "
            f"or retry after 180 seconds. Reserved VM: {owner}",
        )


def is_connected(world: World, vm: Resource) -> bool:
    """Tell whether anything gets out of a VM: no card of it hangs behind a group that denies all."""
    return all(not _closed(world, nic) for nic in attached_to(world, vm))


def _closed(world: World, nic: Resource) -> bool:
    group = world.find(str(inner(nic.properties, "networkSecurityGroup.id") or ""))
    rules = [] if group is None else group.properties.get("securityRules") or []
    outbound = [one["properties"] for one in rules if one["properties"].get("direction") == "Outbound"]
    first = min(outbound, key=lambda one: int(one["priority"]), default=None)
    return first is not None and first.get("access") == "Deny"


def _check_nic(call: Call, _: Resource | None) -> None:
    properties = call.body.get("properties") or {}
    configurations = properties.get("ipConfigurations") or []
    if not configurations:
        raise Refusal(400, "NetworkInterfaceMustHaveIpConfiguration", "A network interface needs an IP configuration.")
    for one in configurations:
        subnet = str(inner(one, "properties.subnet.id") or "")
        _require(call, subnet)
        address = inner(one, "properties.publicIPAddress.id")
        if address:
            _require(call, str(address))
    group = inner(properties, "networkSecurityGroup.id")
    if group:
        _require(call, str(group))


def _require(call: Call, resource_id: str) -> None:
    found = call.world.find(resource_id)
    if found is None:
        raise Refusal(
            400,
            "InvalidResourceReference",
            f"Resource {resource_id} referenced by resource {call.request.path} was not found.",
        )
    if found.location and found.location.lower() != str(call.body["location"]).lower():
        raise Refusal(400, "InvalidResourceReference", f"{resource_id} is in another region than {call.request.path}.")


def _begun_nic(world: World, nic: Resource) -> None:
    for number, one in enumerate(nic.properties["ipConfigurations"]):
        inside = one["properties"]
        one.setdefault("id", f"{nic.id}/ipConfigurations/{one.get('name', number)}")
        inside.setdefault("privateIPAllocationMethod", "Dynamic")
        if "privateIPAddress" not in inside:
            inside["privateIPAddress"] = nic.extra.setdefault(f"address {number}", world.free_address())
        inside["primary"] = number == 0


def card_of(nic: Resource) -> tuple[str, str]:
    """Return MAC and private address of a card."""
    address = nic.properties["ipConfigurations"][0]["properties"].get("privateIPAddress", "")
    return str(nic.properties.get("macAddress", "")), str(address)


def _mac(number: int) -> str:
    digits = f"000D3A{number:06X}"
    return "-".join(digits[at : at + 2] for at in range(0, 12, 2))


def _made_nic(world: World, nic: Resource) -> None:
    nic.properties.setdefault("macAddress", _mac(world.number()))
    _relink(world, nic)


def _relink(world: World, nic: Resource) -> None:
    """Tell the guest behind a card what gets through now."""
    from tests.doubles.arm.vms import hardware  # noqa: PLC0415 - a VM knows its cards, and a card its VM

    vm = world.find(str(inner(nic.properties, "virtualMachine.id") or ""))
    if vm is not None and vm.extra.get("power") == "running":
        world.guests.relink(hardware(world, vm))


def _nic_in_use(world: World, nic: Resource) -> None:
    owner = inner(nic.properties, "virtualMachine.id")
    if owner:
        raise Refusal(
            400,
            "NicInUse",
            f"Network Interface {nic.id} is used by existing resource {owner}. In order to delete the network "
            "interface, it must be dissociated from the resource. To learn more, see aka.ms/deletenic.",
        )
    _check_reservation(world, nic, "")


register(
    Kind(
        type=NIC,
        service="network",
        prefix="network_interfaces",
        model="NetworkInterface",
        tag="update_tags",
        tag_model="TagsObject",
        check=_check_nic,
        begun=_begun_nic,
        made=_made_nic,
        in_use=_nic_in_use,
    )
)


def users_of(world: World, kind: str, path: str, wanted: str) -> list[Resource]:
    """Return the resources of a kind that name another at a path below their properties."""
    return [one for one in world.of_kind(kind) if str(inner(one.properties, path) or "").lower() == wanted]


def _group_in_use(world: World, group: Resource) -> None:
    users = users_of(world, NIC, "networkSecurityGroup.id", group.key)
    if users:
        raise Refusal(
            400,
            "InUseNetworkSecurityGroupCannotBeDeleted",
            f"Network security group {group.id} cannot be deleted because it is in use by the following resources: "
            f"{', '.join(one.id for one in users)}.",
        )


def _check_group(call: Call, _: Resource | None) -> None:
    seen: set[tuple[Any, Any]] = set()
    for rule in (call.body.get("properties") or {}).get("securityRules") or []:
        key = (inner(rule, "properties.direction"), inner(rule, "properties.priority"))
        priority = key[1]
        if not isinstance(priority, int) or not 100 <= priority <= 4096:
            raise Refusal(400, "SecurityRuleInvalidPriority", f"Security rule has invalid priority: {priority}.")
        if key in seen:
            raise Refusal(400, "SecurityRuleConflict", f"Security rules conflict: two of {key[0]} priority {priority}.")
        seen.add(key)


register(
    Kind(
        type=NSG,
        service="network",
        prefix="network_security_groups",
        model="NetworkSecurityGroup",
        tag="update_tags",
        tag_model="TagsObject",
        check=_check_group,
        in_use=_group_in_use,
    )
)


def _address_in_use(world: World, address: Resource) -> None:
    for nic in world.of_kind(NIC):
        for one in nic.properties.get("ipConfigurations") or []:
            if str(inner(one, "properties.publicIPAddress.id") or "").lower() == address.key:
                raise Refusal(
                    400,
                    "PublicIPAddressCannotBeDeleted",
                    f"Public IP address {address.id} can not be deleted since it is still allocated to resource "
                    f"{one['id']}.",
                )


def _made_address(world: World, address: Resource) -> None:
    number = world.number()
    address.properties.setdefault("ipAddress", f"203.0.113.{number % 250 + 1}")


register(
    Kind(
        type=ADDRESS,
        service="network",
        prefix="public_ip_addresses",
        model="PublicIPAddress",
        tag="update_tags",
        tag_model="TagsObject",
        made=_made_address,
        in_use=_address_in_use,
    )
)


@endpoint("network", "subnets_get")
def subnet(call: Call) -> Answer:
    """Show a subnet."""
    return Answer(status=200, body=call.resource().shown())


@endpoint("network", "virtual_networks_get")
def network(call: Call) -> Answer:
    """Show a virtual network."""
    found = call.world.find(call.request.path)
    if found is None:
        raise not_found(*kind_and_name(call.request.path), call.group)
    return Answer(status=200, body=found.shown())
