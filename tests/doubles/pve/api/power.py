"""On, off, pause: tasks that wait for the config's lock and fail late (recordings 03, 04b, 07)."""

from __future__ import annotations

import re
from collections.abc import Callable

from tests.doubles.pve.call import Call, endpoint
from tests.doubles.pve.drives import bridge, drives
from tests.doubles.pve.hardware import switch_off, switch_on
from tests.doubles.pve.refusals import Refused, wrong
from tests.doubles.pve.tasks import Task
from tests.doubles.pve.timeline import Steps
from tests.doubles.pve.vm import VM
from tests.doubles.pve.world import World

_SHUTDOWN_SECONDS = 180
"""What a guest gets when the call names no timeout; qemu-server src/PVE/QemuServer.pm vm_shutdown, e6352be."""
_PING_SECONDS = 3.0


def only_root_skips_locks(call: Call) -> bool:
    """Return whether the call ignores the lock in the config, which only root@pam may (recording 09, 102)."""
    if call.params.get("skiplock") and not call.root:
        raise wrong("skiplock", "Only root may use this option.")
    return bool(call.params.get("skiplock"))


@endpoint("POST", "/nodes/{node}/qemu/{vmid}/status/start")
def start(call: Call) -> str:
    """Begin the task that starts a VM."""
    skip = only_root_skips_locks(call)
    call.world.check_quorum()
    task = call.begin("qmstart", call.params["vmid"])
    return call.world.work(task, _start(call, task, skip=skip))


def _start(call: Call, task: Task, *, skip: bool) -> Steps[None]:
    seconds = call.world.pace(call.world.timing.start)
    yield from call.locked(call.params["vmid"], task)
    vm = call.vm
    if vm.template:
        raise Refused("you can't start a vm if it's a template")
    if not skip:
        vm.check_lock()
    if vm.running:
        raise Refused(f"VM {vm.vmid} already running")
    yield seconds
    _check_parts(call.world, vm, task)
    failure = call.world.start_failures.pop(vm.vmid, None)
    if failure is not None:
        raise Refused(failure)
    if vm.config.get("bios") == "ovmf" and "efidisk0" not in vm.config:
        task.warn("no efidisk configured! Using temporary efivars disk.")
    switch_on(call.world, vm)


def _check_parts(world: World, vm: VM, task: Task) -> None:
    """Refuse a VM that lacks a bridge or a volume (recordings 03, 22-24 and 08, 77-80)."""
    merged = vm.merged()
    if any(one.cloud_init for one in drives(merged)):
        task.log.append("generating cloud-init ISO")
        cloud = re.compile(r"ci\w+|ipconfig\d+|sshkeys|nameserver|searchdomain|name")
        vm.cloud_init = {key: value for key, value in merged.items() if cloud.fullmatch(key)}
    for one in drives(merged):
        if one.file != "none":
            world.storages.find(one.file)
    for key, value in merged.items():
        missing = re.fullmatch(r"net\d+", key) and bridge(str(value)) not in {"", *world.bridges}
        if missing:
            raise Refused(f"bridge '{bridge(str(value))}' does not exist")


@endpoint("POST", "/nodes/{node}/qemu/{vmid}/status/stop")
def stop(call: Call) -> str:
    """Begin the task that pulls a VM's plug; one that is off is stopped already (recording 03, 36)."""
    only_root_skips_locks(call)
    task = call.begin("qmstop", call.params["vmid"])
    return call.world.work(task, _stop(call, task))


def _stop(call: Call, task: Task) -> Steps[None]:
    seconds = call.world.pace(call.world.timing.stop)
    vm = call.world.vms.get(call.params["vmid"])
    if vm is None:
        raise Refused(f"unable to find configuration file for VM {call.params['vmid']} on node '{call.node}'")
    if not vm.running:
        yield seconds
        return
    yield from call.locked(vm.vmid, task)
    yield seconds
    switch_off(call.world, vm)


@endpoint("POST", "/nodes/{node}/qemu/{vmid}/status/shutdown")
def shutdown(call: Call) -> str:
    """Begin the task that asks the guest to end (recordings 04b, 31-35 and 07, 163-170)."""
    only_root_skips_locks(call)
    task = call.begin("qmshutdown", call.params["vmid"])
    return call.world.work(task, _shutdown(call, task))


def _shutdown(call: Call, task: Task) -> Steps[None]:
    seconds = call.world.pace(call.world.timing.stop)
    vm, patience = call.vm, call.params.get("timeout", _SHUTDOWN_SECONDS)
    if not vm.running:
        yield seconds
        return
    yield from call.locked(vm.vmid, task)
    if agent_configured(vm) and not call.world.guests.agent_answers(vm.vmid):
        failed = "qga command 'guest-ping' failed - got timeout"
        task.log.append(f"QEMU Guest Agent is not running - VM {vm.vmid} {failed}")
        yield _PING_SECONDS
    if call.world.guests.shuts_down(vm.vmid):
        yield seconds
        switch_off(call.world, vm)
        return
    yield float(patience)
    if not call.params.get("forceStop"):
        raise Refused("VM quit/powerdown failed - got timeout")
    task.log.append("VM quit/powerdown failed - terminating now with SIGTERM")
    switch_off(call.world, vm)


def agent_configured(vm: VM) -> bool:
    """Tell whether the config says that there is an agent."""
    return str(vm.config.get("agent", "0")).removeprefix("enabled=").startswith("1")


Change = Callable[[World, VM], None]


def _begin(call: Call, kind: str, change: Change) -> str:
    """Begin a task that needs a running VM; one that is off is refused at once (recording 03, 37-40)."""
    only_root_skips_locks(call)
    if not call.vm.running:
        raise Refused(f"VM {call.vm.vmid} not running")
    task = call.begin(kind, call.vm.vmid)

    def body() -> Steps[None]:
        seconds = call.world.pace(call.world.timing.task)
        yield from call.locked(call.vm.vmid, task)
        yield seconds
        change(call.world, call.vm)

    return call.world.work(task, body())


@endpoint("POST", "/nodes/{node}/qemu/{vmid}/status/reset")
def reset(call: Call) -> str:
    """Begin the task that presses the reset button."""
    return _begin(call, "qmreset", _again)


@endpoint("POST", "/nodes/{node}/qemu/{vmid}/status/reboot")
def reboot(call: Call) -> str:
    """Begin the task that restarts a guest."""
    return _begin(call, "qmreboot", _again)


@endpoint("POST", "/nodes/{node}/qemu/{vmid}/status/suspend")
def suspend(call: Call) -> str:
    """Begin the task that pauses a VM: it stays "running", and its agent is silent (recording 04b, 40-46)."""
    return _begin(call, "qmpause", lambda _, vm: setattr(vm, "paused", True))


@endpoint("POST", "/nodes/{node}/qemu/{vmid}/status/resume")
def resume(call: Call) -> str:
    """Begin the task that lets a paused VM go on."""
    return _begin(call, "qmresume", lambda _, vm: setattr(vm, "paused", False))


def _again(world: World, vm: VM) -> None:
    world.guests.end(vm.vmid)
    switch_on(world, vm)
