"""What the contract promises when things go wrong while disks or images are copied, proven on the fake."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import cache

import pytest
from tests.contract.backends import FakeSite
from tests.contract.lives import Life, Outcome
from tests.contract.steps import Wish, another_attempt, frozen_point, image_point, made, owner_of
from tests.contract.test_faults import KINDS, opened
from tests.support.refs import ref_to

from vmclone_operator.domain.backend import CloneIntent, DiskCopy, Mode, OperationState, Power, Shape
from vmclone_operator.domain.errors import RetryLater, SourceChanged
from vmclone_operator.providers.fake import (
    FakeSession,
    Fault,
    FaultKind,
    FaultSchedule,
    Killed,
    Point,
    at_call,
    at_index,
    seeded,
)

LIVES = {
    "full": (Mode.DISK, DiskCopy.FULL),
    "clean": (Mode.CLEAN, DiskCopy.LINKED),
    "clean and full": (Mode.CLEAN, DiskCopy.FULL),
}
SECONDS = 100.0
"""How long both disks of a full clone take in these tests."""


def outcome_of(life: str, schedule: FaultSchedule) -> Outcome:
    mode, how = LIVES[life]
    return asyncio.run(Life(schedule, mode=mode, copy=how).run())


@cache
def undisturbed(life: str) -> tuple[tuple[Point, ...], Outcome]:
    schedule = FaultSchedule(record=True)
    outcome = outcome_of(life, schedule)
    return tuple(schedule.trace), outcome


def wrong(outcome: Outcome, expected: Outcome) -> list[str]:
    """Return what differs from the same life without faults."""
    checks = {
        "inventory": (outcome.made, outcome.end) == (expected.made, expected.end),
        "made, booted and removed once": (outcome.creates, outcome.boots, outcome.deletes) == (1, 1, 1),
        "frozen at most 5 s": outcome.longest_freeze_seconds <= 5,
        "nothing foreign touched": outcome.foreign_touched == (),
        "no finished disk copied again": outcome.finished_copied_again == (),
    }
    return [name for name, holds in checks.items() if not holds]


@pytest.mark.parametrize("life", LIVES)
def test_undisturbed_life_is_worth_comparing_with(life: str) -> None:
    """The yardstick itself: one clone with its own identity, each disk copied once, nothing left."""
    _, outcome = undisturbed(life)
    assert wrong(outcome, outcome) == []
    assert "own_identity=True" in outcome.made.clones[0]
    assert (outcome.end.clones, outcome.end.files, outcome.end.frozen_points) == ((), (), ())
    assert outcome.most_copies_of_a_disk == (1 if "full" in life else 0)


@pytest.mark.parametrize("life", LIVES)
@pytest.mark.parametrize("kind", KINDS)
def test_repeating_any_verb_after_any_fault_ends_as_if_nothing_had_happened(kind: FaultKind, life: str) -> None:
    """Every single call inside every verb may fail, hang, lose its reply or be the operator's last one."""
    trace, expected = undisturbed(life)
    fault = Fault(kind=kind, delay_seconds=30 if kind is FaultKind.HANG else 0)
    for point in trace:
        outcome = outcome_of(life, FaultSchedule(at_index(point.index, fault)))
        assert wrong(outcome, expected) == [], f"{kind} at {point}"
        assert outcome.most_copies_of_a_disk <= 2, f"{kind} at {point}"


@pytest.mark.parametrize("life", LIVES)
def test_seeded_faults_all_over_a_life_change_nothing_in_the_end(life: str) -> None:
    """Many faults in one life are survived like a single one; the seed of a failure repeats it."""
    _, expected = undisturbed(life)
    for seed in range(40):
        outcome = outcome_of(life, FaultSchedule(seeded(seed, rate=0.15, until=120)))
        assert wrong(outcome, expected) == [], f"seed {seed}"


