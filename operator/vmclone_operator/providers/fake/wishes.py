"""What the fake finds against a clone before anything is changed, all at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmclone_operator.domain.backend import Finding
from vmclone_operator.domain.errors import CloneError, InsufficientSpace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vmclone_operator.domain.backend import PlanWish, SourceInfo
    from vmclone_operator.providers.fake.world import World

_MARGIN_PERCENT = 115


def blockers(world: World, source: SourceInfo, wish: PlanWish) -> list[Finding]:
    """Return every reason why this source cannot be cloned so."""
    found = [Finding(message=sentence) for sentence in _of_source(world, source, wish)]
    return [*found, *_of_storage(world, source, wish)]


def _of_source(world: World, source: SourceInfo, wish: PlanWish) -> Iterator[str]:
    if not wish.image and not any(not disk.shared for disk in source.disks):
        yield f"{source.name} has no disk that can be copied"
    machine = world.state.machines.get(source.source_id)
    if wish.agent and machine is not None and not machine.has_agent:
        yield f"{source.name} has no guest agent: install qemu-guest-agent in it"


def _of_storage(world: World, source: SourceInfo, wish: PlanWish) -> Iterator[Finding]:
    try:
        world.require_pool(wish.pool)
        point = _point_bytes(world, source, wish)
    except CloneError as error:
        yield Finding(message=str(error))
        return
    wanted = point * (1 + wish.replicas * wish.full) * _MARGIN_PERCENT // 100
    if world.pool.capacity_bytes is not None and wanted > (free := world.pool.free_bytes()):
        told = f"{wish.replicas} clones of {source.name} need {wanted} bytes, the pool has {free} bytes"
        yield Finding(reason=InsufficientSpace.reason, message=told)


def _point_bytes(world: World, source: SourceInfo, wish: PlanWish) -> int:
    if wish.image:
        return world.find_image(wish.image).allocated_bytes
    return sum(disk.allocated_bytes for disk in source.disks if not disk.shared)
