"""What every backend promises about copies of their own: independent at the end, and no finished disk copied twice."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
from tests.contract.backends import Operator, Play, Stage
from tests.contract.steps import Wish, fresh_token, frozen_point, made, observed, owner_of, ref_of, removed, until
from tests.support.refs import is_gone, ref_to

from vmclone_operator.domain.backend import BackendSession, CloneIntent, DiskCopy, OperationState, Power
from vmclone_operator.domain.errors import CapabilityMissing, LeadershipLost, RetryLater

DISK = "vda"
"""The disk that `leave_clone_file` leaves."""


async def full_intent(stage: Stage, wish: Wish) -> CloneIntent | None:
    """Return the wish for a full clone, or None where the backend says it has none, and then it must refuse it."""
    intent = wish.clone_intent(await frozen_point(stage.session, stage.site.source, wish))
    intent = replace(intent, copy=DiskCopy.FULL)
    if (await stage.session.check()).capabilities.full:
        return intent
    with pytest.raises(CapabilityMissing):
        await stage.session.start_clone(intent)
    return None


def disks_of(stage: Stage, intent: CloneIntent) -> dict[str, str]:
    """Return the mark of each of this attempt's files; the seed is no disk and always made anew."""
    files = [name for name in stage.site.files() if intent.token in name and "seed" not in name]
    return {name: stage.site.file_mark(name) for name in files}


async def copied(session: BackendSession, intent: CloneIntent) -> CloneIntent:
    """Copy every disk and record that, but do not ask for the VM yet."""
    source = await session.describe_source(intent.source_id)
    wanted = {disk.target for disk in source.disks if not disk.shared}
    known: tuple[str, ...] = ()

    async def all_finished() -> bool:
        nonlocal known
        try:
            progress = await session.start_clone(intent)
        except RetryLater:
            return False
        assert progress.state is OperationState.RUNNING, "without the ledger's word it is never done"
        known = progress.finished
        return set(known) == wanted

    await until(all_finished)
    return replace(intent, finished=known)


async def refused(session: BackendSession, intent: CloneIntent) -> bool:
    """Ask for the copies; return whether the operator was told that another one leads."""
    try:
        await session.start_clone(intent)
    except LeadershipLost:
        return True
    return False


def test_full_clone_does_not_need_its_frozen_point(on_backend: Play) -> None:
    """The point is released after the rollout; the clone stays whole and can be switched on."""

    async def scenario(stage: Stage) -> None:
        wish = Wish()
        if intent := await full_intent(stage, wish):
            await made(stage.session, intent)
            await until(lambda: is_gone(stage.session.release_frozen(wish.owner, intent.frozen_token)))
            assert list(await stage.session.find_frozen(wish.owner)) == []
            await stage.session.set_power(ref_to(intent.stamp), Power.ON)
            clone = await observed(stage.session, intent.stamp)
            assert (clone.complete, clone.connected, clone.token) == (True, False, intent.token)

    on_backend(scenario)


def test_vm_is_defined_last_and_only_on_the_ledgers_word(disk_by_disk: Play) -> None:
    """A VM that exists proves that its disks are whole and recorded; before that nobody can switch it on."""

    async def scenario(stage: Stage) -> None:
        if intent := await full_intent(stage, Wish()):
            before = stage.site.vms()
            recorded = await copied(stage.session, intent)
            assert list(await stage.session.find_clones(owner_of(intent.stamp))) == []
            assert stage.site.vms() == before
            assert (await stage.session.start_clone(recorded)).done
            assert (await observed(stage.session, intent.stamp)).complete

    disk_by_disk(scenario)


def test_restarted_operator_copies_no_finished_disk_again(disk_by_disk: Play) -> None:
    """What the ledger calls finished stays as it is, although the new process did not see it being made."""

    async def scenario(stage: Stage) -> None:
        if intent := await full_intent(stage, Wish()):
            async with stage.site.session(Operator()) as first:
                recorded = await copied(first, intent)
            before = disks_of(stage, intent)
            await made(stage.session, recorded)
            assert disks_of(stage, intent) == before != {}
            assert (await observed(stage.session, intent.stamp)).complete

    disk_by_disk(scenario)


def test_disk_that_the_ledger_calls_finished_is_kept(disk_by_disk: Play) -> None:
    """The ledger is believed about a file of its own attempt, and the other disks are copied beside it."""

    async def scenario(stage: Stage) -> None:
        if intent := await full_intent(stage, Wish()):
            stage.site.leave_clone_file(intent.stamp.incarnation, intent.token)
            (kept,) = disks_of(stage, intent).items()
            await made(stage.session, replace(intent, finished=(DISK,)))
            assert kept in disks_of(stage, intent).items()

    disk_by_disk(scenario)


