"""Golden images on the double of Proxmox VE, and what cloud-init does at the first boot of a copy of one."""

from __future__ import annotations

import json
from functools import partial

from tests.doubles.pve.drives import drives
from tests.doubles.pve.guests import Machine
from tests.doubles.pve.modelled import vmclone_disk
from tests.doubles.pve.vm import VM
from tests.support.pve_direct import Cluster
from tests.unit.doubles.pve.lab import adopt

from vmclone_operator.domain.backend import Mode
from vmclone_operator.providers.fake.guest import Guest, host_key


def add_image(cluster: Cluster, vmid: int, name: str, *, size: str = "512M") -> VM:
    """Make a template whose guest has yet to boot for the first time."""
    disk = f"local:{vmid}/base-{vmid}-disk-0.qcow2"
    config = {"name": name, "memory": "128", "template": "1", "boot": "order=scsi0", "agent": "1"}
    config |= {"scsi0": f"{disk},size={size}", "net0": f"virtio=BC:24:11:00:01:{vmid % 100:02},bridge=vmbr0"}
    guest = Guest(machine_id="", hostname="localhost", host_key="", reset_seconds=3)
    cluster.guests.disks[disk] = vmclone_disk(guest)
    return adopt(cluster.world, vmid, config)


def with_cloud_init(cluster: Cluster) -> None:
    """Let images obey the seed in their drive; after `use_vmclone_guests`."""
    cluster.guests.booted = partial(_booted, cluster)


def _booted(cluster: Cluster, machine: Machine) -> None:
    guest: Guest = machine.disk.state["guest"]
    if guest.machine_id:
        return
    guest.machine_id = machine.hardware.uuid.replace("-", "")
    vm, volumes = cluster.world.vms[machine.hardware.vmid], cluster.world.storages.volumes
    seeds = [volumes[one.file].data for one in drives(vm.config) if one.cdrom and one.file in volumes]
    for seed in map(json.loads, seeds):
        if seed["mode"] == Mode.CLEAN:
            guest.hostname = seed["hostname"]
            guest.host_key = seed["host_key"] or host_key(f"made by cloud-init of {vm.name}")
