"""What every backend promises to everybody else on it: what does not carry exactly our stamp is left alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from tests.contract.backends import Play, Stage
from tests.contract.steps import (
    Wish,
    another_attempt,
    cloned,
    finished,
    fresh_uid,
    frozen_point,
    observed,
    ref_of,
    removed,
    started,
    until,
)
from tests.support.refs import is_gone, ref_to

from vmclone_operator.domain import naming
from vmclone_operator.domain.backend import CloneIntent, CloneRef, Owner, Power
from vmclone_operator.domain.errors import (
    CloneError,
    FrozenPointInUse,
    LeadershipLost,
    OwnershipMismatch,
    TargetConflict,
)

CHANGED_STAMPS = {
    "another operator's": {"instance": "another-operator"},
    "another namespace's": {"namespace": "team-b"},
    "another VMClone's": {"vmclone": "prod"},
    "another VMClone of the same name": {"vmclone_uid": fresh_uid()},
    "another ordinal's": {"ordinal": 7},
}


@pytest.mark.parametrize("held", ["name", "uuid"])
def test_foreign_vm_in_the_way_is_a_conflict(on_backend: Play, held: str) -> None:
    """A VM of that name or UUID is neither adopted nor replaced, and nothing is made beside it."""

    async def scenario(stage: Stage) -> None:
        wish = Wish()
        intent = wish.clone_intent(await frozen_point(stage.session, stage.site.source, wish))
        if held == "name":
            stage.site.add_vm(intent.vm_name, fresh_uid())
        else:
            stage.site.add_vm("somebody-elses", intent.uuid)
        before = (stage.site.files(), stage.site.vms())
        if held in stage.site.traits.unique:
            with pytest.raises(TargetConflict):
                await started(stage.session, intent)
            assert (stage.site.files(), stage.site.vms()) == before
        else:
            await started(stage.session, intent)
            assert set(before[1]) < set(stage.site.vms())

    on_backend(scenario)


def test_clone_of_another_incarnation_under_our_name_is_a_conflict(on_backend: Play) -> None:
    """Not even a clone of ours is replaced when another replica's name or UUID collides with it."""

    async def scenario(stage: Stage) -> None:
        intent = await cloned(stage.session, stage.site.source, Wish())
        other = replace(intent.stamp, incarnation=fresh_uid())
        collision = replace(another_attempt(intent), stamp=other, uuid=naming.clone_uuid(other.incarnation))
        before = (stage.site.files(), stage.site.vms())
        with pytest.raises(TargetConflict):
            await started(stage.session, collision)
        assert (stage.site.files(), stage.site.vms()) == before

    on_backend(scenario)


def test_unstamped_vm_under_our_uuid_is_not_deleted(on_backend: Play) -> None:
    """A UUID proves nothing: without our stamp it is hands off, and the message says so."""

    async def scenario(stage: Stage) -> None:
        wish = Wish()
        intent = wish.clone_intent(await frozen_point(stage.session, stage.site.source, wish))
        stage.site.add_vm("somebody-elses", intent.uuid)
        before = (stage.site.files(), stage.site.vms())
        if "uuid" in stage.site.traits.unique:
            with pytest.raises(OwnershipMismatch, match="somebody-elses"):
                await stage.session.delete_clone(ref_to(intent.stamp))
        else:
            assert (await stage.session.delete_clone(ref_to(intent.stamp))).done
        assert (stage.site.files(), stage.site.vms()) == before

    on_backend(scenario)


@pytest.mark.parametrize("change", CHANGED_STAMPS.values(), ids=CHANGED_STAMPS.keys())
def test_stamp_must_match_exactly(on_backend: Play, change: dict[str, object]) -> None:
    """One differing word in the stamp and the clone is neither switched, connected nor removed."""

    async def scenario(stage: Stage) -> None:
        intent = await cloned(stage.session, stage.site.source, Wish())
        stranger = replace(intent.stamp, **change)  # type: ignore[arg-type]
        before = await observed(stage.session, intent.stamp)
        with pytest.raises(OwnershipMismatch):
            await stage.session.delete_clone(ref_to(stranger))
        with pytest.raises(OwnershipMismatch):
            await stage.session.set_power(ref_to(stranger), Power.ON)
        with pytest.raises(OwnershipMismatch):
            await stage.session.connect_network(ref_to(stranger))
        assert await observed(stage.session, intent.stamp) == before

    on_backend(scenario)


def test_clones_of_another_operator_are_invisible(on_backend: Play) -> None:
    """Two operators on one hypervisor, or a restored one: nobody counts the other's clones."""

    async def scenario(stage: Stage) -> None:
        wish = Wish()
        intent = await cloned(stage.session, stage.site.source, wish)
        for owner in (
            Owner(instance="another-operator"),
            Owner(instance="another-operator", vmclone_uid=wish.uid),
            Owner(instance="another-operator", incarnation=intent.stamp.incarnation),
        ):
            assert list(await stage.session.find_clones(owner)) == []

    on_backend(scenario)


def test_missing_clone_is_an_error_and_is_not_made(on_backend: Play) -> None:
    """A clone that somebody deleted is reported, never silently made by a call that only switches it."""

    async def scenario(stage: Stage) -> None:
        wish = Wish()
        stamp = wish.clone_intent(await frozen_point(stage.session, stage.site.source, wish)).stamp
        before = (stage.site.files(), stage.site.vms())
        for call in (stage.session.set_power(ref_to(stamp), Power.ON), stage.session.connect_network(ref_to(stamp))):
            with pytest.raises(CloneError):
                await call
        assert (stage.site.files(), stage.site.vms()) == before

    on_backend(scenario)


