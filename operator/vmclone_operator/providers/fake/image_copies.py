"""Frozen points of golden images: copied like a powered-off disk, and no source has any part in it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from vmclone_operator.domain import naming
from vmclone_operator.domain.backend import Consistency, FreezeIntent
from vmclone_operator.domain.errors import SourceChanged
from vmclone_operator.providers.fake.guest import Guest
from vmclone_operator.providers.fake.state import GoldenImage, Image, Volume

if TYPE_CHECKING:
    from vmclone_operator.providers.fake.calls import Calls
    from vmclone_operator.providers.fake.world import World

_TARGET = "vda"


def copy_image(world: World, calls: Calls, intent: FreezeIntent, golden: GoldenImage) -> Image:
    """Copy a golden image; raises SourceChanged when another one takes its place meanwhile."""
    before = golden.fingerprint
    base = _base(intent, golden)
    calls.write("copy volume", base.name, partial(world.pool.create_volume, base))
    after = calls.read("look at image again", golden.name, lambda: world.find_image(golden.name).fingerprint)
    if after != before:
        raise SourceChanged(f"the golden image {golden.name} was replaced while it was copied")
    return _record(world, intent, golden, base)


def _base(intent: FreezeIntent, golden: GoldenImage) -> Volume:
    group = naming.frozen_prefix(intent.instance, intent.vmclone_uid)
    return Volume(
        name=f"{group}{intent.token}-{_TARGET}",
        group=group,
        role=_TARGET,
        token=intent.token,
        allocated_bytes=golden.allocated_bytes,
        capacity_bytes=golden.capacity_bytes,
    )


def _record(world: World, intent: FreezeIntent, golden: GoldenImage, base: Volume) -> Image:
    image = Image(
        token=intent.token,
        instance=intent.instance,
        vmclone_uid=intent.vmclone_uid,
        source_id=intent.source_id,
        fingerprint=golden.fingerprint,
        consistency=Consistency.POWERED_OFF,
        guest=Guest(machine_id="", hostname="localhost", host_key=""),
        volumes=[base.name],
        started_at=world.now(),
        copy_seconds=world.copy_seconds,
        golden=golden.name,
        has_agent=golden.has_agent,
    )
    world.state.images[image.token] = image
    world.effects.count(world.effects.copies, image.vmclone_uid)
    world.saved()
    return image