def test_operator_that_leads_again_keeps_what_another_one_copied(disk_by_disk: Play) -> None:
    """It remembers disks of this very attempt that it has yet to copy; the ledger knows better."""

    async def scenario(stage: Stage) -> None:
        if intent := await full_intent(stage, Wish()):
            away = Operator(leads=False)
            async with stage.site.session(away) as session:
                await until(partial(refused, session, intent))
                recorded = await copied(stage.session, intent)
                before = disks_of(stage, intent)
                away.leads = True
                await made(session, recorded)
            assert disks_of(stage, intent) == before != {}

    disk_by_disk(scenario)


@pytest.mark.parametrize("same_token", [True, False], ids=["left by this attempt", "left by another attempt"])
def test_interrupted_copy_is_made_again(disk_by_disk: Play, same_token: bool) -> None:
    """A disk of which nobody knows whether it is whole is removed, whichever attempt began it."""

    async def scenario(stage: Stage) -> None:
        if intent := await full_intent(stage, Wish()):
            left = replace(intent, token=intent.token if same_token else fresh_token())
            stage.site.leave_clone_file(intent.stamp.incarnation, left.token)
            (half,) = disks_of(stage, left).items()
            await made(stage.session, intent)
            assert half not in disks_of(stage, left).items()
            assert (await observed(stage.session, intent.stamp)).complete

    disk_by_disk(scenario)


def test_starting_a_full_clone_again_copies_nothing_again(disk_by_disk: Play) -> None:
    """Every pass starts it anew: before the VM is there, and after."""

    async def scenario(stage: Stage) -> None:
        if intent := await full_intent(stage, Wish()):
            recorded = await copied(stage.session, intent)
            before = disks_of(stage, intent)
            await stage.session.start_clone(intent)
            await made(stage.session, recorded)
            await stage.session.start_clone(replace(recorded, token=fresh_token(), finished=()))
            assert disks_of(stage, intent) == before

    disk_by_disk(scenario)


def test_finished_disk_that_is_gone_makes_the_attempt_a_lost_one(disk_by_disk: Play) -> None:
    """Its name is never used again: half a disk would pass for a finished one. A new attempt has a new name."""

    async def scenario(stage: Stage) -> None:
        if intent := await full_intent(stage, Wish()):
            before = stage.site.vms()
            gone = replace(intent, finished=(DISK,))
            progress = await stage.session.start_clone(gone)
            assert progress.state is OperationState.LOST
            assert stage.site.vms() == before
            await made(stage.session, replace(intent, token=fresh_token()))

    disk_by_disk(scenario)


def test_deleted_full_clone_leaves_nothing(on_backend: Play) -> None:
    """Its copies go with it."""

    async def scenario(stage: Stage) -> None:
        if intent := await full_intent(stage, Wish()):
            before = (stage.site.files(), stage.site.vms())
            await made(stage.session, intent)
            await removed(stage.session, intent.stamp)
            assert (stage.site.files(), stage.site.vms()) == before

    on_backend(scenario)


def test_copies_that_never_came_to_be_a_clone_are_deleted(disk_by_disk: Play) -> None:
    async def scenario(stage: Stage) -> None:
        if intent := await full_intent(stage, Wish()):
            before = (stage.site.files(), stage.site.vms())
            await copied(stage.session, intent)
            await removed(stage.session, intent.stamp)
            assert (stage.site.files(), stage.site.vms()) == before

    disk_by_disk(scenario)


@pytest.mark.parametrize("calls", [1, 2, 3, 4])
def test_full_clone_that_has_just_begun_is_deleted(on_backend: Play, calls: int) -> None:
    """Whatever its copy has come to: nothing of it is there, nor comes to be there afterwards."""

    async def scenario(stage: Stage) -> None:
        if intent := await full_intent(stage, Wish()):
            before = (stage.site.files(), stage.site.vms())
            for _ in range(calls):
                progress = await stage.session.start_clone(intent)
                intent = replace(intent, handle=progress.handle or intent.handle)
            await until(lambda: is_gone(stage.session.delete_clone(ref_of(intent))))
            for _ in range(5):
                await stage.session.check()
            assert (stage.site.files(), stage.site.vms()) == before

    on_backend(scenario)
