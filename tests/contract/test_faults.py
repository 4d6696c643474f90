"""What the contract promises when things go wrong, proven where faults can be put between any two single calls."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import cache

import pytest
from tests.contract.backends import FakeSite, Operator
from tests.contract.lives import Life, Outcome
from tests.contract.steps import Wish, finished

from vmclone_operator.domain.backend import BackendConfig, Consistency, OperationState, Power
from vmclone_operator.domain.errors import (
    CloneError,
    InsufficientSpace,
    QuiesceFailed,
    RetryLater,
    SourceChanged,
    SourceLocked,
    SourceNotFound,
)
from vmclone_operator.providers.fake import (
    FakeBackend,
    FakeSession,
    Fault,
    FaultKind,
    FaultSchedule,
    Killed,
    Point,
    World,
    at_call,
    at_index,
    seeded,
)

KINDS = [kind for kind in FaultKind if kind is not FaultKind.MEANWHILE]


async def opened(world: World) -> FakeSession:
    operator = Operator()
    return await FakeBackend(world).open(
        BackendConfig(name="fake", settings={}), wake=operator.wake, fence=operator.fence
    )


@cache
def undisturbed(power: Power) -> tuple[tuple[Point, ...], Outcome]:
    schedule = FaultSchedule(record=True)
    outcome = asyncio.run(Life(schedule, power=power).run())
    return tuple(schedule.trace), outcome


def test_undisturbed_life_is_worth_comparing_with() -> None:
    """The yardstick itself: one clone, one boot, its own identity, and nothing left at the end."""
    _, outcome = undisturbed(Power.ON)
    assert (outcome.creates, outcome.boots, outcome.deletes) == (1, 1, 1)
    assert "own_identity=True" in outcome.made.clones[0]
    assert (outcome.end.clones, outcome.end.files, outcome.end.frozen_points) == ((), (), ())
    assert len(outcome.made.files) == 5, "two bases, two overlays, one seed"


@pytest.mark.parametrize("power", [Power.ON, Power.OFF], ids=["running source", "powered-off source"])
@pytest.mark.parametrize("kind", KINDS)
def test_repeating_any_verb_after_any_fault_ends_as_if_nothing_had_happened(kind: FaultKind, power: Power) -> None:
    """Every single call inside every verb may fail, hang, lose its reply or be the operator's last one."""
    trace, expected = undisturbed(power)
    fault = Fault(kind=kind, delay_seconds=30 if kind is FaultKind.HANG else 0)
    for point in trace:
        outcome = asyncio.run(Life(FaultSchedule(at_index(point.index, fault)), power=power).run())
        frozen = outcome.longest_freeze_seconds
        assert frozen <= 5, f"{kind} at {point}: frozen for {frozen} s"
        assert (outcome.made, outcome.end) == (expected.made, expected.end), f"{kind} at {point}"
        assert (outcome.creates, outcome.boots, outcome.deletes) == (1, 1, 1), f"{kind} at {point}"
        assert outcome.foreign_touched == (), f"{kind} at {point}"


def test_source_is_thawed_although_the_operator_died_and_never_returned() -> None:
    """The watchdog in the guest needs nobody: at every kill point inside freeze the source is writable within 5 s."""

    async def killed_at(index: int, kind: FaultKind) -> tuple[bool, float]:
        site = FakeSite(Power.ON)
        session = await opened(site.world)
        source = site.world.find(site.source)
        site.world.faults.choose = at_index(index, Fault(kind=kind))
        try:
            await session.freeze(Wish().freeze_intent(source.uuid))
        except Killed:
            was_frozen = source.frozen(site.world.now())
            site.world.advance(3600)
            return was_frozen, 99 if source.frozen(site.world.now()) else site.world.longest_freeze_seconds
        return False, 0

    kills = (FaultKind.KILL_BEFORE, FaultKind.KILL_AFTER)
    results = [asyncio.run(killed_at(index, kind)) for index in range(10) for kind in kills]
    assert any(was_frozen for was_frozen, _ in results), "no kill came between freeze and thaw"
    assert all(seconds <= 5 for _, seconds in results)


def test_killed_operator_does_nothing_more() -> None:
    """What a dead process still had in hand has no effect, before and after the next one starts."""

    async def scenario() -> None:
        site = FakeSite(Power.ON)
        old = await opened(site.world)
        site.world.faults.choose = at_call("version", Fault(kind=FaultKind.KILL_BEFORE))
        with pytest.raises(Killed):
            await old.check()
        with pytest.raises(Killed):
            await old.describe_source(site.source)
        site.world.restart_operator()
        with pytest.raises(Killed):
            await old.check()
        await (await opened(site.world)).check()

    asyncio.run(scenario())


def test_source_is_thawed_at_once_when_the_backup_is_refused() -> None:
    """The watchdog is for dead operators only; a living one thaws in the same breath, and gives the attempt up."""

    async def scenario() -> None:
        site = FakeSite(Power.ON)
        session, before = await opened(site.world), site.files()
        source = site.world.find(site.source)
        site.world.faults.choose = at_call("backup-begin", Fault(kind=FaultKind.THROTTLE))
        with pytest.raises(RetryLater):
            await session.freeze(Wish().freeze_intent(source.uuid))
        assert not source.frozen(site.world.now())
        assert site.files() == before

    asyncio.run(scenario())


