"""What a clone left whose VM is gone is found by its stamp alone, named, and removed; nobody else's ever."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.doubles.arm.site import remove_by_hand
from tests.unit.providers.azure.site import INSTANCE, NAME, REF, STAMP, VM, Mode, Site, at_site, of_ours

from vmclone_operator.domain.backend import CloneRef, LeftoverKind, Progress, Stamp

DISK = "Microsoft.Compute/disks"
NIC = "Microsoft.Network/networkInterfaces"
NSG = "Microsoft.Network/networkSecurityGroups"
OTHER = replace(STAMP, incarnation="66666666-6666-4666-8666-666666666666")
BARE = Stamp(instance=INSTANCE, namespace="", vmclone="", vmclone_uid="", ordinal=0, incarnation=STAMP.incarnation)
"""All that anybody knows of a leftover's owner."""


def by_hand(site: Site, kind: str, name: str = NAME) -> None:
    remove_by_hand(site.world, kind, name)


async def found(site: Site, *living: str) -> list[tuple[LeftoverKind, str]]:
    left = await site.session.find_leftovers(INSTANCE, {STAMP.vmclone_uid, *living})
    return [(one.kind, one.name) for one in left]


async def removed(site: Site) -> None:
    """Remove them, and ask once more."""

    async def step(_: str) -> Progress:
        return await site.session.delete_clone(CloneRef(stamp=BARE))

    for _ in range(2):
        await site.until_done(step)


async def cloned(site: Site, mode: Mode = Mode.DISK) -> None:
    image = "debian:debian-13:13-gen2:latest" if mode is Mode.CLEAN else ""
    frozen = await site.freeze(image=image)
    await site.clone(mode, frozen.handle)
    site.later(60)


def ours(site: Site) -> list[str]:
    return [name for name in of_ours(site.world) if name.startswith(NAME)]


def test_disks_cards_and_groups_of_a_vm_that_somebody_removed_are_one_leftover_and_go() -> None:
    async def story(site: Site) -> None:
        await cloned(site)
        by_hand(site, VM)
        assert ours(site) == [f"{NAME}-disk-0", f"{NAME}-disk-1", f"{NAME}-nic", f"{NAME}-nsg"]
        assert await found(site) == [(LeftoverKind.VOLUME, NAME)]
        await removed(site)
        assert (ours(site), await found(site)) == ([], [])

    at_site(story)


@pytest.mark.parametrize("kept", [f"{NAME}-disk-1", f"{NAME}-nic", f"{NAME}-nsg"])
def test_one_part_that_a_failure_left_is_found_whatever_it_is(kept: str) -> None:
    async def story(site: Site) -> None:
        await cloned(site)
        by_hand(site, VM)
        for kind in (NIC, NSG, DISK):
            for part in [one.name for one in site.world.of_kind(kind) if one.name.startswith(NAME)]:
                if part != kept:
                    by_hand(site, kind, part)
        assert await found(site) == [(LeftoverKind.VOLUME, NAME)]
        await removed(site)
        assert ours(site) == []

    at_site(story)


def test_a_clone_that_lives_or_has_its_vm_or_is_of_another_installation_is_no_leftover() -> None:
    async def story(site: Site) -> None:
        await cloned(site)
        assert await found(site) == []
        by_hand(site, VM)
        assert await found(site, STAMP.incarnation) == []
        assert await site.session.find_leftovers("another installation", ()) == []

    at_site(story)


def test_a_vm_that_never_was_complete_is_a_leftover_itself_once_its_owner_is_gone() -> None:
    """Azure failed to make it, and bills its disks; `find_clone` does not show it."""

    async def story(site: Site) -> None:
        await cloned(site, Mode.CLEAN)
        vm = next(one for one in site.world.of_kind(VM) if one.name == NAME)
        del vm.body["tags"]["vmclone-made"]
        vm.properties["provisioningState"] = "Failed"
        assert await site.session.find_clone(REF) is None
        assert await found(site) == [(LeftoverKind.VOLUME, NAME)]
        await removed(site)
        assert ours(site) == []
        assert not [key for key in site.world.resources if NAME in key]

    at_site(story)


def test_only_what_still_has_the_stamp_when_it_is_looked_at_by_name_is_removed() -> None:
    async def story(site: Site) -> None:
        await cloned(site)
        by_hand(site, VM)
        for part in [one for one in site.world.of_kind(DISK) if one.name.startswith(NAME)]:
            part.body["tags"]["vmclone-incarnation"] = OTHER.incarnation
        await removed(site)
        assert ours(site) == [f"{NAME}-disk-0", f"{NAME}-disk-1"]

    at_site(story)
