"""Cloning: what is refused at once, the task that copies, and the point in time at its end.

The checks and the order are those of qemu-server src/PVE/API2/Qemu.pm clone_vm, e6352be; recordings 04 to 06.

- The new config is at first `lock: clone` and nothing else; once the first disk is there it is whole but for the
  disks that are still to come (recording 04, 6).
- A running source is mirrored disk by disk, and only when every mirror is ready the file systems are frozen and
  the mirrors cut off: the clone is the source as it is **then**, at the end.
- An error or a stop frees the new volumes and takes the config away. A worker that is killed does neither.
"""

from __future__ import annotations

from typing import Any

from tests.doubles.pve.access import ROOT
from tests.doubles.pve.api.create import check_pool
from tests.doubles.pve.call import Call, endpoint
from tests.doubles.pve.clone_disks import Copy, copied_disk, cut_off
from tests.doubles.pve.drives import drives, with_address
from tests.doubles.pve.hardware import free
from tests.doubles.pve.locks import CLONE_SECONDS, config_file
from tests.doubles.pve.refusals import Interrupted, Refused
from tests.doubles.pve.rights import check_bridges, no_images
from tests.doubles.pve.tasks import Task
from tests.doubles.pve.timeline import Steps
from tests.doubles.pve.vm import VM, Config

_SETTLE_SECONDS = 1.0
"""The pause before the volumes of a failed clone are freed."""
_NOT_COPIED = ("parent", "snaptime", "vmstate", "snapstate", "template", "lock")


@endpoint("POST", "/nodes/{node}/qemu/{vmid}/clone")
def clone(call: Call) -> str:
    """Begin the task that clones a VM, a template or a snapshot."""
    plan = _checked(call, _source(call))
    task = call.begin("qmclone", call.params["vmid"])
    return call.world.work(task, _clone(call, task, running=plan.source.running))


class Plan:
    """What a clone copies, and how."""

    def __init__(self, call: Call, source: VM) -> None:
        params = call.params
        self.source = source
        self.newid: int = params["newid"]
        snapshot = params.get("snapname")
        self.snapshot = str(snapshot or "")
        if snapshot and snapshot not in source.snapshots:
            raise Refused(f"snapshot '{snapshot}' does not exist")
        self.config: Config = dict(source.snapshots[snapshot] if snapshot else source.config)
        self.full = bool(params.get("full", not source.template))
        for name in ("storage", "format"):
            if params.get(name) is not None and not self.full:
                raise Refused(f"parameter '{name}' not allowed for linked clones")


def _source(call: Call) -> VM:
    """Return the source; a missing one has a text of its own here (recording 06, 33)."""
    check_pool(call, call.params.get("pool"))
    source = call.world.vms.get(call.params["vmid"])
    if source is None or source.node != call.node:
        raise Refused(f"unable to find configuration file for VM {call.params['vmid']} on node '{call.node}'")
    return source


def _checked(call: Call, source: VM) -> Plan:
    """Refuse what can be refused without copying; called again once the locks are held."""
    params, world = call.params, call.world
    target = params.get("target")
    if target not in {None, "localhost", call.node} and target not in world.nodes:
        raise Refused(f"no such cluster node '{target}'")
    if params.get("storage") and "images" not in world.storages.usable(params["storage"], call.node).content:
        raise no_images(params["storage"])
    world.check_quorum()
    source.check_lock()
    plan = Plan(call, source)
    _check_rights(call, plan)
    if target not in {None, "localhost", call.node}:
        _check_shared(call, plan, str(target))
    if plan.newid in world.vms:
        raise Refused(f"unable to create VM {plan.newid}: config file already exists")
    _check_features(call, plan)
    return plan


def _check_rights(call: Call, plan: Plan) -> None:
    """Refuse a caller without space on the storages or without the bridges (recording 09, 58-60)."""
    for one in drives(plan.config):
        if one.file != "none" and not one.cdrom:
            storage = call.params.get("storage") or one.file.split(":")[0]
            call.require(f"/storage/{storage}", "Datastore.AllocateSpace")
    if call.caller.name != ROOT:
        check_bridges(call, [str(value) for key, value in plan.config.items() if key.startswith("net")])


def _check_shared(call: Call, plan: Plan, target: str) -> None:
    """Refuse another node for disks that are only here."""
    storage = call.params.get("storage")
    if storage:
        found = call.world.storages.usable(storage, target)
        if not found.shared:
            raise Refused(f"can't clone to non-shared storage '{storage}'")
    used = {one.file.split(":")[0] for one in drives(plan.config) if one.file != "none"}
    if not all(call.world.storages.get(name).shared for name in used):
        raise Refused(f"can't clone VM to node '{target}' (VM uses local storage)")


