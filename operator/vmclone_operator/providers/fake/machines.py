"""What a new clone consists of: its disks from the frozen point, its shape from the source and the wish."""

from __future__ import annotations

import copy

from vmclone_operator.domain import naming
from vmclone_operator.domain.backend import CloneIntent, DiskCopy, Mode
from vmclone_operator.providers.fake.guest import Guest, host_key
from vmclone_operator.providers.fake.state import Disk, FirstBoot, Image, Machine, State, Volume


def clone_volumes(state: State, intent: CloneIntent, image: Image, source: Machine) -> list[Volume]:
    """Return the clone's disks, still to be made: overlays on the frozen point, or copies of it."""
    group = naming.volume_prefix(intent.stamp.instance, intent.stamp.incarnation)
    full = intent.copy is DiskCopy.FULL
    room = max((disk.capacity_bytes for disk in source.own_disks[:1]), default=0) if image.golden else 0
    return [
        Volume(
            name=f"{group}{intent.token}-{base.role}",
            group=group,
            role=base.role,
            token=intent.token,
            pool=intent.pool,
            capacity_bytes=max(base.capacity_bytes, room),
            allocated_bytes=base.allocated_bytes if full else 0,
            backing="" if full else base.name,
            copied_from=base.name if full else "",
        )
        for base in (state.volumes[name] for name in image.volumes)
    ]


def seed_volume(intent: CloneIntent) -> Volume:
    """Return the seed disk, still to be made."""
    group = naming.volume_prefix(intent.stamp.instance, intent.stamp.incarnation)
    return Volume(name=f"{group}{intent.token}-seed", group=group, role="seed", token=intent.token, pool=intent.pool)


def new_clone(intent: CloneIntent, image: Image, source: Machine, disks: list[Volume]) -> Machine:
    """Return the VM, still to be defined: off, and unplugged unless it is nobody's image yet."""
    networks = list(intent.shape.networks or source.networks)
    return Machine(
        uuid=intent.uuid,
        name=intent.vm_name,
        guest=copy.deepcopy(image.guest),
        stamp=intent.stamp,
        token=intent.token,
        made_from=intent.made_from,
        disks=[
            Disk(target=disk.role, capacity_bytes=disk.capacity_bytes, allocated_bytes=disk.allocated_bytes)
            for disk in disks
        ],
        volumes=[*(disk.name for disk in disks), seed_volume(intent).name],
        macs=[naming.mac_address(intent.stamp.incarnation, index) for index in range(len(networks))],
        cpus=intent.shape.cpus or source.cpus,
        memory_bytes=intent.shape.memory_bytes or source.memory_bytes,
        networks=networks,
        first_boot=_first_boot(intent) if intent.mode is Mode.CLEAN else None,
        connected=intent.mode is Mode.CLEAN,
        has_agent=image.has_agent,
    )


def generic_machine(intent: CloneIntent) -> Machine:
    """Return what stands in for a source on another host: a machine that its shape alone describes."""
    nobody = Guest(machine_id="", hostname="", host_key="")
    shape = intent.shape
    return Machine(uuid=intent.source_id, name="", guest=nobody, cpus=shape.cpus, memory_bytes=shape.memory_bytes)


def _first_boot(intent: CloneIntent) -> FirstBoot:
    seed = intent.seed
    return FirstBoot(
        hostname=seed.hostname,
        host_key=seed.host_public_key or host_key(f"made by cloud-init of {intent.uuid}"),
        user=seed.user,
        authorized_keys=list(seed.authorized_keys),
    )
