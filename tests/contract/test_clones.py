"""What every backend promises about clones: made once, off and unplugged, found by owner, removed without a trace."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
from tests.contract.backends import Play, Stage
from tests.contract.steps import (
    INSTANCE,
    Wish,
    another_attempt,
    cloned,
    fresh_token,
    frozen_point,
    made,
    observed,
    owner_of,
    removed,
    started,
    until,
)
from tests.support.refs import ref_to

from vmclone_operator.domain.backend import OperationState, Owner, Power
from vmclone_operator.domain.errors import CloneError


def test_new_clone_is_off_unplugged_and_ours(on_backend: Play) -> None:
    """Nothing of the source's identity reaches a network before it was reset."""

    async def scenario(stage: Stage) -> None:
        intent = await cloned(stage.session, stage.site.source, Wish())
        clone = await observed(stage.session, intent.stamp)
        assert (clone.power, clone.connected, clone.agent) == (Power.OFF, False, False)
        assert (clone.stamp, clone.token, clone.vm_name) == (intent.stamp, intent.token, intent.vm_name)
        assert clone.complete
        assert f"{intent.vm_name} {intent.uuid}" in stage.site.vms()

    on_backend(scenario)


def test_starting_twice_makes_one_clone(on_backend: Play) -> None:
    """A crash between the call and the status write must not cost a second VM, or a second disk."""

    async def scenario(stage: Stage) -> None:
        intent = await cloned(stage.session, stage.site.source, Wish())
        before = (stage.site.files(), stage.site.vms())
        again = await stage.session.start_clone(intent)
        assert (stage.site.files(), stage.site.vms()) == before
        clone = await observed(stage.session, intent.stamp)
        assert (again.state, again.external_id) == (OperationState.DONE, clone.external_id)

    on_backend(scenario)


def test_another_attempt_adopts_a_finished_clone(on_backend: Play) -> None:
    """A clone that is there is never thrown away for a new attempt's sake."""

    async def scenario(stage: Stage) -> None:
        intent = await cloned(stage.session, stage.site.source, Wish())
        before = (stage.site.files(), stage.site.vms())
        await started(stage.session, another_attempt(intent))
        assert (await observed(stage.session, intent.stamp)).token == intent.token
        assert (stage.site.files(), stage.site.vms()) == before

    on_backend(scenario)


@pytest.mark.parametrize("same_token", [True, False], ids=["left by this attempt", "left by another attempt"])
def test_leftovers_of_an_unfinished_attempt_are_replaced(on_backend: Play, same_token: bool) -> None:
    """A disk that was half made when the operator was killed is never booted, and never stays behind."""

    async def scenario(stage: Stage) -> None:
        wish = Wish()
        intent = wish.clone_intent(await frozen_point(stage.session, stage.site.source, wish))
        frozen_files = stage.site.files()
        left = intent.token if same_token else fresh_token()
        stage.site.leave_clone_file(intent.stamp.incarnation, left)
        await made(stage.session, intent)
        assert await _complete(stage, intent.stamp.incarnation)
        new = set(stage.site.files()) - set(frozen_files)
        assert new
        assert all(intent.token in name for name in new)

    on_backend(scenario)


async def _complete(stage: Stage, incarnation: str) -> bool:
    found = await stage.session.find_clones(Owner(instance=INSTANCE, incarnation=incarnation))
    return [clone.complete for clone in found] == [True]


def test_clone_of_a_missing_frozen_point_makes_nothing(on_backend: Play) -> None:
    """A frozen point that somebody deleted is an answer, not half a clone."""

    async def scenario(stage: Stage) -> None:
        wish = Wish()
        point = await frozen_point(stage.session, stage.site.source, wish)
        before = (stage.site.files(), stage.site.vms())
        with pytest.raises(CloneError):
            await started(stage.session, wish.clone_intent(replace(point, token=fresh_token())))
        assert (stage.site.files(), stage.site.vms()) == before

    on_backend(scenario)


def test_clones_are_found_by_owner_in_one_call(on_backend: Play) -> None:
    """A whole operator, one VMClone, one incarnation: each sees its own, and an empty owner's list is no error."""

    async def scenario(stage: Stage) -> None:
        mine, other = Wish(), Wish()
        point = await frozen_point(stage.session, stage.site.source, mine)
        intents = [mine.clone_intent(point, ordinal=ordinal) for ordinal in (1, 2)]
        for intent in intents:
            await made(stage.session, intent)
        theirs = await cloned(stage.session, stage.site.source, other)
        stamps = {intent.stamp for intent in intents}
        assert {clone.stamp for clone in await stage.session.find_clones(mine.owner)} == stamps
        everything = await stage.session.find_clones(Owner(instance=INSTANCE))
        assert {clone.stamp for clone in everything} >= stamps | {theirs.stamp}
        assert [c.stamp for c in await stage.session.find_clones(owner_of(theirs.stamp))] == [theirs.stamp]
        assert list(await stage.session.find_clones(Wish().owner)) == []

    on_backend(scenario)


