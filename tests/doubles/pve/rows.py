"""How VMs look in lists: live where the server looks itself, a round old where it does not.

In cluster/resources `tags` and `lock` are live, everything else of a VM comes from the last status round: a VM
that is younger has status "unknown" and neither name nor memory (recordings 02, 34 and 04, 10).
"""

from __future__ import annotations

import re
from typing import Any

from tests.doubles.pve.drives import drive, drives, size_bytes
from tests.doubles.pve.vm import VM

_PRESSURES = [f"pressure{what}{how}" for what in ("cpu", "io", "memory") for how in ("full", "some")]


def boot_disk_bytes(vm: VM) -> int:
    """Return the size of the first disk in the boot order, or of the first disk."""
    found = re.search(r"order=([^,]+)", str(vm.config.get("boot", "")))
    order = found[1].split(";") if found else [one.key for one in drives(vm.config)]
    for key in order:
        one = drive(key, str(vm.config.get(key, "none")))
        if key in vm.config and not one.cdrom and not one.cloud_init and "size" in one.options:
            return size_bytes(one.options["size"])
    return 0


def memory_bytes(vm: VM) -> int:
    """Return the memory that the VM may have."""
    return int(str(vm.config.get("memory", 512)).removeprefix("current=")) * 1024**2


def cpus(vm: VM) -> int:
    """Return how many CPUs the VM has."""
    return int(vm.config.get("sockets", 1)) * int(vm.config.get("cores", 1))


def status_row(vm: VM, now: float) -> dict[str, Any]:
    """Return a VM as the node's own list shows it (recordings 02, 24 and 04, 11)."""
    row: dict[str, Any] = {"vmid": vm.vmid, "name": vm.name, "status": "running" if vm.running else "stopped"}
    row |= {"cpu": 0, "cpus": cpus(vm), "mem": 0, "memhost": 0, "maxmem": memory_bytes(vm)}
    row |= {"disk": 0, "maxdisk": boot_disk_bytes(vm), "netin": 0, "netout": 0, "uptime": 0}
    if vm.running:
        row |= {"uptime": int(now - vm.started), "pid": vm.pid, **dict.fromkeys(_PRESSURES, 0)}
    if vm.template:
        row["template"] = 1
    row |= {key: vm.config[key] for key in ("lock", "tags", "shares") if vm.config.get(key)}
    if vm.config.get("balloon"):
        row["balloon_min"] = int(vm.config["balloon"]) * 1024**2
    if any(re.fullmatch(r"serial\d", key) for key in vm.config):
        row["serial"] = 1
    return row


def current(vm: VM, now: float) -> dict[str, Any]:
    """Return a VM's status as the server sees it now (recordings 02, 19 and 03, 61)."""
    row = status_row(vm, now)
    row["ha"] = {"managed": int(vm.managed)}
    if "vga" in vm.config:
        row["clipboard"] = None
    row["qmpstatus"] = "stopped" if not vm.running else "paused" if vm.paused else "running"
    if str(vm.config.get("agent", "0")).replace("enabled=", "").startswith("1"):
        row["agent"] = 1
    cards = [key for key in vm.config if re.fullmatch(r"net\d+", key)]
    if vm.running:
        row["nics"] = {f"tap{vm.vmid}i{key[3:]}": {"netin": 0, "netout": 0} for key in cards}
    return row if not (vm.running and not cards) else {key: value for key, value in row.items() if key != "nics"}


def sight(vm: VM, now: float) -> dict[str, Any]:
    """Return what a status round sees of a VM."""
    row = {key: value for key, value in status_row(vm, now).items() if key in _SEEN}
    return {**row, "maxcpu": cpus(vm), "template": int(vm.template), "diskread": 0, "diskwrite": 0}


_SEEN = ("name", "status", "cpu", "mem", "memhost", "maxmem", "disk", "maxdisk", "netin", "netout", "uptime")


def resource(vm: VM, *, live: bool = True, pool: str = "") -> dict[str, Any]:
    """Return a VM's row in cluster/resources; a pool's list has neither tags nor lock (recording 08, 37)."""
    row: dict[str, Any] = {"id": f"qemu/{vm.vmid}", "type": "qemu", "vmid": vm.vmid, "node": vm.node}
    row |= vm.seen if vm.seen is not None else {"status": "unknown"}
    if live:
        row |= {key: vm.config[key] for key in ("tags", "lock") if key in vm.config}
        row |= {"pool": pool} if pool else {}
    return row
