"""Snapshots, as far as a clone client meets them (recordings 02, 29; 04, 33-36; 06, 49-87)."""

from __future__ import annotations

from typing import Any

from tests.doubles.pve.call import Call, endpoint
from tests.doubles.pve.drives import drives
from tests.doubles.pve.refusals import Refused
from tests.doubles.pve.tasks import Task
from tests.doubles.pve.timeline import Steps
from tests.doubles.pve.vm import VM

_OWN_KEYS = ("snaptime", "parent")


@endpoint("GET", "/nodes/{node}/qemu/{vmid}/snapshot")
def of_vm(call: Call) -> list[dict[str, Any]]:
    """Return the snapshots, and the VM itself as `current`."""
    vm = call.vm
    rows = [
        {"name": name, "description": config.get("description", ""), "snaptime": config["snaptime"], "vmstate": 0}
        | ({"parent": config["parent"]} if config.get("parent") else {})
        for name, config in vm.snapshots.items()
    ]
    here = {"name": "current", "description": "You are here!", "digest": vm.digest(), "running": int(vm.running)}
    return [*rows, here | ({"parent": vm.config["parent"]} if vm.config.get("parent") else {})]


@endpoint("POST", "/nodes/{node}/qemu/{vmid}/snapshot")
def take(call: Call) -> str:
    """Begin the task that takes a snapshot."""
    name = call.params["snapname"]
    if name in {"current", "pending"}:
        raise Refused(f"unable to use snapshot name '{name}' (reserved name)")
    task = call.begin("qmsnapshot", call.vm.vmid)
    return call.world.work(task, _take(call, task, name))


def _take(call: Call, task: Task, name: str) -> Steps[None]:
    seconds = call.world.pace(call.world.timing.task)
    yield from call.locked(call.params["vmid"], task)
    vm = call.vm
    vm.check_lock()
    if vm.template:
        raise Refused("you can't take a snapshot if it's a template")
    if name in vm.snapshots:
        raise Refused(f"snapshot name '{name}' already used")
    disks = [one for one in drives(vm.config) if one.owned and not one.cloud_init]
    if not all(call.world.storages.can("snapshot", one.file) for one in disks):
        raise Refused("snapshot feature is not available")
    yield seconds
    task.log += [f"snapshotting 'drive-{one.key}' ({one.file})" for one in disks]
    kept = {key: value for key, value in vm.config.items() if key not in _OWN_KEYS}
    kept["description"] = call.params.get("description", "")
    kept["snaptime"] = int(call.world.now())
    if vm.config.get("parent"):
        kept["parent"] = vm.config["parent"]
    vm.snapshots[name] = kept
    vm.config["parent"] = name


@endpoint("GET", "/nodes/{node}/qemu/{vmid}/snapshot/{snapname}/config")
def config(call: Call) -> dict[str, Any]:
    """Return a snapshot's config."""
    return dict(_there(call, call.vm))


def _there(call: Call, vm: VM) -> dict[str, Any]:
    name = call.params["snapname"]
    if name not in vm.snapshots:
        raise Refused(f"snapshot '{name}' does not exist")
    return vm.snapshots[name]


@endpoint("POST", "/nodes/{node}/qemu/{vmid}/snapshot/{snapname}/rollback")
def rollback(call: Call) -> str:
    """Begin the task that goes back to a snapshot; one that is missing is missed by the task (recording 06, 72)."""
    task = call.begin("qmrollback", call.vm.vmid)

    def body() -> Steps[None]:
        seconds = call.world.pace(call.world.timing.task)
        yield from call.locked(call.params["vmid"], task)
        vm = call.vm
        yield seconds
        kept = _there(call, vm)
        vm.config = {key: value for key, value in kept.items() if key not in _OWN_KEYS}
        vm.config["parent"] = call.params["snapname"]
        vm.running = False

    return call.world.work(task, body())


@endpoint("DELETE", "/nodes/{node}/qemu/{vmid}/snapshot/{snapname}")
def delete(call: Call) -> str:
    """Begin the task that deletes a snapshot."""
    task = call.begin("qmdelsnapshot", call.vm.vmid)

    def body() -> Steps[None]:
        seconds = call.world.pace(call.world.timing.task)
        yield from call.locked(call.params["vmid"], task)
        vm = call.vm
        yield seconds
        gone = _there(call, vm)
        del vm.snapshots[call.params["snapname"]]
        for config in [vm.config, *vm.snapshots.values()]:
            if config.get("parent") == call.params["snapname"]:
                config.pop("parent")
                if gone.get("parent"):
                    config["parent"] = gone["parent"]

    return call.world.work(task, body())
