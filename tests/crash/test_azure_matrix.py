"""Cut off at each write of a life on Azure, before it or with its reply lost: one VM, and nothing left.

The rest of the life is what a new process does that knows only names: it calls the same verbs again.
"""

from __future__ import annotations

import random

import pytest
from tests.doubles.arm.faults import ServerSays
from tests.unit.providers.azure.site import NAME, Mode, Site, at_site

from vmclone_operator.providers.fake import FaultSchedule
from vmclone_operator.providers.fake.faults import Choose, Fault, FaultKind, Point

Inventory = dict[str, dict[str, str]]
LIVES = {"Disk": Mode.DISK, "Clean": Mode.CLEAN}
KINDS = {"before": Fault(kind=FaultKind.FAIL), "reply lost": Fault(kind=FaultKind.LOSE_REPLY)}
TROUBLE = (
    *KINDS.values(),
    Fault(kind=FaultKind.THROTTLE, retry_after_seconds=7),
    Fault(kind=FaultKind.FAIL, error=ServerSays(503, "ServiceUnavailable")),
)
IMAGE = "debian:debian-13:13-gen2:latest"


async def life(site: Site, mode: Mode) -> None:
    """Freeze, clone, connect, delete, release, with whatever goes wrong on the way."""
    frozen = await site.freeze(image=IMAGE if mode is Mode.CLEAN else "")
    await site.clone(mode, frozen.handle)
    made = [one for one in site.world.of_kind("Microsoft.Compute/virtualMachines") if one.name == NAME]
    assert len(made) == 1
    await site.delete()
    await site.release(frozen.handle)


def trace(mode: Mode) -> list[Point]:
    """Return the writes of a life without faults."""
    schedule = FaultSchedule()
    at_site(lambda site: life(site, mode), schedule)
    return [point for point in schedule.trace if point.writes]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", LIVES)
def test_a_life_with_one_fault_at_each_write_ends_as_the_one_without(mode: str, kind: str) -> None:
    points = trace(LIVES[mode])
    assert len(points) >= {"Disk": 12, "Clean": 5}[mode]
    for number, point in enumerate(points):
        before, after = ended(number, LIVES[mode], KINDS[kind])
        assert after == before, f"{kind} {point}"


def ended(number: int, mode: Mode, fault: Fault) -> tuple[Inventory, Inventory]:
    """Live through a fault at one write; return what was there before and after."""
    before: Inventory = {}

    async def story(site: Site) -> None:
        before.update(site.world.inventory())
        await life(site, mode)

    world = at_site(story, FaultSchedule(choose=nth_write(number, fault)))
    return before, world.inventory()


def nth_write(number: int, fault: Fault) -> Choose:
    """Strike at the write of this number, once."""
    seen = 0

    def choose(point: Point) -> Fault | None:
        nonlocal seen
        seen += point.writes
        return fault if point.writes and seen == number + 1 else None

    return choose


@pytest.mark.parametrize("seed", [1, 2])
def test_with_a_tenth_of_all_requests_lost_or_refused_a_life_ends_as_the_one_without(seed: int) -> None:
    chance, before, struck = random.Random(seed), Inventory(), FaultSchedule()  # noqa: S311 - the same again
    struck.choose = lambda _: chance.choice(TROUBLE) if chance.random() < 0.1 else None

    async def story(site: Site) -> None:
        before.update(site.world.inventory())
        await life(site, Mode.DISK)

    assert at_site(story, struck).inventory() == before
    assert len(struck.struck) >= 3
