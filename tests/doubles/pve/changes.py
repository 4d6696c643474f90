"""One key of a config, set or deleted: in force at once, or pending while the VM runs.

Which keys a running VM takes at once: qemu-server src/PVE/QemuServer.pm vmconfig_hotplug_pending, e6352be;
recording 07-config, 141-160.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

from tests.doubles.pve.call import Call
from tests.doubles.pve.drives import drive, is_drive
from tests.doubles.pve.formats import split_list
from tests.doubles.pve.hardware import free, hardware, new_disk
from tests.doubles.pve.refusals import Refused, wrong
from tests.doubles.pve.rights import check_value
from tests.doubles.pve.tasks import Task
from tests.doubles.pve.timeline import Steps
from tests.doubles.pve.vm import VM

_AT_ONCE = re.compile(
    r"lock|name|onboot|shares|startup|description|protection|vmstatestorage|hookscript|tags|boot|template"
    r"|cicustom|cipassword|citype|ciuser|ciupgrade|nameserver|searchdomain|sshkeys|ipconfig\d+"
    r"|net\d+|(scsi|virtio|unused|usb)\d+|(ide|sata)\d"
)
_UNPLUG_SECONDS = 5.0
"""How long a device is waited for that the guest does not give back (recording 07, 153)."""
_LONGEST_PASSWORD = 512
"""Longer ones, crypt(3) refuses (recording 07, 131)."""


def delete_key(call: Call, vm: VM, key: str) -> Steps[None]:
    """Take a key out of the config; one that is not there is no error (recording 07, 14)."""
    value = vm.merged().get(key, vm.config.get(key))
    if value is None:
        return
    _out_of_boot_order(vm, key)
    if re.fullmatch(r"unused\d+", key):
        vm.check_protection(f"can't remove unused disk '{drive(key, str(value)).file}'")
        check_value(call, key, str(value), vm.vmid)
        volume = call.world.storages.volumes.get(drive(key, str(value)).file)
        if volume is not None and volume.vmid == vm.vmid:
            free(call.world, volume)
        vm.config.pop(key, None)
        return
    if is_drive(key):
        vm.check_protection(f"can't remove drive '{key}'")
    check_value(call, key, str(value), vm.vmid)
    vm.pending.pop(key, None)
    if key in vm.config:
        vm.pending_delete.add(key)
    if vm.running and (vm.vmid, key) in call.world.busy_devices:
        call.world.busy_devices.discard((vm.vmid, key))
        yield _UNPLUG_SECONDS
        raise wrong(key, f"hotplug problem - error on hot-unplugging device '{key}' - still busy in guest?\n")
    _take_effect(call, vm, key)
    yield 0.0


def set_value(call: Call, vm: VM, key: str, value: Any, *, owner: object, task: Task | None) -> Steps[None]:
    """Put a value into the config, in the form in which the server keeps it."""
    if key in vm.config and (is_drive(key) or re.fullmatch(r"(usb|hostpci|serial)\d+", key)):
        check_value(call, key, str(vm.config[key]), vm.vmid)
    check_value(call, key, str(value), vm.vmid)
    if is_drive(key):
        made = yield from new_disk(call.world, vm, drive(key, str(value)), owner, task.log.append if task else _quiet)
        value = made.text
        if made.cdrom or made.cloud_init:
            _into_boot_order(vm, key)
    else:
        value = kept_form(call, vm, key, value)
    if key == "cipassword":
        vm.config[key] = value
    elif vm.config.get(key) == value and key not in vm.pending:
        vm.pending_delete.discard(key)
    else:
        vm.pending[key] = value
        vm.pending_delete.discard(key)
    if vm.pending.get(key) == "" and key in {"description", "sshkeys"}:
        del vm.pending[key]
        vm.pending_delete.add(key)
    _take_effect(call, vm, key)
    yield 0.0


def kept_form(call: Call, vm: VM, key: str, value: Any) -> Any:
    """Return a value as it reads back (recordings 02 and 07)."""
    if key == "tags":
        return unique_tags(str(value))
    if key == "description":
        return kept_description(str(value))
    if key == "vmgenid" and str(value) == "1":
        return call.world.new_uuid()
    if key == "cipassword":
        return hashed(str(value))
    if key == "boot":
        _check_boot_order(vm, str(value))
    return value


def kept_description(text: str) -> str:
    """Return a description as it reads back: lines end where they end, without the blanks before (07, 37-69)."""
    return text.rstrip()


def unique_tags(text: str) -> str:
    """Return tags lower-cased, sorted and each once (recording 07, 70-91); none at all read back as a blank."""
    return ";".join(sorted({tag.lower() for tag in split_list(text)})) or " "


def hashed(password: str) -> str:
    """Return a password as a PUT keeps it; a create keeps it as it is."""
    if len(password) > _LONGEST_PASSWORD:
        raise Refused("Failed to hash password!")
    if re.match(r"\$(?:[156]|2[ay])(\$.+){2}", password):
        return password
    return f"$5$double${hashlib.sha256(password.encode()).hexdigest()}"


def _check_boot_order(vm: VM, value: str) -> None:
    found = re.search(r"order=([^,]*)", value)
    for key in split_list(found[1]) if found else []:
        if key not in vm.merged():
            raise Refused(f"invalid bootorder: device '{key}' does not exist'")


def _quiet(_: str) -> None:
    """Drop what a call without a log would log."""


def boot_order(vm: VM) -> list[str]:
    """Return the devices that the VM boots from."""
    found = re.search(r"order=([^,]*)", str(vm.merged().get("boot", "")))
    return split_list(found[1]) if found else []


def _out_of_boot_order(vm: VM, key: str) -> None:
    order = boot_order(vm)
    if key in order:
        order.remove(key)
        vm.pending["boot"] = f"order={';'.join(order)}"
        if not vm.running:
            vm.config["boot"] = vm.pending.pop("boot")


def _into_boot_order(vm: VM, key: str) -> None:
    order = boot_order(vm)
    if order and key not in order:
        vm.config["boot"] = f"order={';'.join([*order, key])}"


def _take_effect(call: Call, vm: VM, key: str) -> None:
    """Bring one key into force unless the running VM can not take it."""
    if vm.running and not _AT_ONCE.fullmatch(key):
        return
    if key in vm.pending_delete:
        vm.pending_delete.discard(key)
        _keep_unused(vm, key)
        vm.config.pop(key, None)
    elif key in vm.pending:
        if is_drive(key) and key in vm.config:
            _keep_unused(vm, key)
        vm.config[key] = vm.pending.pop(key)
    if vm.running:
        call.world.guests.relink(hardware(vm))


def _keep_unused(vm: VM, key: str) -> None:
    """Keep the volume of a drive that goes as unusedN, when it is the VM's own."""
    if not is_drive(key) or key not in vm.config:
        return
    one = drive(key, str(vm.config[key]))
    replaced = key in vm.pending and drive(key, str(vm.pending[key])).file == one.file
    if one.cdrom or one.cloud_init or one.file == "none" or replaced or f"-{vm.vmid}-" not in one.file:
        return
    free_key = next(f"unused{number}" for number in range(256) if f"unused{number}" not in vm.config)
    vm.config[free_key] = one.file
