"""The simulated hypervisor outlives operators, tells runs apart only by what matters, and stays quick."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.contract.lives import Clock, Life
from tests.contract.steps import Wish
from tests.support.refs import ref_to

from vmclone_operator.domain.backend import BackendConfig, Owner, Power
from vmclone_operator.domain.errors import CredentialsInvalid
from vmclone_operator.providers.fake import FakeBackend, FakeSession, FaultSchedule, World


async def opened(world: World | None, **settings: object) -> FakeSession:
    config = BackendConfig(name="fake", settings=settings)
    return await FakeBackend(world).open(config, wake=lambda _: None, fence=lambda: None)


def test_world_in_a_file_is_the_same_after_a_restart(tmp_path: Path) -> None:
    path, wish = tmp_path / "world.json", Wish()
    world = World(clock=Clock(1000), path=path)
    source = world.add_source("golden-dev", power=Power.ON)

    async def freeze() -> None:
        await (await opened(world)).freeze(wish.freeze_intent(source.uuid))

    asyncio.run(freeze())
    again = World(clock=Clock(5), path=path)
    assert again.inventory() == world.inventory()
    assert again.inventory().frozen_points == ("golden-dev Quiesced whole",)
    assert again.now() >= world.now(), "time never runs backwards"
    assert again.effects == world.effects


def test_inventory_does_not_depend_on_tokens() -> None:
    assert asyncio.run(Life(FaultSchedule()).run()) == asyncio.run(Life(FaultSchedule()).run())


def test_inventory_shows_a_leaked_file() -> None:
    life = Life(FaultSchedule())
    asyncio.run(life.run())
    clean = life.world.inventory()
    asyncio.run(life.frozen())
    for image in list(life.world.state.images.values()):
        life.world.pool.drop_image(image)
    assert life.world.inventory().files == ("nobody vda x1", "nobody vdb x1")
    assert life.world.inventory() != clean


def test_same_machine_id_gets_the_same_address() -> None:
    world = World(clock=Clock())
    one, two = world.add_source("one"), world.add_source("two")
    assert world.address(one) != world.address(two)
    two.guest.machine_id = one.guest.machine_id
    assert world.address(one) == world.address(two) != ""


def test_operator_process_has_one_world_where_every_source_exists() -> None:
    async def scenario() -> tuple[int, int]:
        first = await (await opened(None, bootSeconds=0)).describe_source("fake-source")
        second = await (await opened(None)).describe_source("fake-source")
        assert first == second
        return len(first.disks), len(first.macs)

    assert asyncio.run(scenario()) == (2, 1)


def test_boot_takes_as_long_as_the_backend_says() -> None:
    async def scenario() -> list[bool]:
        life = Life(FaultSchedule())
        intent = life.wish.clone_intent(await life.frozen())
        session = await opened(life.world, bootSeconds=30)
        await session.start_clone(intent)
        await session.set_power(ref_to(intent.stamp), Power.ON)
        seen = []
        for _ in range(3):
            seen += [clone.agent for clone in await session.find_clones(life.wish.owner)]
            life.world.advance(15)
        return seen

    assert asyncio.run(scenario()) == [False, False, True]


def test_boot_seconds_must_be_a_number() -> None:
    with pytest.raises(CredentialsInvalid, match="bootSeconds"):
        asyncio.run(opened(World(), bootSeconds="soon"))


def test_one_clone_is_found_among_thousands_without_looking_at_them() -> None:
    async def scenario() -> list[str]:
        life = Life(FaultSchedule())
        session, point = await opened(life.world), await life.frozen()
        intents = [life.wish.clone_intent(point, ordinal=ordinal) for ordinal in range(1, 2001)]
        for intent in intents:
            await session.start_clone(intent)
        found = []
        for intent in intents:
            owner = Owner(instance=intent.stamp.instance, incarnation=intent.stamp.incarnation)
            found += [clone.vm_name for clone in await session.find_clones(owner)]
        assert found == [intent.vm_name for intent in intents]
        return found

    assert len(asyncio.run(scenario())) == 2000
