"""Which privilege each config key asks for, and what only root@pam may set.

qemu-server src/PVE/API2/Qemu.pm check_vm_modify_config_perm, e6352be; recording 09-permissions, 78-125. "Only
root" is 500, never 403, and a token of root@pam is not root@pam.
"""

from __future__ import annotations

import re

from tests.doubles.pve.call import Call
from tests.doubles.pve.drives import NEW_VOLUME, drive, is_drive
from tests.doubles.pve.refusals import Refused

_BY_PRIVILEGE = {
    "VM.Config.CPU": r"cores|cpu|cpulimit|cpuunits|numa|smp|sockets|vcpus|numa\d+",
    "VM.Config.Memory": r"memory|balloon|shares|allow-ksm",
    "VM.Config.HWType": r"acpi|hotplug|kvm|machine|scsihw|smbios1|tablet|vga|watchdog|audio0|rng0",
    "VM.Config.Options": (
        r"agent|autostart|bios|description|keyboard|localtime|migrate_downtime|migrate_speed|name|onboot|ostype"
        r"|protection|reboot|startdate|startup|tdf|template|tags"
    ),
    "VM.PowerMgmt": r"freeze",
    "VM.Config.Disk": r"boot|bootdisk|vmstatestorage",
    "VM.Config.Network": r"net\d+",
}
_CLOUD_INIT = re.compile(r"cicustom|cipassword|citype|ciuser|ciupgrade|nameserver|searchdomain|sshkeys|ipconfig\d+")
_BY_VALUE = re.compile(r"(unused|serial|usb|hostpci|virtiofs)\d+")


def check_key(call: Call, key: str, vmid: int) -> None:
    """Refuse a key that the caller may not touch; drives and devices are looked at by value, later."""
    if call.root or is_drive(key) or _BY_VALUE.fullmatch(key):
        return
    if _CLOUD_INIT.fullmatch(key):
        call.require(f"/vms/{vmid}", "VM.Config.Cloudinit", "VM.Config.Network", either=True)
        return
    needed = next((name for name, keys in _BY_PRIVILEGE.items() if re.fullmatch(keys, key)), None)
    if needed is None:
        raise Refused(f"only root can set '{key}' config")
    call.require(f"/vms/{vmid}", needed)
    if key == "startup":
        call.require("/", "Sys.Modify")


def check_value(call: Call, key: str, value: str, vmid: int) -> None:
    """Refuse a drive or device that the caller may not have."""
    if call.root:
        return
    if is_drive(key):
        _check_drive(call, key, value, vmid)
    elif key.startswith("unused"):
        call.require(f"/vms/{vmid}", "VM.Config.Disk")
    elif key.startswith("hostpci"):
        raise Refused(f"only root can set '{key}' config for non-mapped devices")
    elif key.startswith("serial"):
        if value != "socket":
            raise Refused(f"only root can modify '{key}' config for real devices")
        call.require(f"/vms/{vmid}", "VM.Config.HWType")
    elif key.startswith("usb"):
        call.require(f"/vms/{vmid}", "VM.Config.HWType")
        if not value.lower().startswith(("spice", "host=spice")):
            raise Refused(f"only root can set '{key}' config for real devices")


def _check_drive(call: Call, key: str, value: str, vmid: int) -> None:
    one = drive(key, value)
    if one.cloud_init:
        call.require(f"/vms/{vmid}", "VM.Config.Cloudinit", "VM.Config.CDROM")
    elif one.cdrom:
        call.require(f"/vms/{vmid}", "VM.Config.CDROM")
    else:
        call.require(f"/vms/{vmid}", "VM.Config.Disk")


def check_storages(call: Call, wanted: dict[str, str]) -> None:
    """Refuse drives on storages that are not there, hold no images, or are not the caller's to use."""
    for key, value in sorted(wanted.items()):
        one = drive(key, value)
        asked = NEW_VOLUME.fullmatch(one.file)
        if asked is None:
            continue
        call.require(f"/storage/{asked[1]}", "Datastore.AllocateSpace")
        storage = call.world.storages.get(asked[1])
        if "images" not in storage.content:
            raise no_images(storage.name)


def no_images(storage: str) -> Refused:
    """Return the refusal of a storage that holds no disks (recording 06, 16)."""
    text = f"storage '{storage}' does not support vm images"
    return Refused("Parameter verification failed.", status=400, errors={"storage": text})


def check_bridges(call: Call, networks: list[str]) -> None:
    """Refuse bridges that the caller may not use (recording 09, 59)."""
    for value in networks:
        found = re.search(r"bridge=([^,]+)", value)
        if found:
            call.require(f"/sdn/zones/localnetwork/{found[1]}", "SDN.Use")