async def full_clone(site: FakeSite, session: FakeSession) -> CloneIntent:
    """Freeze, and ask for a full clone of two disks of which each takes half of SECONDS."""
    wish = Wish()
    intent = replace(wish.clone_intent(await frozen_point(session, site.source, wish)), copy=DiskCopy.FULL)
    site.world.clone_seconds = SECONDS
    await session.start_clone(intent)
    return intent


def test_full_copy_tells_how_far_it_is() -> None:
    """Percent moves with time, and disks are named as soon as each of them is whole."""

    async def scenario() -> list[tuple[int, tuple[str, ...]]]:
        site = FakeSite(Power.OFF)
        session = await opened(site.world)
        intent, seen = await full_clone(site, session), []
        for _ in range(3):
            site.world.advance(40)
            progress = await session.start_clone(intent)
            assert progress.state is OperationState.RUNNING
            seen.append((progress.percent // 10, progress.finished))
        return seen

    assert asyncio.run(scenario()) == [(4, ()), (8, ("vda",)), (9, ("vda", "vdb"))]


def test_copy_that_nobody_follows_ends_and_is_made_again() -> None:
    """The killed operator's copy goes on; the next one waits for its end, and copies that one disk only."""

    async def scenario() -> dict[str, int]:
        site = FakeSite(Power.OFF)
        intent = await full_clone(site, await opened(site.world))
        site.world.advance(60)
        site.world.faults.choose = at_call("copy disk", Fault(kind=FaultKind.KILL_AFTER))
        with pytest.raises(Killed):
            await (await opened(site.world)).start_clone(replace(intent, finished=("vda",)))
        site.world.restart_operator()
        session, recorded = await opened(site.world), replace(intent, finished=("vda",))
        with pytest.raises(RetryLater, match="interrupted copy"):
            await session.start_clone(recorded)
        site.world.advance(SECONDS)
        await session.start_clone(recorded)
        site.world.advance(SECONDS)
        await made(session, recorded)
        assert site.world.effects.finished_copied_again == []
        return {name[-3:]: count for name, count in site.world.effects.disk_copies.items()}

    assert asyncio.run(scenario()) == {"vda": 1, "vdb": 2}


def test_new_attempt_waits_for_the_copy_of_the_old_one() -> None:
    """Nothing of the old attempt stays, and the new one is made of its own files only."""

    async def scenario() -> None:
        site = FakeSite(Power.OFF)
        session = await opened(site.world)
        intent = another_attempt(await full_clone(site, session))
        with pytest.raises(RetryLater, match="interrupted copy"):
            await session.start_clone(intent)
        site.world.advance(SECONDS)
        await session.start_clone(intent)
        site.world.advance(SECONDS)
        await made(session, intent)
        (clone,) = await session.find_clones(owner_of(intent.stamp))
        assert clone.token == intent.token
        assert sorted(site.world.effects.disk_copies.values()) == [1, 2]

    asyncio.run(scenario())


def test_deleting_waits_for_the_copy_in_work_and_begins_no_other() -> None:
    """The finalizer stays until the last file is gone; a source of a running copy is not removed under it."""

    async def scenario() -> None:
        site = FakeSite(Power.OFF)
        session = await opened(site.world)
        intent = await full_clone(site, session)
        owner = Wish(uid=intent.stamp.vmclone_uid).owner
        with pytest.raises(RetryLater):
            await session.release_frozen(owner, intent.frozen_token)
        assert (await session.delete_clone(ref_to(intent.stamp))).done is False
        site.world.advance(SECONDS)
        assert (await session.delete_clone(ref_to(intent.stamp))).done is True
        assert (await session.release_frozen(owner, intent.frozen_token)).done is True
        assert site.world.inventory().files == ()
        assert list(site.world.effects.disk_copies.values()) == [1]

    asyncio.run(scenario())


def test_image_replaced_while_it_is_copied_is_no_frozen_point() -> None:
    """Half of the old image and half of the new one is told once, in words, and is lost for good."""

    async def scenario() -> None:
        site = FakeSite(Power.ON)
        image, session, wish = site.add_image("golden"), await opened(site.world), Wish()
        before, site.world.copy_seconds = site.files(), 100
        intent = wish.freeze_intent(site.world.find(site.source).uuid, image=image)
        intent = replace(intent, handle=(await session.freeze(intent)).handle)
        site.replace_image(image)
        with pytest.raises(SourceChanged, match="golden"):
            await session.freeze(intent)
        assert (await session.freeze(intent)).state is OperationState.LOST
        assert (await session.release_frozen(wish.owner, intent.token)).done
        assert site.files() == before

    asyncio.run(scenario())


def test_image_replaced_before_its_copy_has_begun_is_refused_at_once() -> None:
    """The fingerprint in status is that of the bytes in the frozen point, or there is none."""

    async def scenario() -> None:
        site = FakeSite(Power.ON)
        image, session, wish = site.add_image("golden"), await opened(site.world), Wish()
        replaced = Fault(kind=FaultKind.MEANWHILE, meanwhile=lambda: site.replace_image(image))
        site.world.faults.choose = at_call("copy volume", replaced)
        intent = wish.freeze_intent(site.world.find(site.source).uuid, image=image)
        with pytest.raises(SourceChanged, match="golden"):
            await session.freeze(intent)
        assert list(await session.find_frozen(wish.owner)) == [intent.token]
        assert (await session.release_frozen(wish.owner, intent.token)).done

    asyncio.run(scenario())


def test_disk_is_as_large_as_a_large_image() -> None:
    """An image is never cut off to the source's size."""

    async def scenario() -> int:
        site = FakeSite(Power.OFF)
        session, wish = await opened(site.world), Wish()
        large = site.world.add_image("large", capacity_bytes=1 << 40).name
        intent = replace(wish.clone_intent(await image_point(session, site.source, large, wish)), mode=Mode.CLEAN)
        await made(session, intent)
        return (await session.describe_source(intent.uuid)).disks[0].capacity_bytes

    assert asyncio.run(scenario()) == 1 << 40


def test_image_is_copied_while_its_source_is_busy_running_or_switched() -> None:
    """Another VMClone's copy of the source holds up nobody who only wants its shape."""

    async def scenario() -> None:
        site = FakeSite(Power.ON)
        image, session, wish = site.add_image("golden"), await opened(site.world), Wish()
        source = site.world.find(site.source)
        site.world.copy_seconds = 100
        await session.freeze(Wish().freeze_intent(source.uuid))
        intent = wish.freeze_intent(source.uuid, image=image)
        intent = replace(intent, handle=(await session.freeze(intent)).handle)
        site.world.set_power_by_hand(source, Power.OFF)
        site.world.advance(100)
        assert (await session.freeze(intent)).done
        assert site.world.effects.foreign_touched == []

    asyncio.run(scenario())


def test_fresh_guest_takes_its_seed_when_cloud_init_is_done() -> None:
    """Host key, user and keys are there after the first boot and not before; hand-made changes are seen."""

    async def scenario() -> None:
        site = FakeSite(Power.OFF)
        session, wish = await opened(site.world), Wish()
        point = await image_point(session, site.source, site.add_image("golden"), wish)
        intent = replace(wish.clone_intent(point), mode=Mode.CLEAN)
        seed = replace(intent.seed, user="dev", authorized_keys=("ssh-ed25519 AAAA alice",), host_public_key="key")
        await made(session, replace(intent, seed=seed))
        machine, site.world.settle_seconds = site.world.find(intent.uuid), 30
        await session.set_power(ref_to(intent.stamp), Power.ON)
        assert (site.world.booted(machine), machine.guest.host_key) == (False, "")
        site.world.advance(30)
        assert (site.world.booted(machine), machine.guest.host_key) == (True, "key")
        assert machine.guest.authorized_keys == {"dev": ["ssh-ed25519 AAAA alice"]}
        site.world.reconfigure_by_hand(machine, cpus=8)
        (clone,) = await session.find_clones(wish.owner)
        assert clone.shape == Shape(cpus=8, memory_bytes=machine.memory_bytes, networks=("default",))

    asyncio.run(scenario())
