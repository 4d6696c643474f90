"""Turning a VM into a template (recording 06-clone-stopped-template, 83-127)."""

from __future__ import annotations

import re

from tests.doubles.pve.call import Call, endpoint
from tests.doubles.pve.drives import drives
from tests.doubles.pve.refusals import Refused
from tests.doubles.pve.tasks import Task
from tests.doubles.pve.timeline import Steps
from tests.doubles.pve.vm import VM


@endpoint("POST", "/nodes/{node}/qemu/{vmid}/template")
def template(call: Call) -> str:
    """Begin the task that makes a template."""
    _check(call, call.vm)
    call.world.check_quorum()
    task = call.begin("qmtemplate", call.vm.vmid)
    return call.world.work(task, _convert(call, task))


def _check(call: Call, vm: VM) -> None:
    vm.check_lock()
    if vm.snapshots:
        raise Refused("unable to create template, because VM contains snapshots")
    if vm.template and not call.params.get("disk"):
        raise Refused("you can't convert a template to a template")
    if vm.running:
        raise Refused("you can't convert a VM to template if VM is running")


def _convert(call: Call, task: Task) -> Steps[None]:
    seconds = call.world.pace(call.world.timing.task)
    yield from call.locked(call.params["vmid"], task)
    vm, only = call.vm, call.params.get("disk")
    _check(call, vm)
    vm.config["template"] = 1
    yield seconds
    for one in drives(vm.config):
        if one.owned and not one.cloud_init and only in {None, one.key}:
            make_base(call, vm, one.key)


def make_base(call: Call, vm: VM, key: str) -> None:
    """Rename a disk's volume to base-...; a storage that can not have templates is passed over in silence."""
    one = next(one for one in drives(vm.config) if one.key == key)
    storages = call.world.storages
    if not storages.can("template", one.file) or storages.find(one.file).base:
        return
    volume = storages.volumes.pop(one.file)
    head, slash, own = volume.name.rpartition("/")
    volume.name = head + slash + re.sub(r"^vm-", "base-", own)
    volume.made = call.world.now()
    storages.add(volume)
    call.world.guests.copied(one.file, volume.id)
    call.world.guests.freed(one.file)
    one.file = volume.id
    vm.config[key] = one.text
