"""Virtual machines: made from an image or around disks that exist, switched, shown, deleted.

Rules, and where they were read:

* A VM made by attaching disks takes no osProfile: "Parameter 'osProfile' is not allowed." (400 InvalidParameter;
  hashicorp/terraform-provider-azurerm issues 14549, 22968). userData is allowed (azure-docs user-data.md).
* A new VM runs at once; powerOff keeps the machine allocated and billed, deallocate does not
  (azure-compute-docs articles/virtual-machines/states-billing.md).
* Quotas count cores per region, in all and by family: 409 OperationNotAllowed with the text of
  azure-docs articles/azure-resource-manager/troubleshooting/error-resource-quota.md; a deallocated VM counts as well.
* SkuNotAvailable: .../error-sku-not-available.md. AllocationFailed comes late, in the operation:
  azure-compute-docs articles/virtual-machines/allocation-failure.md; the VM stays, Failed.
* After a failed create its NIC is kept for that VM: NicReservedForAnotherVm, 180 s
  (cloudfoundry/bosh-azure-cpi-release issue 366).
* Reserved administrator names: azure-compute-docs articles/virtual-machines/linux/faq.yml.
* customData and userData: base64, at most 64 KiB before it (azure-docs custom-data.md, user-data.md).
"""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime
from typing import Any

from tests.doubles.arm.call import Answer, Call, endpoint, kind_and_name
from tests.doubles.arm.generic import Kind, inner, pending, refuse_busy, register
from tests.doubles.arm.guests import Hardware
from tests.doubles.arm.images import image_of, known_image
from tests.doubles.arm.nics import attached_to, card_of, free_nic, is_connected
from tests.doubles.arm.refusals import Refusal, invalid, not_found
from tests.doubles.arm.world import Resource, Size, World

TYPE = "Microsoft.Compute/virtualMachines"
RESERVED_SECONDS = 180
GOING = {"running": "starting", "stopped": "stopping", "deallocated": "deallocating"}
"""What a VM is until it is that."""
DATA_BYTES = 64 * 1024
RESERVED_NAMES = frozenset(
    [
        "1",
        "123",
        "a",
        "actuser",
        "adm",
        "admin",
        "admin1",
        "admin2",
        "administrator",
        "aspnet",
        "backup",
        "console",
        "david",
    ]
)
RESERVED_NAMES |= frozenset(["guest", "john", "owner", "root", "server", "sql", "support", "support_388945a0", "sys"])
RESERVED_NAMES |= frozenset(["test", "test1", "test2", "test3", "user", "user1", "user2", "user3", "user4", "user5"])


def _check(call: Call, there: Resource | None) -> None:
    properties = call.body.get("properties") or {}
    size = _size(call, properties)
    _check_profile(properties)
    _check_disks(call, properties, there)
    _check_nics(call, properties, there)
    if there is None:
        check_quota(call.world, size)


def _size(call: Call, properties: dict[str, Any]) -> Size:
    name = inner(properties, "hardwareProfile.vmSize")
    size = call.world.sizes.get(name or "")
    if size is None:
        raise invalid(f"The value {name} provided for the VM size is not valid.", "vmSize")
    zones = call.body.get("zones") or []
    if size.restricted or any(zone not in size.zones for zone in zones):
        raise Refusal(
            409,
            "SkuNotAvailable",
            f"The requested VM size for resource 'Following SKUs have failed for Capacity Restrictions: {name}' is "
            f"currently not available in location '{call.body['location']}'. Please try another size or deploy to a "
            "different location or different zone. See https://aka.ms/azureskunotavailable for details.",
        )
    return size


def check_quota(world: World, size: Size) -> None:
    """Refuse a VM for which no cores are left."""
    for name, title in (("cores", "Total Regional Cores"), (size.family, f"{size.family} Cores")):
        used, limit = cores_used(world, "" if name == "cores" else name), world.quotas.get(name, 0)
        if used + size.cores > limit:
            raise Refusal(
                409,
                "OperationNotAllowed",
                f"Operation could not be completed as it results in exceeding approved {title} quota. Additional "
                f"details - Deployment Model: Resource Manager, Location: {world.location}, Current Limit: {limit}, "
                f"Current Usage: {used}, Additional Required: {size.cores}, (Minimum) New Limit Required: "
                f"{used + size.cores}. Submit a request for Quota increase at https://aka.ms/ProdportalCRP.",
            )


