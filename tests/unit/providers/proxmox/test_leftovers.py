"""Seeds that are listed as nobody's are in no VM's drive, also in none that the token may not see."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.doubles.pve.clients import QEMU
from tests.unit.providers.proxmox.lives import INSTANCE, PLACE, Life, story, with_rights

from vmclone_operator.domain.backend import LeftoverKind

AS_OP: dict[str, Any] = {"token_id": "vmclone@pve!op"}
POOLED = replace(PLACE, pool="clones")


async def volumes(life: Life) -> list[str]:
    """Return the volumes that are listed as nobody's."""
    found = await life.session.find_leftovers(INSTANCE, [])
    return [one.name for one in found if one.kind is LeftoverKind.VOLUME]


@pytest.mark.parametrize("moved", [False, True], ids=["in our pool still", "out of our pool"])
def test_the_seed_of_a_clone_that_was_given_away_is_no_leftover(*, moved: bool) -> None:
    """Whoever removed it would take the medium of a VM that is in use, which then does not start any more."""
    world = with_rights()

    async def tell(life: Life) -> None:
        await life.freeze()
        await life.clone()
        assert await life.session.disown(life.ref)
        if moved:
            world.world.pools["clones"].vms.clear()
        assert await volumes(life) == []

    story(tell, world, place=POOLED, **AS_OP)


@pytest.mark.parametrize("sees", [True, False], ids=["a right on all VMs", "a right on our pool"])
def test_a_seed_whose_vm_is_gone_is_listed_to_a_token_that_has(*, sees: bool) -> None:
    world = with_rights(pooled=not sees)

    async def tell(life: Life) -> None:
        await life.freeze()
        done = await life.clone()
        assert world.ended("DELETE", f"{QEMU}/{done.external_id}") == "OK"
        assert len(await volumes(life)) == (1 if sees else 0)

    story(tell, world, place=PLACE if sees else POOLED, **AS_OP)
