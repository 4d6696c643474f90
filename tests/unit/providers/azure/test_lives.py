"""The Azure adapter over the double: every verb in a clone's life, and what is left at its end."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.doubles.arm.guests import Outcome
from tests.doubles.arm.refusals import Refusal
from tests.doubles.arm.runs import runs_of
from tests.doubles.arm.vms import switch
from tests.doubles.arm.world import Resource
from tests.unit.providers.azure.site import NAME, OWNER, REF, STAMP, Consistency, Mode, Site, at_site

from vmclone_operator.domain.backend import CloneRef, GuestChannel, GuestRunState, GuestTask, OperationState, Power
from vmclone_operator.domain.errors import (
    CapabilityMissing,
    CloneFailed,
    InsufficientSpace,
    NotAuthorized,
    OwnershipMismatch,
    QuiesceFailed,
    RetryLater,
    SourceNotFound,
    TargetConflict,
)
from vmclone_operator.providers.azure.guest import run_name
from vmclone_operator.providers.azure.names import read_stamp
from vmclone_operator.providers.azure.sources import power_state

IMAGE = "debian:debian-13:13-gen2:latest"
VM = "Microsoft.Compute/virtualMachines"


def of_ours(world: Any) -> list[str]:
    """Return what of ours stands there, by the last part of its id."""
    return sorted(key.rsplit("/", 1)[-1] for key, tags in world.inventory().items() if "vmclone-instance" in tags)


async def whole_life(site: Site) -> None:
    await site.freeze()
    await site.clone()
    await site.delete()
    await site.release()


def test_a_disk_clone_of_a_running_source_is_made_from_one_restore_point_and_leaves_nothing() -> None:
    before: dict[str, Any] = {}

    async def story(site: Site) -> None:
        before.update(site.world.inventory())
        boot = next(key for key in site.guests.disks if key.endswith("/golden-0"))
        site.guests.disks[boot].state["file"] = "at the frozen point"
        frozen = await site.freeze()
        assert frozen.frozen is not None
        assert frozen.frozen.consistency is Consistency.QUIESCED
        assert frozen.frozen.frozen_time.startswith("2026-01-01T")
        site.guests.disks[boot].state["file"] = "later"
        done = await site.clone()
        assert done.external_id.endswith(f"/virtualMachines/{NAME}")
        assert of_ours(site.world) == sorted(
            [NAME, f"{NAME}-disk-0", f"{NAME}-disk-1", f"{NAME}-nic", f"{NAME}-nsg", frozen_collection(site)]
        )
        copy = next(key for key in site.guests.disks if key.endswith(f"/{NAME}-disk-0"))
        assert site.guests.disks[copy].state["file"] == "at the frozen point"
        await site.delete()
        assert list(await site.session.find_frozen(OWNER)) == ["f1"]
        await site.release()

    assert at_site(story).inventory() == before


def frozen_collection(site: Site) -> str:
    return next(one.name for one in site.world.of_kind("Microsoft.Compute/restorePointCollections"))


def test_every_resource_of_a_clone_carries_the_whole_stamp() -> None:
    async def story(site: Site) -> None:
        await site.freeze()
        await site.clone()
        for key, tags in site.world.inventory().items():
            if NAME in key:
                assert read_stamp(tags) == (STAMP, "c1"), key

    at_site(story)


def test_a_disk_clone_is_quarantined_until_it_is_connected() -> None:
    async def story(site: Site) -> None:
        await site.freeze()
        await site.clone()
        site.later(60)
        seen = await site.session.find_clone(REF)
        assert seen is not None
        assert (seen.power, seen.connected, seen.agent) == (Power.ON, False, True)
        machine = next(one for key, one in site.guests.running.items() if key.endswith(f"/{NAME}"))
        assert not machine.hardware.connected
        await site.session.connect_network(REF)
        site.later(10)
        after = await site.session.find_clone(REF)
        assert after is not None
        assert (after.connected, machine.hardware.connected) == (True, True)
        assert len(await site.session.guest_addresses(REF)) == 1

    at_site(story)


def test_a_source_with_one_disk_gives_a_crash_consistent_snapshot_and_a_stopped_one_a_clean_one() -> None:
    reached: list[Consistency] = []

    async def story(site: Site) -> None:
        frozen = (await site.freeze(Consistency.CRASH_CONSISTENT)).frozen
        assert frozen is not None
        reached.append(frozen.consistency)
        await site.clone()
        await site.delete()
        await site.release()
        assert of_ours(site.world) == []

    at_site(story, data_disks=0)
    at_site(story, data_disks=2, power="deallocated")
    assert reached == [Consistency.CRASH_CONSISTENT, Consistency.POWERED_OFF]


def test_snapshots_of_several_disks_of_a_running_source_are_refused_with_what_to_choose() -> None:
    async def story(site: Site) -> None:
        with pytest.raises(CapabilityMissing, match="Quiesced"):
            await site.freeze(Consistency.CRASH_CONSISTENT)

    at_site(story)


def test_a_restore_point_that_azure_could_not_quiesce_is_no_frozen_point() -> None:
    async def story(site: Site) -> None:
        boot = next(key for key in site.guests.disks if key.endswith("/golden-0"))
        site.guests.disks[boot].agent = False
        with pytest.raises(QuiesceFailed, match="agent"):
            await site.freeze()
        await site.release()
        assert of_ours(site.world) == []

    at_site(story)


def test_a_fourth_restore_point_in_an_hour_waits_and_names_the_other_way() -> None:
    async def story(site: Site) -> None:
        site.world.throttles._levels["RestorePoint", site_source(site)] = (0.0, site.world.now())
        with pytest.raises(RetryLater, match="CrashConsistent") as error:
            await site.session.freeze(freeze_intent(site))
        assert error.value.retry_after.total_seconds() > 600

    at_site(story)


def site_source(site: Site) -> str:
    return next(vm.key for vm in site.world.of_kind(VM) if vm.name == "golden")


def freeze_intent(site: Site) -> Any:
    from vmclone_operator.domain.backend import FreezeIntent  # noqa: PLC0415

    return FreezeIntent(
        token="f1",
        instance=STAMP.instance,
        vmclone_uid=STAMP.vmclone_uid,
        source_id=site_source(site),
        consistency=Consistency.QUIESCED,
    )


def test_a_clean_clone_comes_from_the_newest_version_of_an_image_connected_and_goes_with_its_disk() -> None:
    async def story(site: Site) -> None:
        frozen = await site.freeze(image=IMAGE)
        assert frozen.frozen is not None
        assert (frozen.frozen.borrowed, frozen.handle) == (True, "debian:debian-13:13-gen2:0.20261001.1")
        await site.clone(Mode.CLEAN, frozen.handle)
        assert of_ours(site.world) == [NAME, f"{NAME}-disk-0", f"{NAME}-nic"]
        seen = await site.session.find_clone(REF)
        assert seen is not None
        assert seen.connected
        await site.delete()
        await site.release(frozen.handle)
        assert of_ours(site.world) == []
        assert not [key for key in site.world.resources if NAME in key]

    at_site(story)


def test_a_vm_of_somebody_else_under_our_name_is_left_alone() -> None:
    async def story(site: Site) -> None:
        await site.freeze()
        await site.clone()
        vm = next(one for one in site.world.of_kind(VM) if one.name == NAME)
        vm.body["tags"] = {"team": "other"}
        assert await site.session.unstamped(REF) == NAME
        assert await site.session.find_clone(REF) is None
        with pytest.raises(TargetConflict):
            await site.session.start_clone(site.intent())
        with pytest.raises(OwnershipMismatch):
            await site.session.delete_clone(REF)
        with pytest.raises(OwnershipMismatch):
            await site.session.connect_network(REF)
        assert vm.key in site.world.resources

    at_site(story)


def test_a_clone_without_its_stamp_is_nobodys_and_keeps_its_parts() -> None:
    async def story(site: Site) -> None:
        await site.freeze()
        await site.clone()
        assert await site.session.disown(REF)
        assert [name for name in of_ours(site.world) if name.startswith(NAME)] == []
        assert len([key for key in site.world.resources if key.split("/")[-1].startswith(NAME)]) == 5
        assert await site.session.disown(REF)

    at_site(story)


def test_an_allocation_that_fails_says_so_and_the_next_attempt_makes_the_clone() -> None:
    async def story(site: Site) -> None:
        await site.freeze()
        site.world.late[VM, "put"] = [Refusal(409, "AllocationFailed", "Allocation failed: no capacity.")]
        with pytest.raises(InsufficientSpace, match="another size, zone or region"):
            await site.clone()
        await site.clone()
        assert await site.session.find_clone(REF) is not None

    at_site(story)


def test_a_task_runs_once_in_the_guest_and_its_result_is_read_until_it_is_forgotten() -> None:
    ran: list[str] = []

    async def story(site: Site) -> None:
        await site.freeze()
        await site.clone()

        def program(_: Any, script: str) -> Outcome:
            ran.append(script)
            return Outcome(exit_code=0, stdout="vmclone-probe=1\n", seconds=30)

        site.guests.program = program
        task = GuestTask(run="r1", script="cat", stdin="hello")
        assert (await site.session.guest_result(REF, "r1")).state is GuestRunState.ABSENT
        for _ in range(3):
            await site.session.guest_start(REF, task)
        assert (await site.session.guest_result(REF, "r1")).state is GuestRunState.RUNNING
        site.later(120)
        ended = await site.session.guest_result(REF, "r1")
        assert ended.result is not None
        assert (ended.result.exit_code, ended.result.stdout) == (0, "vmclone-probe=1\n")
        for number in range(30):
            site.later(90)
            await site.session.guest_start(REF, GuestTask(run=f"x{number}", script="true"))

    at_site(story)
    assert len([one for one in ran if "VMCLONE_" in one]) == len(ran) == 31


async def with_program(site: Site, seconds: float = 30) -> Resource:
    """Make a clone whose scripts take that long, and let it boot; return its VM."""
    await site.freeze()
    await site.clone()
    site.guests.program = lambda _, __: Outcome(exit_code=0, stdout="done\n", seconds=seconds)
    site.later(120)
    return next(one for one in site.world.of_kind(VM) if one.name == NAME)


def test_a_task_that_went_down_with_its_vm_is_given_up_and_makes_way_for_the_next() -> None:
    """Azure says for ever that it runs, and the agent takes no other one before it."""

    async def story(site: Site) -> None:
        vm = await with_program(site, seconds=200)
        await site.session.guest_start(REF, GuestTask(run="r1", script="true", limit_seconds=600))
        site.later(30)
        switch(site.world, vm, "stopped")
        switch(site.world, vm, "running")
        site.later(600)
        assert (await site.session.guest_result(REF, "r1")).state is GuestRunState.RUNNING
        site.later(300)
        lost = await site.session.guest_result(REF, "r1")
        assert lost.result is not None
        assert (lost.state, lost.result.exit_code) == (GuestRunState.ENDED, -1)
        assert "nothing was heard of it: it ran since 2026-01-01T" in lost.result.stderr
        await site.session.guest_start(REF, GuestTask(run="r2", script="true"))
        site.later(300)
        after = await site.session.guest_result(REF, "r2")
        assert after.result is not None
        assert after.result.exit_code == 0

    at_site(story)


def test_a_task_that_the_agent_never_takes_is_given_up() -> None:
    async def story(site: Site) -> None:
        await with_program(site)
        boot = next(one for key, one in site.guests.disks.items() if key.endswith(f"/{NAME}-disk-0"))
        boot.agent = False
        await site.session.guest_start(REF, GuestTask(run="r1", script="true"))
        site.later(1100)
        assert (await site.session.guest_result(REF, "r1")).state is GuestRunState.RUNNING
        site.later(120)
        lost = await site.session.guest_result(REF, "r1")
        assert lost.result is not None
        assert "was not taken by Azure's agent since 2026-01-01T" in lost.result.stderr

    at_site(story)


def test_near_azures_limit_the_oldest_that_ended_go_and_none_that_runs_whatever_the_list_says() -> None:
    async def story(site: Site) -> None:
        vm = await with_program(site)
        for number in range(19):
            await site.session.guest_start(REF, GuestTask(run=f"r{number}", script="true"))
            site.later(90)
        assert len(runs_of(site.world, vm)) == 19, "none goes before it is in the way"
        site.guests.program = lambda _, __: Outcome(exit_code=0, seconds=800)
        await site.session.guest_start(REF, GuestTask(run="long", script="true"))
        site.later(30)
        first = runs_of(site.world, vm)[0]
        long = next(one for one in runs_of(site.world, vm) if one.name == run_name("long"))
        for key in [one.key for one in runs_of(site.world, vm) if one is not long]:
            site.world.resources[key] = site.world.resources.pop(key)  # the list begins with the one that runs
        assert runs_of(site.world, vm)[:2] == [long, first]
        site.later(60)
        await site.session.guest_start(REF, GuestTask(run="next", script="true"))
        site.later(30)
        left = {one.name for one in runs_of(site.world, vm)}
        assert {run_name(one) for one in ("long", "next", "r1", "r18")} <= left
        assert first.name not in left

    at_site(story)


def test_a_source_is_named_by_name_or_by_id_and_started_and_stopped() -> None:
    async def story(site: Site) -> None:
        by_name = await site.session.describe_source("golden")
        assert await site.session.describe_source(by_name.source_id) == by_name
        assert (by_name.power, len(by_name.disks)) == (Power.ON, 2)
        with pytest.raises(SourceNotFound, match="nobody"):
            await site.session.describe_source("nobody")
        assert await site.session.set_source_power(by_name.source_id, Power.OFF)
        site.later(60)
        assert not await site.session.set_source_power(by_name.source_id, Power.OFF)
        assert (await site.session.describe_source("golden")).power is Power.OFF

    at_site(story)


@pytest.mark.parametrize("consistency", [Consistency.QUIESCED, Consistency.CRASH_CONSISTENT])
def test_a_source_that_still_shuts_down_is_frozen_once_it_is_off(consistency: Consistency) -> None:
    """It writes to its disks until then."""

    async def story(site: Site) -> None:
        name = site_source(site)
        assert await site.session.set_source_power(name, Power.OFF)
        assert (await site.session.describe_source(name)).power is Power.ON
        with pytest.raises(RetryLater, match="golden is deallocating"):
            await site.session.freeze(replace(freeze_intent(site), consistency=consistency))
        assert of_ours(site.world) == []
        assert not await site.session.set_source_power(name, Power.OFF), "it is on its way"
        with pytest.raises(RetryLater, match="golden is deallocating"):
            await site.session.set_source_power(name, Power.ON)
        frozen = (await site.freeze(consistency)).frozen
        assert frozen is not None
        assert frozen.consistency is Consistency.POWERED_OFF

    at_site(story)


@pytest.mark.parametrize("code", ["", "PowerState/unknown", "PowerState/starting"])
def test_a_source_whose_power_azure_does_not_know_is_not_taken_for_one_that_is_off(code: str) -> None:
    view = {"statuses": [{"code": one} for one in ("ProvisioningState/succeeded", code) if one]}
    assert power_state({"properties": {"instanceView": view}}) == (code.partition("/")[2] or "unknown")


@pytest.mark.parametrize("power", ["running", "deallocated"])
def test_a_clones_disks_are_where_the_sources_are_with_the_kind_that_they_have_there(power: str) -> None:
    """A guest mounts by LUN: 0, 2, 5 must not become 0, 1, 2."""

    async def story(site: Site) -> None:
        golden = next(vm for vm in site.world.of_kind(VM) if vm.name == "golden")
        named = golden.properties["storageProfile"]["dataDisks"]
        for one, lun in zip(named, (0, 2, 5), strict=True):
            one["lun"] = lun
        site.world.resources[named[1]["managedDisk"]["id"].lower()].body["sku"] = {"name": "StandardSSD_LRS"}
        await site.freeze()
        await site.clone()
        vm = next(one for one in site.world.of_kind(VM) if one.name == NAME)
        made = vm.properties["storageProfile"]["dataDisks"]
        kinds = [site.world.resources[one["managedDisk"]["id"].lower()].body["sku"]["name"] for one in made]
        assert [one["lun"] for one in made] == [0, 2, 5]
        assert kinds == ["Premium_LRS", "StandardSSD_LRS", "Premium_LRS"]

    at_site(story, data_disks=3, power=power)


def test_a_snapshot_of_which_nothing_is_copied_yet_is_not_complete() -> None:
    async def story(site: Site) -> None:
        assert (await site.session.freeze(freeze_intent(site))).state is OperationState.RUNNING
        site.later(30)
        for one in site.world.of_kind("Microsoft.Compute/snapshots"):
            one.extra["copy began"] = site.world.now()
        assert (await site.session.freeze(freeze_intent(site))).state is OperationState.RUNNING
        site.later(400)
        assert (await site.session.freeze(freeze_intent(site))).done

    at_site(story, power="deallocated")


def test_a_source_that_is_stopped_while_its_snapshot_is_made_was_not_off_in_it() -> None:
    async def story(site: Site) -> None:
        intent = replace(freeze_intent(site), consistency=Consistency.CRASH_CONSISTENT)
        await site.session.freeze(intent)
        switch(site.world, next(vm for vm in site.world.of_kind(VM) if vm.name == "golden"), "deallocated")
        site.later(60)
        frozen = (await site.session.freeze(intent)).frozen
        assert frozen is not None
        assert frozen.consistency is Consistency.CRASH_CONSISTENT

    at_site(story, data_disks=0)


def test_azure_copies_disks_whole_and_its_guests_run_tasks() -> None:
    async def story(site: Site) -> None:
        can = (await site.session.check()).capabilities
        assert (can.linked, can.guest, can.look_seconds) == (False, GuestChannel.TASK, 10)
        with pytest.raises(CapabilityMissing, match="premium"):
            await site.session.check("premium")

    at_site(story)


def test_a_right_that_lacks_is_named_with_its_scope() -> None:
    async def story(site: Site) -> None:
        site.world.clients["vmclone"].rights = {"*/read"}
        with pytest.raises(NotAuthorized, match="restorePointCollections/write"):
            await site.freeze()

    at_site(story)


def test_a_clone_is_listed_for_its_owner_and_its_reads_stay_within_azures_limits() -> None:
    async def story(site: Site) -> None:
        await site.freeze()
        await site.clone()
        site.later(60)
        found = await site.session.find_clones(OWNER)
        assert [one.vm_name for one in found] == [NAME]
        assert sum(site.world.throttles.refused.values()) == 0
        other = CloneRef(stamp=STAMP, vm_name="another")
        assert await site.session.find_clone(other) is None

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