def cores_used(world: World, family: str = "") -> int:
    """Return how many cores the VMs of the subscription have, or those of a family."""
    sizes = (world.sizes[inner(vm.properties, "hardwareProfile.vmSize")] for vm in world.of_kind(TYPE))
    return sum(size.cores for size in sizes if family in {"", size.family})


def _check_profile(properties: dict[str, Any]) -> None:
    profile = properties.get("osProfile")
    creation = inner(properties, "storageProfile.osDisk.createOption")
    if creation == "Attach" and profile is not None:
        raise invalid("Parameter 'osProfile' is not allowed.", "osProfile")
    if creation == "FromImage" and profile is None:
        raise invalid("Required parameter 'osProfile' is missing (null).", "osProfile")
    _check_data(properties.get("userData"), "userData")
    if profile is None:
        return
    _check_data(profile.get("customData"), "customData")
    if str(profile.get("adminUsername", "")).lower() in RESERVED_NAMES | {""}:
        raise invalid("The Admin Username specified is not allowed.", "adminUsername")
    keys = inner(profile, "linuxConfiguration.ssh.publicKeys") or []
    if not keys and not profile.get("adminPassword"):
        raise invalid(
            "Authentication using either SSH or by user name and password must be enabled.", "linuxConfiguration"
        )


def _check_data(value: str | None, target: str) -> None:
    if value is None:
        return
    try:
        plain = base64.b64decode(value, validate=True)
    except binascii.Error:
        raise invalid(f"{target} must be a base64 encoded string.", target) from None
    if len(plain) > DATA_BYTES:
        raise invalid(f"{target} must be at most 87380 characters of base64, not {len(value)}.", target)


def disk_ids(properties: dict[str, Any]) -> list[str]:
    """Return the ids of a VM's disks, the boot disk first."""
    profile = properties.get("storageProfile") or {}
    disks = [profile.get("osDisk") or {}, *(profile.get("dataDisks") or [])]
    return [one["managedDisk"]["id"] for one in disks if inner(one, "managedDisk.id")]


def _check_disks(call: Call, properties: dict[str, Any], there: Resource | None) -> None:
    boot = inner(properties, "storageProfile.osDisk") or {}
    if boot.get("createOption") not in {"FromImage", "Attach"}:
        raise invalid("Required parameter 'osDisk.createOption' is missing (null).", "osDisk.createOption")
    if boot["createOption"] == "FromImage" and there is None:
        known_image(call.world, inner(properties, "storageProfile.imageReference"))
    if boot["createOption"] == "Attach" and not (inner(boot, "managedDisk.id") and boot.get("osType")):
        raise invalid("Required parameter 'osDisk.managedDisk.id' or 'osDisk.osType' is missing (null).", "osDisk")
    for one in disk_ids(properties):
        disk = call.world.find(one)
        if disk is None:
            raise not_found(*kind_and_name(one), call.group)
        owner = disk.properties.get("managedBy") or disk.body.get("managedBy")
        if owner and owner.lower() != call.request.path.lower():
            raise Refusal(
                409,
                "ConflictingUserInput",
                f"Disk '{disk.name}' cannot be attached as the disk is already owned by VM '{owner}'.",
            )
        if disk.busy or disk.properties.get("provisioningState") != "Succeeded":
            raise Refusal(409, "OperationNotAllowed", f"Disk '{disk.name}' is not ready to be attached.")
        if disk.location.lower() != call.body["location"].lower() or disk.body.get("zones") != call.body.get("zones"):
            raise Refusal(400, "BadRequest", f"Disk '{disk.name}' is in another location or zone than the VM.")


def _check_nics(call: Call, properties: dict[str, Any], there: Resource | None) -> None:
    nics = inner(properties, "networkProfile.networkInterfaces") or []
    if not nics:
        raise invalid("Virtual machine must have at least one network interface.", "networkInterfaces")
    if len(nics) > 1 and sum(bool(inner(nic, "properties.primary")) for nic in nics) != 1:
        raise invalid("Exactly one of several network interfaces must be primary.", "networkInterfaces")
    for one in nics:
        free_nic(call, str(one.get("id")), there)


def hardware(world: World, vm: Resource) -> Hardware:
    """Return a VM as its guest sees it."""
    return Hardware(
        vm=vm.key,
        vm_id=vm.properties["vmId"],
        name=vm.name,
        disks=tuple(one.lower() for one in disk_ids(vm.properties)),
        user_data=vm.extra.get("userData", ""),
        custom_data=vm.extra.get("customData", ""),
        os_profile=dict(vm.properties.get("osProfile") or {}),
        cards=tuple(card_of(nic) for nic in attached_to(world, vm)),
        connected=is_connected(world, vm),
    )