def test_disowned_clone_is_nobodys_and_keeps_what_it_stands_on(on_backend: Play) -> None:
    """It stays as it is, no call of ours finds or removes it, its base stays and says why; a repeat says it stands."""

    async def scenario(stage: Stage) -> None:
        wish = Wish()
        intent = await cloned(stage.session, stage.site.source, wish)
        before = (stage.site.files(), stage.site.vms())
        assert await stage.session.disown(ref_of(intent))
        assert await stage.session.disown(ref_of(intent))
        assert list(await stage.session.find_clones(wish.owner)) == []
        with pytest.raises(OwnershipMismatch):
            await stage.session.delete_clone(ref_of(intent))
        with pytest.raises(FrozenPointInUse, match=stage.site.holder(intent)):
            await until(lambda: is_gone(stage.session.release_frozen(wish.owner, intent.frozen_token)))
        assert (stage.site.files(), stage.site.vms()) == before

    on_backend(scenario)


def test_nothing_to_disown_is_said_and_a_strangers_clone_is_left_alone(on_backend: Play) -> None:
    """A VM that was never made can not stay; one with another stamp keeps it."""

    async def scenario(stage: Stage) -> None:
        intent = await cloned(stage.session, stage.site.source, Wish())
        assert not await stage.session.disown(ref_to(replace(intent.stamp, incarnation=fresh_uid())))
        with pytest.raises(OwnershipMismatch):
            await stage.session.disown(ref_to(replace(intent.stamp, ordinal=7)))
        assert (await observed(stage.session, intent.stamp)).stamp == intent.stamp

    on_backend(scenario)


Verb = Callable[[Stage, CloneIntent], Awaitable[object]]
WRITING_VERBS: dict[str, Verb] = {
    "start_clone": lambda stage, intent: started(
        stage.session,
        replace(
            another_attempt(intent),
            stamp=replace(intent.stamp, incarnation=fresh_uid()),
            uuid=fresh_uid(),
            vm_name="dev-new",
        ),
    ),
    "set_power": lambda stage, intent: stage.session.set_power(ref_to(intent.stamp), Power.ON),
    "connect_network": lambda stage, intent: stage.session.connect_network(ref_to(intent.stamp)),
    "delete_clone": lambda stage, intent: stage.session.delete_clone(ref_to(intent.stamp)),
    "disown": lambda stage, intent: stage.session.disown(ref_to(intent.stamp)),
}


@pytest.mark.parametrize("verb", WRITING_VERBS)
def test_operator_that_no_longer_leads_writes_nothing(on_backend: Play, verb: str) -> None:
    """The fence is asked before each write, so an operator that was paused cannot undo its successor's work."""

    async def scenario(stage: Stage) -> None:
        intent = await cloned(stage.session, stage.site.source, Wish())
        before = (stage.site.files(), stage.site.vms(), await observed(stage.session, intent.stamp))
        stage.operator.leads = False
        with pytest.raises(LeadershipLost):
            await WRITING_VERBS[verb](stage, intent)
        stage.operator.leads = True
        assert (stage.site.files(), stage.site.vms(), await observed(stage.session, intent.stamp)) == before

    on_backend(scenario)


def test_operator_that_no_longer_leads_freezes_and_releases_nothing(on_backend: Play) -> None:
    """A frozen point is neither begun nor removed; a copy in the background fails when it is asked about."""

    async def scenario(stage: Stage) -> None:
        wish = Wish()
        point = await frozen_point(stage.session, stage.site.source, wish)
        before = stage.site.files()
        stage.operator.leads = False
        with pytest.raises(LeadershipLost):
            await until(lambda: is_gone(stage.session.release_frozen(wish.owner, point.token)))
        with pytest.raises(LeadershipLost):
            await _frozen_anew(stage, wish, point.source_id)
        assert stage.site.files() == before

    on_backend(scenario)


async def _frozen_anew(stage: Stage, wish: Wish, source_id: str) -> None:
    await finished(stage.session, wish.freeze_intent(source_id))


def test_one_clone_is_found_live_by_its_reference(on_backend: Play) -> None:
    """The bulk list may be a minute old; what a pass of a replica rests on may not."""

    async def scenario(stage: Stage) -> None:
        intent = await cloned(stage.session, stage.site.source, Wish())
        ref = CloneRef(stamp=intent.stamp, vm_name=intent.vm_name)
        found = await stage.session.find_clone(ref)
        assert found is not None
        assert (found.stamp, found.vm_name, found.power) == (intent.stamp, intent.vm_name, Power.OFF)
        assert (await stage.session.describe_source(found.external_id)).source_id == found.external_id
        assert await stage.session.find_clone(ref_to(replace(intent.stamp, incarnation=fresh_uid()))) is None
        await removed(stage.session, intent.stamp)
        assert await stage.session.find_clone(ref) is None

    on_backend(scenario)


def test_a_vm_that_lost_our_mark_is_named_and_no_other_is(on_backend: Play) -> None:
    async def scenario(stage: Stage) -> None:
        intent = await cloned(stage.session, stage.site.source, Wish())
        ref = ref_of(intent)
        assert await stage.session.unstamped(ref) == ""
        assert await stage.session.disown(ref)
        assert await stage.session.find_clone(ref) is None
        assert await stage.session.unstamped(ref) == intent.vm_name
        assert await stage.session.unstamped(ref_to(replace(intent.stamp, incarnation=fresh_uid()))) == ""
        stage.site.remove_vm(intent.uuid)

    on_backend(scenario)
