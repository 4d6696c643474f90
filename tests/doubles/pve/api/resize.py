"""Growing a disk: a task in which everything is looked at, the digest too (README 22; recording 06, 137-140)."""

from __future__ import annotations

from tests.doubles.pve.api.power import only_root_skips_locks
from tests.doubles.pve.call import Call, endpoint
from tests.doubles.pve.drives import drive, size_text
from tests.doubles.pve.hardware import grown
from tests.doubles.pve.refusals import Refused
from tests.doubles.pve.tasks import Task
from tests.doubles.pve.timeline import Steps


@endpoint("PUT", "/nodes/{node}/qemu/{vmid}/resize")
def resize(call: Call) -> str:
    """Begin the task that grows a disk."""
    skip = only_root_skips_locks(call)
    task = call.begin("resize", call.params["vmid"])
    return call.world.work(task, _resize(call, task, skip=skip))


def _resize(call: Call, task: Task, *, skip: bool) -> Steps[None]:
    seconds = call.world.pace(call.world.timing.task)
    yield from call.locked(call.params["vmid"], task)
    vm, key = call.vm, call.params["disk"]
    vm.check_digest(call.params.get("digest"))
    if not skip:
        vm.check_lock()
    if key not in vm.config:
        raise Refused(f"disk '{key}' does not exist")
    one = drive(key, str(vm.config[key]))
    if one.cdrom or one.cloud_init:
        raise Refused("you can't resize a cdrom")
    call.require(f"/storage/{one.file.split(':')[0]}", "Datastore.AllocateSpace")
    volume = call.world.storages.find(one.file)
    size = grown(volume, call.params["size"])
    if size < volume.size:
        raise Refused("shrinking disks is not supported")
    yield seconds
    storage = call.world.storages.get(volume.storage)
    if volume.base and storage.files:
        _refuse_base(task, storage.file_of(volume.name), volume.format, storage.preallocation, size)
    volume.size = size
    one.options["size"] = size_text(size)
    vm.config[key] = one.text


def _refuse_base(task: Task, path: str, form: str, preallocation: str, size: int) -> None:
    """Refuse a template's file, which is immutable; the text is qemu-img's (recording 06, 139-140)."""
    task.log.append(f"qemu-img: Could not open '{path}': Could not open '{path}': Operation not permitted")
    command = f"/usr/bin/qemu-img resize '--preallocation={preallocation}' -f {form} {path} {size}"
    raise Refused(f"command '{command}' failed: exit code 1")
