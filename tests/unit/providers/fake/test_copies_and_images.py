"""Golden images, pools and half-made copies outlive the process in a file, and the inventory tells them apart."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.contract.lives import Clock
from tests.contract.steps import Wish, frozen_point, image_point, made
from tests.support.refs import ref_to

from vmclone_operator.domain.backend import BackendConfig, CloneIntent, DiskCopy, Mode, Power, Shape
from vmclone_operator.domain.errors import RetryLater, SourceNotFound
from vmclone_operator.providers.fake import FakeBackend, FakeSession, World

NEWER_FIELDS = frozenset(
    (
        *("golden_images", "pools", "files_made", "disk_copies", "finished_copied_again", "cpus", "memory_bytes"),
        *("networks", "first_boot", "capacity_bytes", "pool", "copied_from", "busy_until", "recorded", "serial"),
        *("golden", "why_lost"),
    )
)
"""What a state saved by the first release does not have; `capacity_bytes` only on files."""


async def opened(world: World) -> FakeSession:
    config = BackendConfig(name="fake", settings={})
    return await FakeBackend(world).open(config, wake=lambda _: None, fence=lambda: None)


async def full_clone_in_pool(world: World, session: FakeSession) -> CloneIntent:
    wish = Wish()
    world.add_source("golden-dev", power=Power.OFF)
    world.add_pool("fast")
    intent = wish.clone_intent(await frozen_point(session, "golden-dev", wish))
    return replace(intent, copy=DiskCopy.FULL, pool="fast")


def test_half_made_copy_is_the_same_after_a_restart(tmp_path: Path) -> None:
    """The file knows which disk is being written, so the next process waits for it as for a real one."""
    path, clock = tmp_path / "world.json", Clock(1000)

    async def scenario() -> None:
        world = World(clock=clock, path=path)
        session = await opened(world)
        intent = await full_clone_in_pool(world, session)
        world.add_image("golden")
        world.clone_seconds = 100
        await session.start_clone(intent)
        again = World(clock=clock, path=path)
        assert (again.inventory(), again.effects) == (world.inventory(), world.effects)
        assert again.find_image("golden") == world.find_image("golden")
        other = await opened(again)
        with pytest.raises(RetryLater):
            await other.start_clone(intent)
        again.advance(100)
        await made(other, intent)

    asyncio.run(scenario())


def test_fresh_guest_boots_after_a_restart(tmp_path: Path) -> None:
    """What cloud-init has yet to do is in the file as well."""
    path = tmp_path / "world.json"

    async def scenario() -> str:
        world, wish = World(clock=Clock(), path=path), Wish()
        world.add_source("golden-dev")
        world.add_image("golden")
        session = await opened(world)
        intent = wish.clone_intent(await image_point(session, "golden-dev", "golden", wish))
        await made(session, replace(intent, mode=Mode.CLEAN))
        again = World(clock=Clock(), path=path)
        await (await opened(again)).set_power(ref_to(intent.stamp), Power.ON)
        machine = again.find(intent.uuid)
        assert again.booted(machine)
        assert again.address(machine)
        return machine.guest.hostname.removesuffix(intent.vm_name)

    assert asyncio.run(scenario()) == ""


def without_newer_fields(value: object) -> object:
    if isinstance(value, list):
        return [without_newer_fields(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {"capacity_bytes"} if "target" in value else set()
    return {key: without_newer_fields(item) for key, item in value.items() if key not in NEWER_FIELDS - kept}


def test_state_of_an_older_release_is_read(tmp_path: Path) -> None:
    """A dry run that was begun before images and copies existed goes on."""
    path = tmp_path / "world.json"
    world = World(clock=Clock(), path=path)
    machine = world.add_source("golden-dev")
    world.saved()
    old = without_newer_fields(json.loads(path.read_text()))
    assert "cpus" not in json.dumps(old)
    path.write_text(json.dumps(old))
    again = World(clock=Clock(), path=path)
    assert again.find("golden-dev") == machine
    assert again.inventory() == world.inventory()


def test_inventory_tells_copies_pools_and_images_apart() -> None:
    """A linked clone where a full one was wanted, or one in the wrong place, is a difference."""

    async def scenario() -> None:
        world = World(clock=Clock())
        session = await opened(world)
        intent = await full_clone_in_pool(world, session)
        world.add_image("golden")
        await image_point(session, "golden-dev", "golden", Wish())
        await made(session, replace(intent, shape=Shape(cpus=2, networks=("lab", "lab"))))
        seen = world.inventory()
        assert "team-a/dev/1 vda copy in fast x1" in seen.files
        assert "image golden PoweredOff whole" in seen.frozen_points
        assert "frozen point of image golden vda x1" in seen.files
        assert "cpus=2" in seen.clones[0]
        assert "networks=lab,lab" in seen.clones[0]
        assert any(line.startswith("golden image golden sha256:") for line in seen.foreign)
        assert len(set(world.find(intent.uuid).macs)) == 2

    asyncio.run(scenario())


def test_clone_of_a_source_that_is_gone_says_so() -> None:
    """Its frozen point may be there, but nothing says what VM to put around it."""

    async def scenario() -> None:
        world = World(clock=Clock())
        session = await opened(world)
        intent = await full_clone_in_pool(world, session)
        world.remove_by_hand(world.find("golden-dev"))
        for how in DiskCopy:
            with pytest.raises(SourceNotFound, match=intent.source_id):
                await session.start_clone(replace(intent, copy=how))

    asyncio.run(scenario())
