"""Deleting a VM: refused at once or late, and done with only a warning for what could not be removed.

qemu-server src/PVE/API2/Qemu.pm and QemuServer.pm destroy_vm, e6352be; recordings 06, 131-134 and 08.
"""

from __future__ import annotations

from tests.doubles.pve.api.power import only_root_skips_locks
from tests.doubles.pve.call import Call, endpoint
from tests.doubles.pve.drives import drive, drives, unused
from tests.doubles.pve.hardware import free, hardware
from tests.doubles.pve.refusals import Refused
from tests.doubles.pve.tasks import Task
from tests.doubles.pve.timeline import Steps
from tests.doubles.pve.vm import VM


@endpoint("DELETE", "/nodes/{node}/qemu/{vmid}")
def destroy(call: Call) -> str:
    """Begin the task that deletes a VM."""
    skip = only_root_skips_locks(call)
    _check(call)
    call.world.check_quorum()
    task = call.begin("qmdestroy", call.vm.vmid)
    return call.world.work(task, _destroy(call, task, skip=skip))


def _check(call: Call) -> None:
    vm = call.vm
    vm.check_protection(f"can't remove VM {vm.vmid}")
    if vm.managed and not call.params.get("purge"):
        raise Refused(f"unable to remove VM {vm.vmid} - used in HA resources and purge parameter not set.")
    if vm.vmid in call.world.replicated and not call.params.get("purge"):
        job = f"There is a replication job '{vm.vmid}-0' for guest '{vm.vmid}'"
        raise Refused(f"{job} - Please remove that first.")
    if vm.running:
        raise Refused(f"VM {vm.vmid} is running - destroy failed")


def _destroy(call: Call, task: Task, *, skip: bool) -> Steps[None]:
    world = call.world
    seconds = world.pace(world.timing.task)
    yield from call.locked(call.params["vmid"], task)
    _check(call)
    vm = call.vm
    if not skip:
        vm.check_lock()
    yield seconds
    if vm.template:
        _check_children(call, vm)
    for volid in _named(vm):
        _remove(call, task, vm, volid)
    if call.params.get("destroy-unreferenced-disks"):
        for volume in world.storages.owned_by(vm.vmid):
            _remove(call, task, vm, volume.id)
    if call.params.get("purge"):
        task.log.append(f"purging VM {vm.vmid} from related configurations..")
        world.replicated.pop(vm.vmid, None)
        if vm.managed:
            task.log.append(f"NOTE: removed VM {vm.vmid} from HA resource configuration.")
    _forget(call, vm)


def _named(vm: VM) -> list[str]:
    """Return the volumes that the config names, unused ones and those of snapshots among them."""
    return list(dict.fromkeys([*vm.volumes(), *(drive(key, value).file for key, value in unused(vm.config).items())]))


def _check_children(call: Call, vm: VM) -> None:
    """Refuse a template whose disks linked clones still read; before anything is removed (recording 06, 131-135)."""
    disks = {one.file for one in drives(vm.config) if one.owned}
    for volid in sorted(disks, key=lambda volid: (volid not in hardware(vm).disks[:1], volid)):
        volume = call.world.storages.volumes.get(volid)
        if volume is not None and call.world.storages.children(volume):
            raise Refused(f"base volume '{volid}' is still in use by linked cloned")


def _remove(call: Call, task: Task, vm: VM, volid: str) -> None:
    """Free a volume that is the VM's own; one that can not be freed is a warning, and the VM goes all the same."""
    volume = call.world.storages.volumes.get(volid)
    if volume is None or volume.vmid != vm.vmid:
        return
    if volume.missing:
        where = call.world.storages.get(volume.storage).file_of(volume.name)
        task.log.append(f"disk image '{where}' does not exist")
    try:
        free(call.world, volume)
    except Refused as refused:
        task.warn(f"Could not remove disk '{volid}', check manually: {refused.text}")


def _forget(call: Call, vm: VM) -> None:
    """Take the VM out of everything: config, pools, access lists."""
    world = call.world
    for pool in world.pools.values():
        pool.vms.discard(vm.vmid)
    world.access.entries = [row for row in world.access.entries if row.path != f"/vms/{vm.vmid}"]
    world.firewalls.pop(vm.vmid, None)
    world.vms.pop(vm.vmid, None)
