"""What every backend promises about files of ours that no VM uses: found by name alone, and nobody else's ever."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from tests.contract.backends import Play, Stage
from tests.contract.steps import (
    INSTANCE,
    Wish,
    cloned,
    fresh_token,
    fresh_uid,
    frozen_point,
    ref_of,
    removed,
    until,
)
from tests.support.refs import is_gone

from vmclone_operator.domain.backend import Leftover, LeftoverKind, Stamp

BARE = Stamp(instance=INSTANCE, namespace="", vmclone="", vmclone_uid="", ordinal=0, incarnation="")
"""What a leftover's files are removed with: nobody knows more of them than whose they were."""


async def left(stage: Stage, mine: Collection[str], living: Collection[str] = ()) -> list[Leftover]:
    """Return the leftovers of these uids: others may be at work on the same host."""
    found = await stage.session.find_leftovers(INSTANCE, living)
    return [one for one in found if (one.owner.incarnation or one.owner.vmclone_uid) in mine]


def test_what_a_vm_uses_is_no_leftover_even_of_an_owner_that_is_gone(on_backend: Play) -> None:
    """The VM is the orphan then, and its files go with it; the frozen point below them with the last."""

    async def scenario(stage: Stage) -> None:
        wish = Wish()
        intent = await cloned(stage.session, stage.site.source, wish)
        assert await left(stage, {wish.uid, intent.stamp.incarnation}) == []

    on_backend(scenario)


def test_files_without_their_vm_are_found_removed_and_then_the_frozen_point_is(on_backend: Play) -> None:
    """One leftover for all files of a clone; only when they are gone does nobody stand on the frozen point."""

    async def scenario(stage: Stage) -> None:
        wish = Wish()
        intent = await cloned(stage.session, stage.site.source, wish)
        mine = {wish.uid, intent.stamp.incarnation}
        stage.site.remove_vm(intent.uuid)
        found = await left(stage, mine)
        (volume,) = [one for one in found if one.kind is LeftoverKind.VOLUME]
        assert not stage.site.traits.orphaned_disks or len(found) == 1
        assert (volume.kind, volume.owner.incarnation) == (LeftoverKind.VOLUME, intent.stamp.incarnation)
        assert all(name.startswith(volume.name) for name in stage.site.files() if intent.token in name)
        await removed(stage.session, replace(BARE, incarnation=volume.owner.incarnation))
        (point,) = await left(stage, mine)
        assert (point.kind, point.owner, point.token) == (LeftoverKind.FROZEN_POINT, wish.owner, intent.frozen_token)
        await until(lambda: is_gone(stage.session.release_frozen(point.owner, point.token)))
        assert await left(stage, mine) == []
        assert not [name for name in stage.site.files() if name.startswith(point.name)]

    on_backend(scenario)


def test_the_files_of_the_living_are_no_leftovers(on_backend: Play) -> None:
    """Whoever has just begun has files and no VM yet."""

    async def scenario(stage: Stage) -> None:
        wish, incarnation = Wish(), fresh_uid()
        stage.site.leave_clone_file(incarnation, fresh_token())
        stage.site.leave_frozen_file(wish.uid, fresh_token())
        mine = {wish.uid, incarnation}
        assert await left(stage, mine, living=mine) == []
        assert [one.kind for one in await left(stage, mine, living={wish.uid})] == [LeftoverKind.VOLUME]
        assert [one.kind for one in await left(stage, mine, living={incarnation})] == [LeftoverKind.FROZEN_POINT]

    on_backend(scenario)


def test_another_installations_files_are_not_seen(on_backend: Play) -> None:
    """Two operators on one host tell their files apart by name."""

    async def scenario(stage: Stage) -> None:
        wish = Wish()
        await frozen_point(stage.session, stage.site.source, wish)
        found = await stage.session.find_leftovers("another-operator", ())
        assert not [one for one in found if one.owner.vmclone_uid == wish.uid]
        assert len(await left(stage, {wish.uid})) == 1

    on_backend(scenario)


def test_a_disowned_vm_keeps_its_files_and_what_they_stand_on(on_backend: Play) -> None:
    """They bear our names and are somebody else's by now."""

    async def scenario(stage: Stage) -> None:
        wish = Wish()
        intent = await cloned(stage.session, stage.site.source, wish)
        assert await stage.session.disown(ref_of(intent))
        assert await left(stage, {wish.uid, intent.stamp.incarnation}) == []

    on_backend(scenario)
