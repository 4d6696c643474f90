"""A comparable picture of the simulated hypervisor, for the sentence "as if nothing had gone wrong".

Attempts, uids and times differ from run to run, so they do not appear: clones are known by namespace,
VMClone and ordinal, files by the clone that uses them and their role in it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vmclone_operator.providers.fake.state import Image, Machine, State, Volume

NOBODY = "nobody"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """What is at the hypervisor, sorted."""

    clones: tuple[str, ...]
    """Each clone: whose, power, links, completeness, whether its identity is its own, and its shape."""
    files: tuple[str, ...]
    """Each file: of which clone (or of nobody: a leak), in which role, what kind, where, how often."""
    frozen_points: tuple[str, ...]
    """Each frozen point: of which source or image, whole or half-made."""
    foreign: tuple[str, ...]
    """Everything that is not ours, exactly."""


def take_inventory(state: State, now: float) -> Inventory:
    """Return what is here now."""
    clones = [machine for machine in state.machines.values() if not machine.foreign]
    foreign = [machine for machine in state.machines.values() if machine.foreign]
    strange_files = [f"file {volume.name}" for volume in state.volumes.values() if not volume.group]
    goldens = [f"golden image {image.name} {image.fingerprint}" for image in state.golden_images.values()]
    return Inventory(
        clones=tuple(sorted(_clone_line(machine, now) for machine in clones)),
        files=tuple(sorted(_file_lines(state, clones))),
        frozen_points=tuple(sorted(_image_line(image, state, now) for image in state.images.values())),
        foreign=tuple(sorted([*(_foreign_line(machine, now) for machine in foreign), *strange_files, *goldens])),
    )


def _label(machine: Machine) -> str:
    stamp = machine.stamp
    return f"{stamp.namespace}/{stamp.vmclone}/{stamp.ordinal}" if stamp else machine.name


def _clone_line(machine: Machine, now: float) -> str:
    own = machine.guest.machine_id == machine.machine_id and machine.guest.hostname == machine.name
    return (
        f"{_label(machine)} power={machine.power} connected={machine.connected}"
        f" complete={now >= machine.complete_at} own_identity={own}"
        f" cpus={machine.cpus} memory={machine.memory_bytes} networks={','.join(machine.networks)}"
    )


def _file_lines(state: State, clones: list[Machine]) -> list[str]:
    users = {name: _label(machine) for machine in clones for name in machine.volumes}
    bases = {
        name: f"frozen point of {_source(image, state)}" for image in state.images.values() for name in image.volumes
    }
    lines = Counter(
        f"{users.get(volume.name) or bases.get(volume.name) or NOBODY} {_kind(volume)}"
        for volume in state.volumes.values()
        if volume.group
    )
    return [f"{line} x{count}" for line, count in lines.items()]


def _kind(volume: Volume) -> str:
    copied = " copy" if volume.copied_from else ""
    return f"{volume.role}{copied}{f' in {volume.pool}' if volume.pool else ''}"


def _image_line(image: Image, state: State, now: float) -> str:
    whole = not image.lost and not image.running(now) and all(name in state.volumes for name in image.volumes)
    return f"{_source(image, state)} {image.consistency} {'whole' if whole else 'half-made'}"


def _source(image: Image, state: State) -> str:
    if image.golden:
        return f"image {image.golden}"
    source = state.machines.get(image.source_id)
    return source.name if source else image.source_id


def _foreign_line(machine: Machine, now: float) -> str:
    guest = machine.guest
    return (
        f"{machine.uuid} {machine.name} power={machine.power} connected={machine.connected}"
        f" frozen={machine.frozen(now)} {guest.machine_id} {guest.hostname} {guest.host_key} {machine.stamp}"
    )
