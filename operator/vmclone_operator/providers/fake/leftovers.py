"""Our files at the simulated hypervisor that no VM uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmclone_operator.domain import naming
from vmclone_operator.domain.leftovers import (
    Leftover,
    LeftoverKind,
    as_in_names,
    belongs_to,
    frozen_leftover,
    volume_leftover,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from vmclone_operator.providers.fake.state import Volume
    from vmclone_operator.providers.fake.world import World


def find(world: World, instance: str, living: Collection[str]) -> Sequence[Leftover]:
    """Return the files of clones and frozen points that nobody has or uses."""
    alive = as_in_names(living)
    found: dict[Leftover, list[Volume]] = {}
    for volume in world.state.volumes.values():
        leftover = _leftover(instance, volume)
        if leftover is not None and not belongs_to(leftover, alive):
            found.setdefault(leftover, []).append(volume)
    unused = [one for one, files in found.items() if not _has_vm(world, one) and not _used(world, files)]
    return sorted(unused, key=lambda leftover: leftover.name)


def _leftover(instance: str, volume: Volume) -> Leftover | None:
    if not volume.group:
        return None  # nobody's, or given up with its VM
    return volume_leftover(instance, volume.name) or frozen_leftover(instance, volume.name, volume.token)


def _has_vm(world: World, leftover: Leftover) -> bool:
    uuid = naming.clone_uuid(leftover.owner.incarnation)
    return leftover.kind is LeftoverKind.VOLUME and uuid in world.state.machines


def _used(world: World, files: list[Volume]) -> bool:
    """Return whether another file lies on one of these, or is copied from it now."""
    now = world.now()
    copied = (copy for volume in files for copy in world.pool.copies_of(volume.name))
    return any(world.pool.backed_by(volume.name) for volume in files) or any(copy.busy_until > now for copy in copied)
