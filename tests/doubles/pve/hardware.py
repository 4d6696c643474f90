"""What happens to VMs and their volumes, whoever asked: boot and end, make and free, attach and detach."""

from __future__ import annotations

import re
from collections.abc import Callable

from tests.doubles.pve.drives import NEW_VOLUME, Drive, bridge, drives, size_bytes, size_text
from tests.doubles.pve.guests import Card, Hardware
from tests.doubles.pve.locks import storage_file
from tests.doubles.pve.refusals import Refused
from tests.doubles.pve.rows import memory_bytes
from tests.doubles.pve.storages import Storage, Volume
from tests.doubles.pve.timeline import Steps
from tests.doubles.pve.vm import VM
from tests.doubles.pve.world import World

CLOUD_INIT_BYTES = 4 * 1024**2
EFI_BYTES = 528 * 1024
TPM_BYTES = 4 * 1024**2
Log = Callable[[str], None]


def hardware(vm: VM) -> Hardware:
    """Return what a VM is made of, for its guest."""
    found = re.search(r"order=([^,]+)", str(vm.config.get("boot", "")))
    order = found[1].split(";") if found else []
    disks = [one for one in drives(vm.config) if one.file != "none"]
    disks.sort(key=lambda one: order.index(one.key) if one.key in order else len(order))
    identity = re.search(r"uuid=([^,]+)", str(vm.config.get("smbios1", "")))
    return Hardware(
        vmid=vm.vmid,
        uuid=identity[1] if identity else "",
        disks=tuple(one.file for one in disks),
        cards=tuple(_card(str(vm.config[key])) for key in sorted(vm.config) if re.fullmatch(r"net\d+", key)),
        memory_mib=memory_bytes(vm) // 1024**2,
    )


def _card(value: str) -> Card:
    address = re.search(r"=([0-9A-Fa-f:]{17})", value)
    up = "link_down=1" not in value
    return Card(address=address[1] if address else "", bridge=bridge(value), up=up)


def switch_on(world: World, vm: VM) -> None:
    """Boot a VM whose disks and bridges were looked at."""
    apply_pending(vm)
    vm.running, vm.paused, vm.started, vm.pid = True, False, world.now(), world.new_pid()
    world.guests.boot(hardware(vm))


def switch_off(world: World, vm: VM) -> None:
    """End a VM, whatever its guest says; what was pending comes into force."""
    vm.running = vm.paused = False
    world.guests.end(vm.vmid)
    apply_pending(vm)


def apply_pending(vm: VM) -> None:
    """Bring into force what waited for the VM to be off."""
    vm.config = vm.merged()
    vm.pending, vm.pending_delete = {}, set()


def made_text(storage: Storage, volume: Volume, parent: Volume | None = None) -> str:
    """Return the line that qemu-img writes for a new image."""
    path = storage.file_of(volume.name)
    if volume.format == "raw":
        plain = "off" if storage.preallocation == "metadata" else storage.preallocation
        return f"Formatting '{path}', fmt=raw size={volume.size} preallocation={plain}"
    clusters = "cluster_size=131072 extended_l2=on" if parent else "cluster_size=65536 extended_l2=off"
    over = f" backing_file={volume.parent} backing_fmt={parent.format}" if parent else ""
    kind = f"preallocation={storage.preallocation} compression_type=zlib size={volume.size}{over}"
    return f"Formatting '{path}', fmt={volume.format} {clusters} {kind} lazy_refcounts=off refcount_bits=16"


def allocate(world: World, storage: Storage, volume: Volume, owner: object, log: Log) -> Steps[Volume]:
    """Make a volume under the storage's lock; a full storage refuses and keeps nothing."""
    lock = yield from world.locks.acquire(storage_file(storage.name), owner)
    try:
        if storage.files and not (storage.kind == "btrfs" and volume.format == "raw"):
            log(made_text(storage, volume))
        full = storage.preallocation == "full"
        if full and world.storages.used(storage.name) + volume.size > storage.total:
            where = storage.file_of(volume.name)
            raise Refused(f"unable to create image: qemu-img: {where}: {_no_space(volume.format)}")
        volume.used = volume.size if full else min(volume.size, 266240)
        volume.made = world.now()
        world.storages.add(volume)
    finally:
        world.locks.release(lock)
    return volume


def _no_space(form: str) -> str:
    """Say that a file system is full, as qemu-img does for each format (recording 02, 97; errors of 08b, 19)."""
    reason = "Could not write zeros for preallocation: No space left on device"
    if form == "raw":
        return reason
    return f"Could not resize image: Failed to resize underlying file: {reason}"


def free(world: World, volume: Volume) -> None:
    """Remove a volume for good."""
    if volume.id in world.stuck_volumes:
        raise Refused(f"unable to free volume '{volume.id}': device or resource busy")
    world.storages.volumes.pop(volume.id, None)
    world.guests.freed(volume.id)


def new_disk(world: World, vm: VM, one: Drive, owner: object, log: Log) -> Steps[Drive]:
    """Carry out what a drive asks for: a new volume, an imported one, or one that is there already."""
    asked = NEW_VOLUME.fullmatch(one.file)
    if asked is None:
        return _existing(world, one)
    storage = world.storages.usable(asked[1], vm.node)
    cloud_init = asked[2] == "cloudinit"
    source = one.options.pop("import-from", "")
    form = one.options.pop("format", "") or _default_format(storage, cloud_init=cloud_init)
    size = _size(world, one.key, asked[2], source)
    name = world.storages.free_name(storage, vm.vmid, form, cloud_init=cloud_init)
    volume = Volume(storage=storage.name, name=name, format=form, size=size, made=0, vmid=vm.vmid)
    yield from allocate(world, storage, volume, owner, log)
    if source:
        world.guests.copied(source, volume.id)
        volume.data = world.storages.find(source).data
    if one.key == "efidisk0":
        for line in ("0.0 B of 528.0 KiB (0.00%)", *["528.0 KiB of 528.0 KiB (100.00%)"] * 2):
            log(f"transferred {line}")
    made = Drive(one.key, volume.id, dict(one.options))
    if cloud_init:
        made.options["media"] = "cdrom"
    else:
        made.options["size"] = size_text(size)
    log(f"{one.key}: successfully created disk '{made.text}'")
    return made


def _existing(world: World, one: Drive) -> Drive:
    """Attach a volume that is there; nobody asks whose it is (recording 07, 121)."""
    if one.file == "none" or one.file.startswith("/"):
        if one.file.startswith("/"):
            raise Refused(f"volume {one.file} does not exist")
        return one
    volume = world.storages.find(one.file)
    if not one.cloud_init:
        one.options["size"] = size_text(volume.sectors_size)
    return one


def _default_format(storage: Storage, *, cloud_init: bool) -> str:
    if cloud_init and "qcow2" in storage.rules["formats"]:
        return "qcow2"
    return str(storage.rules["default"])


def _size(world: World, key: str, asked: str, source: str) -> int:
    if asked == "cloudinit":
        return CLOUD_INIT_BYTES
    if key == "efidisk0":
        return EFI_BYTES
    if key == "tpmstate0":
        return TPM_BYTES
    if source:
        return world.storages.find(source).size
    kib = float(asked) * 1024**2
    return int(-(-kib // 1)) * 1024


def grown(volume: Volume, wish: str) -> int:
    """Return the size that a resize asks for."""
    if wish.startswith("+"):
        return volume.size + size_bytes(wish[1:])
    return size_bytes(wish)
