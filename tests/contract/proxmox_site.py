"""The contract suite's view of a Proxmox VE cluster: the double, with modelled guests, as its administrator sees it.

A volume there is named after the number of its VM, and the VM's description says whose it is. So `files` shows each
volume with the attempt that its VM names: `local:9101/vm-9101-disk-0.qcow2 4fd0a1c2 scsi0`.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

from tests.contract.steps import INSTANCE
from tests.contract.traits import Traits
from tests.doubles.pve.drives import Drive, drives
from tests.doubles.pve.modelled import use_vmclone_guests, vmclone_disk
from tests.doubles.pve.storages import Storage
from tests.doubles.pve.vm import VM
from tests.support.pve_direct import Cluster, join_parts
from tests.support.pve_images import add_image, with_cloud_init
from tests.support.simulation import SimClock
from tests.unit.doubles.pve.lab import add_volume, adopt, see

from vmclone_operator.domain.backend import BackendConfig, BackendSession, CloneIntent, OperationState, Power
from vmclone_operator.providers.fake.guest import Guest, host_key
from vmclone_operator.providers.proxmox import config as configs
from vmclone_operator.providers.proxmox import marks
from vmclone_operator.providers.proxmox.marks import CloneMark, FrozenMark

if TYPE_CHECKING:
    from tests.contract.backends import Operator

SOURCE = 100
_SECONDS_PER_CALL = 0.5
_MINE = range(9100, 9200)


class ProxmoxSite:
    """One node with one source; every request takes half a second of its clock."""

    source = "golden-dev"
    guest = True
    traits = Traits(
        events=False,
        unique=frozenset({"name"}),
        half_made=OperationState.RUNNING,
        console=False,
        orphaned_disks=False,
    )

    def __init__(self, power: Power) -> None:
        self.cluster = Cluster(seconds_per_call=_SECONDS_PER_CALL)
        self.cluster.place(SimClock())
        world = self.cluster.world
        use_vmclone_guests(self.cluster.guests)
        join_parts(self.cluster.guests)
        with_cloud_init(self.cluster)
        world.vms[SOURCE].config["name"] = self.source
        see(world, world.vms[SOURCE])
        guest = Guest(machine_id="a" * 32, hostname=self.source, host_key=host_key(self.source), reset_seconds=3)
        self.cluster.guests.disks["local:100/vm-100-disk-0.qcow2"] = vmclone_disk(guest)
        if power is Power.ON:
            self.cluster.switch_on(SOURCE)
        self._strangers = 200
        self._made_by: dict[str, str] = {}
        """The attempt that made a volume, also when its VM does not say so any more."""

    @contextlib.asynccontextmanager
    async def session(self, operator: Operator) -> AsyncIterator[BackendSession]:
        """Open one more session on the same cluster."""
        config = BackendConfig(name="proxmox", settings={})
        session = await self.cluster.open(config, wake=operator.wake, fence=operator.fence)
        yield session
        await session.close()

    def files(self) -> list[str]:
        """Return every volume with the attempt that it belongs to."""
        return self.pool_files("")

    def pool_files(self, pool: str) -> list[str]:
        """Return the volumes of a storage."""
        volumes = [one for one in self.cluster.volumes() if not pool or one.startswith(f"{pool}:")]
        for vm, one in self._drives():
            if token := _token(vm):
                self._made_by[one.file] = f"{token} {one.key}"
        return sorted(f"{_bare(volume)} {self._made_by.get(volume, '')}".strip() for volume in volumes)

    def _drives(self) -> Iterator[tuple[VM, Drive]]:
        for vm in self.cluster.world.vms.values():
            for one in drives(vm.config):
                yield vm, one

    def vms(self) -> list[str]:
        """Return name and UUID of every VM."""
        return sorted(f"{vm.name} {configs.system_uuid(vm.config)}" for vm in self.cluster.world.vms.values())

    def add_vm(self, name: str, uuid: str) -> None:
        """Make a VM that is not ours."""
        self._strangers += 1
        adopt(self.cluster.world, self._strangers, {"name": name, "memory": "64", "smbios1": f"uuid={uuid}"})

    def leave_clone_file(self, incarnation: str, token: str) -> None:
        """Leave the seed of a clone: the one file of it that no VM owns."""
        volume = f"local:iso/{marks.seed_name(incarnation, INSTANCE)}"
        self._made_by[volume] = token
        add_volume(self.cluster.world, volume, content="iso")

    def leave_frozen_file(self, vmclone_uid: str, token: str) -> None:
        """Leave a copy that nobody has made a template of."""
        mark = FrozenMark(
            instance=INSTANCE,
            vmclone_uid=vmclone_uid,
            token=token,
            source_id=str(SOURCE),
            fingerprint="sha256:0",
            running=False,
        )
        world = self.cluster.world
        vmid = next(number for number in _MINE if number not in world.vms)
        held = {key: value for key, value in world.vms[SOURCE].config.items() if key != "scsi0"}
        named = {"name": marks.frozen_name(vmclone_uid, token), "description": marks.description(mark)}
        disk = f"local:{vmid}/vm-{vmid}-disk-0.qcow2,size=1G"
        adopt(world, vmid, {**held, **named, "scsi0": disk})

    def remove_vm(self, uuid: str) -> None:
        """Destroy a VM, as somebody with the web interface does: its disks go with it, its seed does not."""
        found = next(vm for vm in self.cluster.world.vms.values() if configs.system_uuid(vm.config) == uuid)
        self.files()
        self.cluster.remove_by_hand(found.vmid)

    def add_image(self, name: str) -> str:
        """Make a template, as an administrator does."""
        self._strangers += 1
        add_image(self.cluster, self._strangers, name)
        return name

    def replace_image(self, name: str) -> None:
        """Give the name to another template; the old one stays under another, for clones may stand on it."""
        world = self.cluster.world
        old = next(vm for vm in world.vms.values() if vm.name == name)
        old.config["name"] = f"{name}-old"
        see(world, old)
        self._strangers += 1
        add_image(self.cluster, self._strangers, name, size="3G")

    def extra_pool(self) -> str:
        """Add a storage."""
        self.cluster.world.storages.known["fast"] = Storage(name="fast", path="/mnt/fast", content=("images",))
        return "fast"

    def file_mark(self, name: str) -> str:
        """Return when it was made."""
        volume = next(one for one in self.cluster.volumes() if name.startswith(_bare(one)))
        return str(self.cluster.world.storages.volumes[volume].made)

    def holder(self, intent: CloneIntent) -> str:
        """Return the name of the clone's VM."""
        return intent.vm_name


def _bare(volume: str) -> str:
    return volume.rpartition(":iso/")[2]


def _token(vm: VM) -> str:
    mark = marks.read(vm.config, vm.vmid)
    return mark.token if isinstance(mark, CloneMark | FrozenMark) else ""
