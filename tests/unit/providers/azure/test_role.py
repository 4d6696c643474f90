"""The role of the how-to is enough for every kind of life, and has no action that none of them asks for."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.doubles.arm.call import action
from tests.doubles.arm.guests import Outcome
from tests.doubles.arm.site import CLIENT
from tests.unit.providers.azure.site import OWNER, REF, Consistency, Mode, Site, at_site

from vmclone_operator.domain.backend import GuestTask, PlanWish, Power
from vmclone_operator.domain.errors import NotAuthorized

ROLE = Path(__file__).parents[4] / "examples" / "azure-role.json"
ACTIONS = frozenset(json.loads(ROLE.read_text())["Actions"])
WHY_IT_FAILED = frozenset(
    {"Microsoft.Compute/locations/operations/read", "Microsoft.Compute/locations/diskOperations/read"}
)
"""Operations are looked at when something failed; the double asks for no right on them."""
IMAGE = "debian:debian-13:13-gen2:latest"


async def life(site: Site, *, image: str = "", consistency: Consistency = Consistency.QUIESCED) -> None:
    """Do everything that an operator does in a clone's life."""
    site.guests.program = lambda _, __: Outcome(exit_code=0, stdout="done")
    session = site.session
    await session.check()
    source = await session.describe_source("golden")
    await session.preflight(source, PlanWish(replicas=1))
    frozen = await site.freeze(consistency, image=image)
    await site.clone(Mode.CLEAN if image else Mode.DISK, frozen.handle)
    site.later(120)
    await session.guest_start(REF, GuestTask(run="r1", script="true\n"))
    site.later(60)
    assert (await session.guest_result(REF, "r1")).result is not None
    await session.connect_network(REF)
    site.later(60)
    await session.guest_addresses(REF)
    await session.guest_start(REF, GuestTask(run="r2", script="true\n", replaces="r1"))
    site.later(60)
    await session.set_power(REF, Power.OFF)
    site.later(120)
    await session.set_power(REF, Power.ON)
    site.later(120)
    await session.find_clones(OWNER)
    await session.find_frozen(OWNER)
    await site.delete()
    await site.release(frozen.handle)


async def disowned(site: Site) -> None:
    """Let a clone go, with its tags taken off."""
    await site.freeze()
    await site.clone()
    await site.session.disown(REF)


LIVES: dict[str, tuple[Callable[[Site], Awaitable[None]], int, str]] = {
    "quiesced": (life, 1, "running"),
    "powered off": (lambda site: life(site, consistency=Consistency.POWERED_OFF), 1, "deallocated"),
    "clean": (lambda site: life(site, image=IMAGE), 1, "running"),
    "disowned": (disowned, 0, "running"),
}


def asked(kind: str) -> set[str]:
    """Live with the role's rights alone; return the actions that were asked for."""
    story, data_disks, power = LIVES[kind]
    calls: list[str] = []

    async def with_role(site: Site) -> None:
        site.world.clients[CLIENT].rights = set(ACTIONS)
        await story(site)
        calls.extend(site.server.calls)

    at_site(with_role, data_disks=data_disks, power=power)
    return {action(*call.split(" ", 1)) for call in calls if "/operations/" not in call.lower()}


def test_the_role_is_enough_and_none_of_its_actions_is_idle() -> None:
    used = set[str]().union(*(asked(kind) for kind in LIVES))
    joins = {one for one in ACTIONS if one.endswith("/join/action")}
    lower = {one.lower() for one in used}
    assert sorted(one for one in ACTIONS - joins - WHY_IT_FAILED if one.lower() not in lower) == []


@pytest.mark.parametrize("lacking", sorted(one for one in ACTIONS if one.endswith("/join/action")))
def test_without_a_join_a_clone_is_refused_by_name(lacking: str) -> None:
    async def story(site: Site) -> None:
        site.world.clients[CLIENT].rights = set(ACTIONS - {lacking})
        with pytest.raises(NotAuthorized, match=lacking):
            await life(site)

    at_site(story)
