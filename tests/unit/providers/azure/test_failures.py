"""Clones on Azure of which an operation failed: nothing of theirs is lost, and nothing left."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.doubles.arm.refusals import Refusal
from tests.unit.providers.azure.site import (
    NAME,
    OWNER,
    REF,
    VM,
    Site,
    at_site,
    of_ours,
)

from vmclone_operator.domain.backend import (
    Power,
)
from vmclone_operator.domain.errors import (
    CloneFailed,
    InsufficientSpace,
)


def test_an_allocation_that_fails_says_so_and_the_next_attempt_makes_the_clone() -> None:
    async def story(site: Site) -> None:
        await site.freeze()
        site.world.late[VM, "put"] = [Refusal(409, "AllocationFailed", "Allocation failed: no capacity.")]
        with pytest.raises(InsufficientSpace, match="another size, zone or region"):
            await site.clone()
        await site.clone()
        assert await site.session.find_clone(REF) is not None

    at_site(story)


DISK = "Microsoft.Compute/disks"


def test_a_disk_that_azure_could_not_make_leaves_none_of_the_others_behind() -> None:
    """The one that failed goes at once, and the next attempt may never come: the clone is not wanted any more."""

    async def story(site: Site) -> None:
        await site.freeze()
        site.world.late[DISK, "put"] = [Refusal(409, "InternalExecutionError", "An internal error occurred.")]
        with pytest.raises(CloneFailed, match=f"{NAME}-disk-0"):
            await site.clone()
        site.later(60)
        assert f"{NAME}-disk-1" in of_ours(site.world)
        await site.delete()
        assert [name for name in of_ours(site.world) if name.startswith(NAME)] == []

    at_site(story)


def test_a_disk_behind_a_gap_is_made_nobodys_with_the_clone() -> None:
    async def story(site: Site) -> None:
        await site.freeze()
        await site.clone()
        boot = next(one for one in site.world.of_kind(DISK) if one.name == f"{NAME}-disk-0")
        del site.world.resources[boot.key]
        site.later(60)
        assert await site.session.disown(REF)
        assert [name for name in of_ours(site.world) if name.startswith(NAME)] == []

    at_site(story)


def test_a_clone_whose_start_fails_late_is_still_there_and_the_next_start_says_why() -> None:
    """A provisioning state is that of the last operation: Failed says nothing of how the VM was made."""

    async def story(site: Site) -> None:
        await site.freeze()
        await site.clone()
        await site.session.set_power(REF, Power.OFF)
        site.later(60)
        site.world.late[VM, "power"] = [Refusal(409, "AllocationFailed", "Allocation failed: no capacity.")]
        await site.session.set_power(REF, Power.ON)
        site.later(60)
        vm = next(one for one in site.world.of_kind(VM) if one.name == NAME)
        assert vm.properties["provisioningState"] == "Failed"
        seen = await site.session.find_clone(REF)
        assert seen is not None
        assert (seen.complete, seen.power, [seen]) == (True, Power.OFF, await site.session.find_clones(OWNER))
        assert (await site.session.start_clone(site.intent())).done
        with pytest.raises(InsufficientSpace, match=f"{NAME} could not be started.*no capacity.*another size"):
            await site.session.set_power(REF, Power.ON)
        site.later(60)
        after = await site.session.find_clone(REF)
        assert after is not None
        assert after.power is Power.ON

    at_site(story)


def test_a_disk_of_an_earlier_attempt_is_made_anew_for_it_may_be_of_another_frozen_point() -> None:
    async def story(site: Site) -> None:
        await site.freeze()
        for _ in range(6):
            await site.session.start_clone(site.intent())
            site.later(20)
            if any(one.name.startswith(f"{NAME}-disk") for one in site.world.of_kind(DISK)):
                break
        (before,) = (one for one in site.world.of_kind(DISK) if one.name == f"{NAME}-disk-0")
        before.body["tags"]["vmclone-token"] = "c0"
        before.body["tags"]["mine"] = "of the earlier attempt"
        await site.clone()
        (after,) = (one for one in site.world.of_kind(DISK) if one.name == f"{NAME}-disk-0")
        assert "mine" not in after.body["tags"]
        assert after.body["tags"]["vmclone-token"] == "c1"

    at_site(story)


EXTENSION = Refusal(409, "VMExtensionProvisioningError", "VM has reported a failure when processing extension 'x'.")


def test_an_extension_that_failed_is_not_told_as_a_start_that_failed() -> None:
    async def story(site: Site) -> None:
        await site.freeze()
        await site.clone()
        await site.session.set_power(REF, Power.OFF)
        site.later(60)
        site.world.late[VM, "power"] = [EXTENSION]
        await site.session.set_power(REF, Power.ON)
        site.later(60)
        await site.session.set_power(REF, Power.ON)
        site.later(60)
        after = await site.session.find_clone(REF)
        assert after is not None
        assert after.power is Power.ON

    at_site(story)


def test_a_new_vm_that_runs_although_an_extension_failed_is_kept() -> None:
    async def story(site: Site) -> None:
        await site.freeze()
        await until_made(site)
        vm = next(one for one in site.world.of_kind(VM) if one.name == NAME)
        vm.properties["provisioningState"] = "Failed"
        assert vm.operation is not None
        vm.operation.error = EXTENSION
        await site.session.start_clone(site.intent())
        site.later(60)
        assert (await site.clone()).done
        assert [one.key for one in site.world.of_kind(VM) if one.name == NAME] == [vm.key]

    at_site(story)


async def until_made(site: Site) -> None:
    """Go on with a clone until its VM is there, and before it is marked as made."""
    while not any(one.name == NAME for one in site.world.of_kind(VM)):
        await site.session.start_clone(site.intent())
        site.later(30)
    site.later(120)


@pytest.mark.parametrize("state", ["Failed", "Canceled", "Updating", "Succeeded"])
def test_a_clone_that_the_ledger_knows_is_there_in_any_state_also_without_our_tag_of_its_end(state: str) -> None:
    async def story(site: Site) -> None:
        await site.freeze()
        await site.clone()
        vm = next(one for one in site.world.of_kind(VM) if one.name == NAME)
        del vm.body["tags"]["vmclone-made"]
        vm.properties["provisioningState"] = state
        assert await site.session.find_clone(REF) is None, "start_clone has it"
        assert await site.session.find_clone(replace(REF, made=True)) is not None

    at_site(story)