def _check_features(call: Call, plan: Plan) -> None:
    """Refuse disks that their storage can not copy or link in this way (recordings 04, 2 and 06, 19)."""
    running = plan.source.running and not plan.snapshot
    for one in drives(plan.config):
        if not one.owned:
            continue
        if plan.full and running and one.key == "tpmstate0":
            raise Refused("cannot clone TPM state while VM is running")
        if one.file not in call.world.storages.volumes or call.world.storages.volumes[one.file].missing:
            continue  # a volume whose file is gone is missed only by the task (recording 08, 81-84)
        whole = plan.full or one.cloud_init or one.key == "tpmstate0"
        if not call.world.storages.can("copy" if whole else "linked", one.file, snapshot=bool(plan.snapshot)):
            of_snapshot = " a snapshot of" if plan.snapshot else ""
            word = "Full" if whole else "Linked"
            raise Refused(f"{word} clone feature is not supported for{of_snapshot} '{one.file}' ({one.key})")


def _clone(call: Call, task: Task, *, running: bool) -> Steps[None]:
    world, newid = call.world, call.params["newid"]
    said, world.timing.next_task = world.timing.next_task, None
    shared = not running
    source_file = config_file(call.params["vmid"])
    log = task.log.append
    yield from world.locks.acquire(source_file, task, seconds=CLONE_SECONDS, shared=shared, log=log)
    yield from world.locks.acquire(config_file(newid), task, seconds=CLONE_SECONDS, log=log)
    if call.vm.running != running:
        raise Refused("unexpected state change")
    plan = _checked(call, call.vm)
    task.log.append(f"creating a clone of VM {call.vm.vmid} with ID {newid}")
    new = VM(vmid=newid, node=call.node, config={"lock": "clone"})
    world.vms[newid] = new
    if call.vm.vmid in world.firewalls:
        world.firewalls[newid] = dict(world.firewalls[call.vm.vmid])
    copy = Copy(call=call, task=task, plan_full=plan.full, running=running and not plan.snapshot, seconds=said)
    try:
        yield from _copy_disks(plan, new, copy)
    except (Refused, Interrupted) as error:
        yield from _undo(call, copy, newid)
        raise Refused(f"clone failed: {copy.what_failed(error)}") from error
    _finish(call, new)


def _copy_disks(plan: Plan, new: VM, copy: Copy) -> Steps[None]:
    """Copy disk by disk; the config is written after each of them."""
    wanted = _new_config(copy.call, plan)
    mine = [one for one in drives(plan.config) if one.owned]
    for one in mine:
        copy.call.world.storages.find(one.file)
    if not mine:
        yield copy.seconds or 0.0
        new.config = {**wanted, "lock": "clone"}
    for one in mine:
        made = yield from copied_disk(copy, one, new.vmid, share=1 / len(mine))
        wanted[one.key] = made.text
        new.config = {**wanted, "lock": "clone"}
    cut_off(copy)


def _new_config(call: Call, plan: Plan) -> Config:
    """Return the config of the clone without its disks: everything is copied that is not changed by name."""
    kept: Config = {}
    for key, value in plan.config.items():
        if key in _NOT_COPIED or key.startswith("unused"):
            continue
        kept[key] = with_address(str(value), call.world.new_address()) if key.startswith("net") else value
    for one in drives(plan.config):
        if one.owned:
            kept.pop(one.key)
    kept["smbios1"] = _new_smbios(str(kept.get("smbios1", "")), call.world.new_uuid())
    if kept.get("vmgenid"):
        kept["vmgenid"] = call.world.new_uuid()
    kept["name"] = call.params.get("name") or f"Copy-of-VM-{plan.config.get('name', plan.source.vmid)}"
    if call.params.get("description"):
        kept["description"] = str(call.params["description"]).rstrip()
    return kept


def _new_smbios(value: str, identity: str) -> str:
    """Return the rest as it was, in the order of names, with another uuid (recording 04, 6)."""
    parts: dict[str, Any] = dict(part.split("=", 1) for part in value.split(",") if "=" in part)
    parts["uuid"] = identity
    return ",".join(f"{name}={parts[name]}" for name in sorted(parts))


def _undo(call: Call, copy: Copy, newid: int) -> Steps[None]:
    yield _SETTLE_SECONDS
    for volume in copy.made:
        free(call.world, volume)
    call.world.firewalls.pop(newid, None)
    del call.world.vms[newid]


def _finish(call: Call, new: VM) -> None:
    new.config.pop("lock", None)
    target = call.params.get("target")
    if target in call.world.nodes:
        new.node = str(target)
    pool = call.params.get("pool")
    if pool:
        call.world.pools[pool].vms.add(new.vmid)
