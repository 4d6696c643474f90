"""What every backend promises about the shape and place of a clone: as asked for, else as the source has it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.contract.backends import Play, Stage
from tests.contract.steps import Wish, frozen_point, made, observed, removed, started

from vmclone_operator.domain.backend import CloneIntent, DiskCopy, Shape
from vmclone_operator.domain.errors import CapabilityMissing, CloneFailed

MIB = 1 << 20


async def new_intent(stage: Stage) -> CloneIntent:
    wish = Wish()
    return wish.clone_intent(await frozen_point(stage.session, stage.site.source, wish))


def test_clone_has_the_shape_of_its_source(on_backend: Play) -> None:
    """Who asks for nothing gets what the source has, and drift is told from that."""

    async def scenario(stage: Stage) -> None:
        source = await stage.session.describe_source(stage.site.source)
        intent = await made(stage.session, await new_intent(stage))
        assert source.shape.cpus > 0
        assert source.shape.memory_bytes > 0
        assert (await observed(stage.session, intent.stamp)).shape == source.shape

    on_backend(scenario)


WISHES = {
    "more processors": Shape(cpus=2),
    "more memory": Shape(memory_bytes=48 * MIB),
    "both": Shape(cpus=3, memory_bytes=64 * MIB),
}


@pytest.mark.parametrize("wish", WISHES.values(), ids=WISHES.keys())
def test_clone_has_the_shape_that_was_asked_for(on_backend: Play, wish: Shape) -> None:
    """What is named is changed, what is not stays as the source's; the source keeps its own."""

    async def scenario(stage: Stage) -> None:
        source = await stage.session.describe_source(stage.site.source)
        intent = await made(stage.session, replace(await new_intent(stage), shape=wish))
        shape = (await observed(stage.session, intent.stamp)).shape
        assert shape.cpus == (wish.cpus or source.shape.cpus)
        assert shape.memory_bytes == (wish.memory_bytes or source.shape.memory_bytes)
        assert shape.networks == source.shape.networks
        assert await stage.session.describe_source(stage.site.source) == source

    on_backend(scenario)


COPIES = pytest.mark.parametrize("how", list(DiskCopy))


async def can_lie_there(stage: Stage, intent: CloneIntent) -> bool:
    """Return whether such clones can be made in their pool; a backend that says no must refuse them."""
    if intent.copy is DiskCopy.FULL or (await stage.session.check(intent.pool)).capabilities.linked:
        return True
    with pytest.raises(CapabilityMissing, match=intent.pool):
        await started(stage.session, intent)
    return False


@COPIES
def test_disks_lie_in_the_pool_that_was_asked_for(on_backend: Play, how: DiskCopy) -> None:
    """The clone's own files are there, the frozen point stays where it is, and deleting finds both."""

    async def scenario(stage: Stage) -> None:
        pool = stage.site.extra_pool()
        intent = replace(await new_intent(stage), pool=pool, copy=how)
        if not await can_lie_there(stage, intent):
            return
        before = (stage.site.files(), stage.site.vms())
        await made(stage.session, intent)
        there = stage.site.pool_files(pool)
        disks = (await stage.session.describe_source(intent.source_id)).disks
        for disk in disks:
            assert any(intent.token in name and disk.target in name for name in there)
        assert (await observed(stage.session, intent.stamp)).complete
        await removed(stage.session, intent.stamp)
        assert stage.site.pool_files(pool) == []
        assert (stage.site.files(), stage.site.vms()) == before

    on_backend(scenario)


@COPIES
def test_files_in_another_pool_are_found_without_their_vm(on_backend: Play, how: DiskCopy) -> None:
    """Only the stamp leads to them: the intent that named the pool may be lost with its object."""

    async def scenario(stage: Stage) -> None:
        pool = stage.site.extra_pool()
        intent = replace(await new_intent(stage), pool=pool, copy=how)
        if not await can_lie_there(stage, intent):
            return
        intent = await made(stage.session, intent)
        stage.site.remove_vm(intent.uuid)
        assert bool(stage.site.pool_files(pool)) is stage.site.traits.orphaned_disks
        await removed(stage.session, intent.stamp)
        assert stage.site.pool_files(pool) == []

    on_backend(scenario)


@COPIES
def test_unknown_pool_is_refused_by_name(on_backend: Play, how: DiskCopy) -> None:
    """A typing error leaves nothing behind, and the sentence says which word is wrong."""

    async def scenario(stage: Stage) -> None:
        intent = replace(await new_intent(stage), pool="no-such-pool", copy=how)
        before = (stage.site.files(), stage.site.vms())
        with pytest.raises((CloneFailed, CapabilityMissing), match="no-such-pool"):
            await started(stage.session, intent)
        assert (stage.site.files(), stage.site.vms()) == before

    on_backend(scenario)