def test_power_is_set_once_however_often_it_is_asked_for(on_backend: Play) -> None:
    """On is on and off is off; links stay down through both."""

    async def scenario(stage: Stage) -> None:
        intent = await cloned(stage.session, stage.site.source, Wish())
        for power in (Power.ON, Power.ON, Power.OFF, Power.OFF):
            await until(partial(_powered, stage, intent.stamp.incarnation, power))
            assert (await observed(stage.session, intent.stamp)).connected is False

    on_backend(scenario)


async def _powered(stage: Stage, incarnation: str, power: Power) -> bool:
    (clone,) = await stage.session.find_clones(Owner(instance=INSTANCE, incarnation=incarnation))
    await stage.session.set_power(ref_to(clone.stamp), power)
    return (await observed(stage.session, clone.stamp)).power is power


@pytest.mark.parametrize("when", [Power.ON, Power.OFF])
def test_links_stay_up_once_connected(on_backend: Play, when: Power) -> None:
    """Connecting counts for the running VM and for every later boot."""

    async def scenario(stage: Stage) -> None:
        intent = await cloned(stage.session, stage.site.source, Wish())
        await until(lambda: _powered(stage, intent.stamp.incarnation, when))
        await stage.session.connect_network(ref_to(intent.stamp))
        await stage.session.connect_network(ref_to(intent.stamp))
        assert (await observed(stage.session, intent.stamp)).connected
        for power in (Power.OFF, Power.ON):
            await until(partial(_powered, stage, intent.stamp.incarnation, power))
            assert (await observed(stage.session, intent.stamp)).connected

    on_backend(scenario)


def test_power_change_wakes_the_replica(on_backend: Play) -> None:
    """A pass follows at once, not at the next resync; an empty name means: any may have changed."""

    async def scenario(stage: Stage) -> None:
        if not stage.site.traits.events:
            return  # found by the engine's own round
        intent = await cloned(stage.session, stage.site.source, Wish())
        stage.operator.woken.clear()
        await until(lambda: _powered(stage, intent.stamp.incarnation, Power.ON))

        async def woken() -> bool:
            return bool({intent.stamp.incarnation, ""} & set(stage.operator.woken))

        await until(woken)

    on_backend(scenario)


@pytest.mark.parametrize("power", [Power.ON, Power.OFF])
def test_deleted_clone_leaves_nothing(on_backend: Play, power: Power) -> None:
    """VM, disks and seed go, running or not; what belongs to others stays; deleting again is no error."""

    async def scenario(stage: Stage) -> None:
        wish = Wish()
        point = await frozen_point(stage.session, stage.site.source, wish)
        before = (stage.site.files(), stage.site.vms())
        intent = wish.clone_intent(point)
        await made(stage.session, intent)
        await until(lambda: _powered(stage, intent.stamp.incarnation, power))
        await removed(stage.session, intent.stamp)
        assert (stage.site.files(), stage.site.vms()) == before
        assert (await stage.session.delete_clone(ref_to(intent.stamp))).done is True

    on_backend(scenario)


def test_deleting_what_never_was_is_done_at_once(on_backend: Play) -> None:
    """A replica that was deleted before its clone was made does not keep its finalizer."""

    async def scenario(stage: Stage) -> None:
        wish = Wish()
        intent = wish.clone_intent(await frozen_point(stage.session, stage.site.source, wish))
        assert (await stage.session.delete_clone(ref_to(intent.stamp))).done is True

    on_backend(scenario)


def test_deleting_finds_files_without_a_vm(on_backend: Play) -> None:
    """Disks of a clone that was never defined, or whose VM somebody removed, go as well."""

    async def scenario(stage: Stage) -> None:
        wish = Wish()
        point = await frozen_point(stage.session, stage.site.source, wish)
        before = stage.site.files()
        unfinished, beheaded = wish.clone_intent(point), wish.clone_intent(point, ordinal=2)
        stage.site.leave_clone_file(unfinished.stamp.incarnation, unfinished.token)
        await made(stage.session, beheaded)
        stage.site.remove_vm(beheaded.uuid)
        assert stage.site.files() != before
        await removed(stage.session, unfinished.stamp)
        await removed(stage.session, beheaded.stamp)
        assert stage.site.files() == before

    on_backend(scenario)


def test_rebuilt_replica_stands_beside_its_predecessor(on_backend: Play) -> None:
    """A new incarnation shares nothing with the old one, so removing the old one cannot harm it."""

    async def scenario(stage: Stage) -> None:
        wish = Wish()
        point = await frozen_point(stage.session, stage.site.source, wish)
        old, new = wish.clone_intent(point), wish.clone_intent(point)
        await made(stage.session, old)
        await made(stage.session, new)
        await removed(stage.session, old.stamp)
        assert (await observed(stage.session, new.stamp)).complete
        assert [clone.stamp for clone in await stage.session.find_clones(wish.owner)] == [new.stamp]

    on_backend(scenario)


def test_what_a_clone_was_made_from_stands_on_it(on_backend: Play) -> None:
    """Whoever finds the VM later, and nothing else of us, knows what it is a clone of."""

    async def scenario(stage: Stage) -> None:
        wish = Wish()
        intent = wish.clone_intent(await frozen_point(stage.session, stage.site.source, wish))
        words = "Disk of source <golden> & 'dev'"
        await made(stage.session, replace(intent, made_from=words))
        assert (await observed(stage.session, intent.stamp)).made_from == words

    on_backend(scenario)
