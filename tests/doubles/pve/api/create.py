"""Making a VM (recordings 02-create-config and 03-power-agent, 1-20)."""

from __future__ import annotations

import re
from typing import Any

from tests.doubles.pve.api.config import check_public_keys
from tests.doubles.pve.call import Call, endpoint
from tests.doubles.pve.changes import kept_description, unique_tags
from tests.doubles.pve.drives import drive, is_drive, network
from tests.doubles.pve.hardware import free, new_disk, switch_on
from tests.doubles.pve.refusals import Refused, forbidden
from tests.doubles.pve.rights import check_bridges, check_key, check_storages
from tests.doubles.pve.tasks import Task
from tests.doubles.pve.timeline import Steps
from tests.doubles.pve.vm import VM

_NOT_CONFIG = (
    *("node", "vmid", "pool", "start", "archive", "storage", "force", "unique", "bwlimit"),
    *("live-restore", "import-working-storage"),
)


@endpoint("POST", "/nodes/{node}/qemu")
def create(call: Call) -> str:
    """Begin the task that makes a VM; an id that is taken is refused at once, most else in the task."""
    params, vmid = call.params, call.params["vmid"]
    pool = params.get("pool")
    check_pool(call, pool)
    if not (call.may(f"/vms/{vmid}", "VM.Allocate") or (pool and call.may(f"/pool/{pool}", "VM.Allocate"))):
        raise forbidden()
    wanted = {key: value for key, value in params.items() if key not in _NOT_CONFIG}
    check_public_keys(wanted)
    for key in wanted:
        check_key(call, key, vmid)
    check_storages(call, {key: str(value) for key, value in wanted.items() if is_drive(key)})
    check_bridges(call, [str(value) for key, value in wanted.items() if re.fullmatch(r"net\d+", key)])
    call.world.check_quorum()
    if vmid in call.world.vms:
        raise Refused(f"unable to create VM {vmid} - VM {vmid} already exists on node '{call.node}'")
    vm = VM(vmid=vmid, node=call.node, config={"lock": "create"})
    call.world.vms[vmid] = vm
    task = call.begin("qmcreate", vmid)
    return call.world.work(task, _create(call, task, vm, wanted))


def check_pool(call: Call, pool: str | None) -> None:
    """Refuse a pool that is not there: with the status of a missing right (recording 02, 82)."""
    if pool is not None and pool not in call.world.pools:
        raise forbidden(f"pool '{pool}' does not exist")


def _create(call: Call, task: Task, vm: VM, wanted: dict[str, Any]) -> Steps[None]:
    yield call.world.pace(call.world.timing.task)
    made: dict[str, Any] = {}
    try:
        for key in sorted(wanted):
            if is_drive(key):
                one = yield from new_disk(call.world, vm, drive(key, str(wanted[key])), task, task.log.append)
                made[key] = one.text
    except Refused as refused:
        for key, value in made.items():
            free(call.world, call.world.storages.find(drive(key, value).file))
        del call.world.vms[vm.vmid]
        raise Refused(f"unable to create VM {vm.vmid} - {refused.text}") from refused
    vm.config = {**_kept(call, wanted), **made, "meta": f"creation-qemu=10.0.2,ctime={int(call.world.now())}"}
    vm.config.setdefault("boot", _boot_order(vm.config))
    vm.config.setdefault("smbios1", f"uuid={call.world.new_uuid()}")
    vm.config.setdefault("vmgenid", call.world.new_uuid())
    pool = call.params.get("pool")
    if pool:
        call.world.pools[pool].vms.add(vm.vmid)
    if call.params.get("start"):
        task.log.append("Execute autostart")
        switch_on(call.world, vm)


def _kept(call: Call, wanted: dict[str, Any]) -> dict[str, Any]:
    """Return the values as they read back; the password is kept as it came (recording 02, 21)."""
    kept: dict[str, Any] = {}
    for key, value in wanted.items():
        if is_drive(key):
            continue
        if re.fullmatch(r"net\d+", key):
            kept[key] = network(str(value), call.world.new_address())
        elif key == "tags":
            kept[key] = unique_tags(str(value))
        elif key == "description":
            kept[key] = kept_description(str(value))
        else:
            kept[key] = value
    return kept


def _boot_order(config: dict[str, Any]) -> str:
    """Return the order that a VM gets when nobody named one: first disk, CD drives, first card (recording 07, 31)."""
    disks = [key for key in sorted(config) if is_drive(key) and key not in {"efidisk0", "tpmstate0"}]
    hard = [key for key in disks if "media=cdrom" not in str(config[key])][:1]
    discs = [key for key in disks if "media=cdrom" in str(config[key])][:1]
    cards = [key for key in sorted(config) if re.fullmatch(r"net\d+", key)][:1]
    order = [*hard, *discs, *cards]
    return f"order={';'.join(order)}" if order else " "
