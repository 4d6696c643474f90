"""VMs as they are listed and looked at (recordings 02-create-config and 04-clone-running)."""

from __future__ import annotations

from typing import Any

from tests.doubles.pve.call import Call, endpoint
from tests.doubles.pve.drives import drives
from tests.doubles.pve.refusals import Refused
from tests.doubles.pve.rows import current, status_row


@endpoint("GET", "/nodes/{node}/qemu")
def of_node(call: Call) -> list[dict[str, Any]]:
    """Return the VMs of a node that the caller may audit."""
    there = [vm for vm in call.world.vms.values() if vm.node == call.node]
    return [status_row(vm, call.world.now()) for vm in there if call.may(f"/vms/{vm.vmid}", "VM.Audit")]


@endpoint("GET", "/nodes/{node}/qemu/{vmid}/status/current")
def status(call: Call) -> dict[str, Any]:
    """Return how a VM is now."""
    return current(call.vm, call.world.now())


@endpoint("GET", "/nodes/{node}/qemu/{vmid}/config")
def config(call: Call) -> dict[str, Any]:
    """Return a config with what is pending in it, or with `current` as it is in force (recording 07, 145-146)."""
    vm = call.vm
    snapshot = call.params.get("snapshot")
    if snapshot is not None:
        if snapshot not in vm.snapshots:
            raise Refused(f"snapshot '{snapshot}' does not exist")
        return {**_masked(vm.snapshots[snapshot]), "digest": vm.digest()}
    shown = vm.config if call.params.get("current") else vm.merged()
    return {**_masked(shown), "digest": vm.digest()}


@endpoint("GET", "/nodes/{node}/qemu/{vmid}/pending")
def pending(call: Call) -> list[dict[str, Any]]:
    """Return each key with its value in force and what is to become of it (recording 07, 147-154)."""
    vm = call.vm
    rows: dict[str, dict[str, Any]] = {key: {"key": key, "value": v} for key, v in _masked(vm.config).items()}
    for key, value in _masked(vm.pending).items():
        rows.setdefault(key, {"key": key})["pending"] = value
    for key in vm.pending_delete:
        rows.setdefault(key, {"key": key})["delete"] = 1
    return [*rows.values(), {"key": "digest", "value": vm.digest()}]


def _masked(config: dict[str, Any]) -> dict[str, Any]:
    """Hide the password, as every reader of a config finds it."""
    return {key: "**********" if key == "cipassword" else value for key, value in config.items()}


@endpoint("GET", "/nodes/{node}/qemu/{vmid}/feature")
def feature(call: Call) -> dict[str, Any]:
    """Say whether every disk's storage can do that (recordings 02, 26-28 and 06, 100)."""
    vm, wanted = call.vm, call.params["feature"]
    what = {"clone": "linked", "copy": "copy", "snapshot": "snapshot"}[wanted]
    disks = [one for one in drives(vm.config) if one.owned and not one.cloud_init]
    if wanted == "clone":
        disks = [one for one in disks if one.key != "tpmstate0"]
    able = all(call.world.storages.can(what, one.file) for one in disks)
    return {"hasFeature": int(able), "nodes": list(call.world.nodes)}
