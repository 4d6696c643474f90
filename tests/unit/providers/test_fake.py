"""The fake itself: what crash tests conclude is only as true as its faults, its freezes and its inventory."""

from __future__ import annotations

import asyncio

import pytest
from tests.support.refs import is_gone, ref_to

from vmclone_operator.domain import naming
from vmclone_operator.domain.backend import (
    BackendConfig,
    CloneIntent,
    Consistency,
    FreezeIntent,
    Seed,
    Stamp,
)
from vmclone_operator.domain.errors import BackendUnreachable, CloneError, LeadershipLost, RetryLater
from vmclone_operator.providers.fake import (
    FakeBackend,
    FakeSession,
    Fault,
    FaultKind,
    FaultSchedule,
    Inventory,
    Killed,
    World,
    at_call,
    seeded,
)

INCARNATION = "7d1f2d3c-0000-4000-8000-000000000001"
STAMP = Stamp(instance="op", namespace="team-a", vmclone="dev", vmclone_uid="u1", ordinal=1, incarnation=INCARNATION)


def new_world(schedule: FaultSchedule | None = None) -> World:
    """Return a world with one running source, in which time stands still until it is moved."""
    world = World(clock=lambda: 0.0, faults=schedule)
    world.add_source("golden")
    return world


def leads() -> None:
    """Let every write through."""


async def opened(world: World) -> FakeSession:
    config = BackendConfig(name="lab", settings={})
    return await FakeBackend(world).open(config, wake=lambda _: None, fence=leads)


async def freeze(session: FakeSession, world: World, token: str) -> None:
    source_id = world.find("golden").uuid
    intent = FreezeIntent(
        token=token, instance="op", vmclone_uid="u1", source_id=source_id, consistency=Consistency.QUIESCED
    )
    await session.freeze(intent)


async def clone(session: FakeSession, world: World, token: str, frozen_token: str) -> None:
    name = naming.vm_name("dev", INCARNATION)
    intent = CloneIntent(
        stamp=STAMP,
        token=token,
        vm_name=name,
        uuid=naming.clone_uuid(INCARNATION),
        source_id=world.find("golden").uuid,
        frozen_token=frozen_token,
        seed=Seed(instance_id=INCARNATION, hostname=name),
    )
    await session.start_clone(intent)


async def life(world: World, frozen_token: str = "f1", token: str = "c1") -> None:
    session = await opened(world)
    await freeze(session, world, frozen_token)
    await clone(session, world, token, frozen_token)


def after_life(frozen_token: str, token: str) -> Inventory:
    world = new_world()
    asyncio.run(life(world, frozen_token, token))
    return world.inventory()


@pytest.mark.parametrize(
    ("kind", "error", "happened"),
    [
        pytest.param(FaultKind.FAIL, BackendUnreachable, False, id="a refused call has no effect"),
        pytest.param(FaultKind.HANG, BackendUnreachable, False, id="a call that hangs has no effect"),
        pytest.param(FaultKind.THROTTLE, RetryLater, False, id="a call too many has no effect"),
        pytest.param(FaultKind.LOSE_REPLY, BackendUnreachable, True, id="a lost reply hides an effect"),
        pytest.param(FaultKind.KILL_BEFORE, Killed, False, id="an operator killed before the call changed nothing"),
        pytest.param(FaultKind.KILL_AFTER, Killed, True, id="an operator killed after the call leaves its effect"),
    ],
)
def test_a_fault_strikes_exactly_the_call_it_was_set_on(
    kind: FaultKind, error: type[BaseException], happened: bool
) -> None:
    world = new_world(FaultSchedule(at_call("define", Fault(kind=kind))))
    with pytest.raises(error):
        asyncio.run(life(world))
    assert [fault.kind for _, fault in world.faults.struck] == [kind]
    assert (INCARNATION in world.effects.creates) is happened


def test_an_ask_for_patience_says_for_how_long() -> None:
    fault = Fault(kind=FaultKind.THROTTLE, retry_after_seconds=5)
    with pytest.raises(RetryLater) as refused:
        asyncio.run(life(new_world(FaultSchedule(at_call("define", fault)))))
    assert refused.value.retry_after.total_seconds() == 5


def test_a_killed_operator_does_nothing_more_until_another_one_starts() -> None:
    world = new_world(FaultSchedule(at_call("version", Fault(kind=FaultKind.KILL_BEFORE))))

    async def scenario() -> None:
        session = await opened(world)
        for verb in (session.check, lambda: is_gone(session.delete_clone(ref_to(STAMP)))):
            with pytest.raises(Killed):
                await verb()
        world.restart_operator()
        await (await opened(world)).check()

    asyncio.run(scenario())


def test_the_same_seed_strikes_at_the_same_points() -> None:
    def struck(seed: int) -> list[str]:
        world = new_world(FaultSchedule(seeded(seed, rate=0.3, kinds=[FaultKind.FAIL])))
        for attempt in range(10):
            try:
                asyncio.run(life(world, f"f{attempt}", f"c{attempt}"))
            except CloneError:
                continue
        return [str(point) for point, _ in world.faults.struck]

    assert struck(1) == struck(1) != struck(2)
    assert struck(1)


def test_a_source_is_frozen_at_most_5_seconds_wherever_the_operator_dies() -> None:
    trace = FaultSchedule(record=True)
    asyncio.run(life(new_world(trace)))
    longest = []
    for point in (point for point in trace.trace if point.verb == "freeze"):
        for kind in (FaultKind.KILL_BEFORE, FaultKind.KILL_AFTER):
            world = new_world(FaultSchedule(at_call(point.call, Fault(kind=kind), verb="freeze")))
            with pytest.raises(Killed):
                asyncio.run(life(world))
            world.advance(60)
            assert not world.find("golden").frozen(world.now())
            longest.append(world.longest_freeze_seconds)
    assert 0 < max(longest) <= 5


def test_the_inventory_ignores_tokens() -> None:
    assert after_life("f1", "c1") == after_life("f2", "c2")


def test_the_inventory_shows_what_an_interrupted_attempt_left() -> None:
    world = new_world(FaultSchedule(at_call("define", Fault(kind=FaultKind.KILL_BEFORE))))
    with pytest.raises(Killed):
        asyncio.run(life(world))
    assert world.inventory() != after_life("f1", "c1")
    assert any(line.startswith("nobody") for line in world.inventory().files)


def test_no_write_follows_the_loss_of_leadership() -> None:
    world = new_world()

    def lost() -> None:
        raise LeadershipLost("another operator leads")

    async def scenario() -> None:
        config = BackendConfig(name="lab", settings={})
        session = await FakeBackend(world).open(config, wake=lambda _: None, fence=lost)
        with pytest.raises(LeadershipLost):
            await freeze(session, world, "f1")

    asyncio.run(scenario())
    assert world.effects.writes == 0