def _begun(world: World, vm: Resource) -> None:
    """Take the disks and cards, and keep what is never shown again."""
    vm.properties.setdefault("vmId", world.uuid())
    vm.extra.setdefault("power", "creating")
    if "userData" in vm.properties:  # shown only with $expand=userData
        vm.extra["userData"] = vm.properties.pop("userData")
    profile = vm.properties.get("osProfile")
    if profile and "customData" in profile:  # never shown again
        vm.extra["customData"] = profile.pop("customData")
    if profile:
        profile.pop("adminPassword", None)
    vm.extra.setdefault("image", image_of(world, inner(vm.properties, "storageProfile.imageReference")))
    for nic in attached_to(world, vm):
        nic.properties["virtualMachine"] = {"id": vm.id}
    for disk_id in disk_ids(vm.properties):
        disk = world.resources[disk_id.lower()]
        disk.body["managedBy"], disk.properties["diskState"] = vm.id, "Attached"


def _made(world: World, vm: Resource) -> None:
    boot = vm.properties["storageProfile"]["osDisk"]
    if boot["createOption"] == "FromImage" and "managedDisk" not in vm.extra:
        _disk_from_image(world, vm, boot)
    if vm.extra["power"] == "creating":
        switch(world, vm, "running")


def _disk_from_image(world: World, vm: Resource, boot: dict[str, Any]) -> None:
    """Make the boot disk; it gets no tags (what Azure does with them is not documented, so nothing may rely on it)."""
    vm.extra["managedDisk"] = True
    name = boot.setdefault("name", f"{vm.name}_OsDisk_1_{world.number():032x}")
    asked = boot.get("managedDisk") or {}
    disk = Resource(
        id=f"{vm.id.rsplit('/providers/', 1)[0]}/providers/Microsoft.Compute/disks/{name}",
        kind="Microsoft.Compute/disks",
        name=name,
        group=vm.group,
        created=world.now(),
        body={
            "location": vm.location,
            "managedBy": vm.id,
            "sku": {"name": asked.get("storageAccountType", "Premium_LRS")},
            **({"zones": vm.body["zones"]} if vm.body.get("zones") else {}),
            "properties": {
                "osType": "Linux",
                "diskSizeGB": boot.get("diskSizeGB", 30),
                "diskState": "Attached",
                "provisioningState": "Succeeded",
                "creationData": {"createOption": "FromImage"},
            },
        },
    )
    world.resources[disk.key] = disk
    boot["managedDisk"] = {**asked, "id": disk.id}
    world.guests.installed(vm.extra["image"], disk.key)


def _failed(world: World, vm: Resource) -> None:
    """Keep the cards for this VM a while (NicReservedForAnotherVm)."""
    vm.extra["power"] = "stopped"
    for nic in attached_to(world, vm):
        nic.extra["reserved"] = (vm.key, world.now() + RESERVED_SECONDS)


def _freed(world: World, vm: Resource) -> None:
    """Let go of disks and cards, and remove those that were to go with the VM (deleteOption)."""
    world.guests.end(vm.key)
    profile = vm.properties.get("storageProfile") or {}
    for one in [profile.get("osDisk") or {}, *(profile.get("dataDisks") or [])]:
        disk = world.find(inner(one, "managedDisk.id") or "")
        if disk is not None:
            disk.body.pop("managedBy", None)
            disk.properties["diskState"] = "Unattached"
            if one.get("deleteOption") == "Delete":
                world.guests.freed(disk.key)
                del world.resources[disk.key]
    for one in inner(vm.properties, "networkProfile.networkInterfaces") or []:
        nic = world.find(one["id"])
        if nic is not None:
            nic.properties.pop("virtualMachine", None)
            if inner(one, "properties.deleteOption") == "Delete":
                del world.resources[nic.key]
    for child in [one for key, one in world.resources.items() if key.startswith(f"{vm.key}/")]:
        del world.resources[child.key]


def switch(world: World, vm: Resource, power: str) -> None:
    """Make a VM running, stopped or deallocated, at once."""
    before, vm.extra["power"] = vm.extra.get("power"), power
    vm.extra["switched"] = world.now()
    if power == "running" and before != "running":
        vm.extra["boots"] = vm.extra.get("boots", 0) + 1
        world.guests.boot(hardware(world, vm))
    elif power != "running":
        world.guests.end(vm.key)