def test_seeded_faults_all_over_a_life_change_nothing_in_the_end() -> None:
    """Many faults in one life are survived like a single one; the seed of a failure repeats it."""
    for seed in range(60):
        power = Power.ON if seed % 2 else Power.OFF
        _, expected = undisturbed(power)
        outcome = asyncio.run(Life(FaultSchedule(seeded(seed, rate=0.15, until=120)), power=power).run())
        assert (outcome.made, outcome.end) == (expected.made, expected.end), f"seed {seed}"
        assert (outcome.creates, outcome.boots, outcome.deletes) == (1, 1, 1), f"seed {seed}"
        assert outcome.longest_freeze_seconds <= 5, f"seed {seed}"
        assert outcome.foreign_touched == (), f"seed {seed}"


def test_late_thaw_is_no_quiesced_frozen_point() -> None:
    """When the watchdog was faster than the backup, the attempt is given up and leaves nothing."""

    async def scenario() -> None:
        site = FakeSite(Power.ON)
        session = await opened(site.world)
        before = site.files()
        late = Fault(kind=FaultKind.MEANWHILE, meanwhile=lambda: site.world.advance(10))
        site.world.faults.choose = at_call("backup-begin", late)
        intent = Wish().freeze_intent(site.world.find(site.source).uuid)
        with pytest.raises(RetryLater):
            await session.freeze(intent)
        assert site.files() == before
        assert (await finished(session, intent)).consistency is Consistency.QUIESCED
        assert site.world.longest_freeze_seconds <= 5

    asyncio.run(scenario())


def test_running_copy_is_adopted_locks_the_source_and_can_be_released() -> None:
    """Progress is told while it runs; a second VMClone waits; releasing ends the job."""

    async def scenario() -> None:
        site = FakeSite(Power.ON)
        site.world.copy_seconds = 100
        session, wish = await opened(site.world), Wish()
        intent = wish.freeze_intent(site.world.find(site.source).uuid)
        frozen = await session.freeze(intent)
        assert await (await opened(site.world)).freeze(intent) == frozen
        site.world.advance(40)
        progress = await session.freeze(replace(intent, handle=frozen.handle))
        assert (progress.state, progress.percent // 10) == (OperationState.RUNNING, 4)
        with pytest.raises(SourceLocked):
            await session.freeze(Wish().freeze_intent(intent.source_id))
        assert (await session.release_frozen(wish.owner, intent.token)).done
        assert (await session.freeze(Wish().freeze_intent(intent.source_id))).state is OperationState.RUNNING

    asyncio.run(scenario())


def test_copy_that_died_half_made_is_lost_and_never_finished() -> None:
    """After a restart of the hypervisor the attempt is lost for good; its files are found and removed."""

    async def scenario() -> None:
        site = FakeSite(Power.ON)
        site.world.copy_seconds = 100
        session, wish = await opened(site.world), Wish()
        intent = wish.freeze_intent(site.world.find(site.source).uuid)
        intent = replace(intent, handle=(await session.freeze(intent)).handle)
        site.world.lose_copies()
        site.world.advance(1000)
        assert (await session.freeze(intent)).state is OperationState.LOST
        assert list(await session.find_frozen(wish.owner)) == [intent.token]
        assert (await session.release_frozen(wish.owner, intent.token)).done
        assert site.world.inventory().files == ()

    asyncio.run(scenario())


def test_source_that_starts_while_it_is_copied_is_refused() -> None:
    """A torn image of a disk in use is never called PoweredOff."""

    async def scenario() -> None:
        site = FakeSite(Power.OFF)
        source, session = site.world.find(site.source), await opened(site.world)
        start = Fault(kind=FaultKind.MEANWHILE, meanwhile=lambda: site.world.set_power_by_hand(source, Power.ON))
        site.world.faults.choose = at_call("copy volume", start, skip=1)
        with pytest.raises(SourceChanged):
            await session.freeze(Wish().freeze_intent(source.uuid))

    asyncio.run(scenario())


async def described_and_frozen(session: FakeSession, name: str) -> None:
    source = await session.describe_source(name)
    await session.freeze(Wish().freeze_intent(source.source_id))


SOURCE_TROUBLES: dict[str, tuple[str, type[CloneError]]] = {
    "no agent, quiesced wanted": ("agentless", QuiesceFailed),
    "two of that name": ("twins", SourceNotFound),
    "pool full": ("full", InsufficientSpace),
}


@pytest.mark.parametrize(("trouble", "error"), SOURCE_TROUBLES.values(), ids=SOURCE_TROUBLES.keys())
def test_trouble_with_the_source_has_its_own_word(trouble: str, error: type[CloneError]) -> None:
    """People read in the condition what to change; no file is made."""

    async def scenario() -> None:
        site = FakeSite(Power.ON)
        site.world.add_source("agentless", agent=False)
        site.world.add_source("twins", number=1)
        site.world.add_source("twins", number=2)
        site.world.add_source("full")
        before, session = site.files(), await opened(site.world)
        site.world.pool.capacity_bytes = 1 if trouble == "full" else None
        with pytest.raises(error):
            await described_and_frozen(session, trouble)
        assert site.files() == before

    asyncio.run(scenario())