def _shown(world: World, vm: Resource, query: dict[str, str]) -> dict[str, Any]:
    """Show a VM; the instance view and the user data only when asked for ($expand)."""
    shown = vm.shown()
    expand = query.get("$expand", "").lower()
    if expand == "instanceview":
        shown["properties"]["instanceView"] = instance_view(world, vm)
    if expand == "userdata" and "userData" in vm.extra:
        shown["properties"]["userData"] = vm.extra["userData"]
    return shown


KIND = Kind(
    type=TYPE,
    shown=_shown,
    service="compute",
    prefix="virtual_machines",
    model="VirtualMachine",
    tag_model="VirtualMachineUpdate",
    policies=("PutVM", "LowCostGetVM", "DeleteVM", "HighCostGetVM"),
    check=_check,
    begun=_begun,
    made=_made,
    failed=_failed,
    freed=_freed,
    immutable=("storageProfile.osDisk.managedDisk.id", "storageProfile.osDisk.createOption", "osProfile"),
)
register(KIND)


def power_call(call: Call, power: str) -> Answer:
    """Begin to switch a VM."""
    world, vm = call.world, call.resource_at(TYPE)
    refuse_busy(vm)
    if power == "running" and vm.extra["power"] == "deallocated" and world.late.get((TYPE, "allocate")):
        raise world.late[TYPE, "allocate"].pop(0)
    vm.properties["provisioningState"] = "Updating"

    if vm.extra["power"] != power:
        vm.extra["going"] = GOING[power]

    def end() -> None:
        vm.extra.pop("going", None)
        vm.properties["provisioningState"] = "Succeeded"
        switch(world, vm, power)

    operation = world.begin(vm, "power", end, failed=lambda: vm.extra.pop("going", None))
    return Answer(status=202, headers=pending(call, operation, location=True))


@endpoint("compute", "virtual_machines_start", policy="UpdateVM")
def start(call: Call) -> Answer:
    """Allocate and boot."""
    return power_call(call, "running")


@endpoint("compute", "virtual_machines_power_off", policy="UpdateVM")
def power_off(call: Call) -> Answer:
    """Stop; the machine stays allocated."""
    return power_call(call, "stopped")


@endpoint("compute", "virtual_machines_deallocate", policy="DeleteVM")
def deallocate(call: Call) -> Answer:
    """Stop and give the machine back."""
    return power_call(call, "deallocated")


def _provisioning(vm: Resource) -> dict[str, Any]:
    """Return how the last operation ended: a failed one with its code and text (azure-docs troubleshooting pages)."""
    state = str(vm.properties.get("provisioningState")).lower()
    error = vm.operation.error if vm.operation is not None else None
    ended = vm.operation.ended if vm.operation is not None else 0.0
    last = max(vm.created, vm.extra.get("switched", 0.0), ended)
    time = datetime.fromtimestamp(last, UTC).isoformat()
    if state != "failed" or error is None:
        return {"code": f"ProvisioningState/{state}", "level": "Info", "time": time}
    code = f"ProvisioningState/failed/{error.code}"
    return {"code": code, "level": "Error", "message": error.message, "time": time}


def instance_view(world: World, vm: Resource) -> dict[str, Any]:
    """Return what the platform and the agent say of a VM right now."""
    statuses = [_provisioning(vm)]
    if vm.extra.get("power") in GOING:
        statuses.append({"code": f"PowerState/{vm.extra.get('going', vm.extra['power'])}", "level": "Info"})
    ready = world.guests.agent_ready(vm.key)
    status = {
        "code": f"ProvisioningState/{'succeeded' if ready else 'Unavailable'}",
        "level": "Info" if ready else "Warning",
    }
    view: dict[str, Any] = {"statuses": statuses}
    view["vmAgent"] = {
        "vmAgentVersion": "2.9.1.1" if ready else "Unknown",
        "statuses": [{**status, "displayStatus": "Ready" if ready else "Not Ready"}],
    }
    return view


@endpoint("compute", "virtual_machines_instance_view", policy="LowCostGetVM")
def view_of(call: Call) -> Answer:
    """Show the instance view alone."""
    return Answer(status=200, body=instance_view(call.world, call.resource_at(TYPE)))
