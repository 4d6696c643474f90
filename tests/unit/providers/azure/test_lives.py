"""The Azure adapter over the double: every verb in a clone's life, and what is left at its end."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.providers.azure.site import (
    IMAGE,
    NAME,
    OWNER,
    REF,
    STAMP,
    VM,
    Consistency,
    Mode,
    Site,
    at_site,
    freeze_intent,
    of_ours,
    site_source,
)

from vmclone_operator.domain.backend import (
    CloneRef,
    Power,
)
from vmclone_operator.domain.errors import (
    CapabilityMissing,
    NotAuthorized,
    OwnershipMismatch,
    QuiesceFailed,
    RetryLater,
    TargetConflict,
)


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


def test_no_pass_that_makes_a_clone_reads_its_source_more_than_once() -> None:
    """Azure takes twelve reads of a VM a minute, and ten clones are made at once."""
    reads: list[int] = []

    async def story(site: Site) -> None:
        await site.freeze()
        source = f"GET {site_source(site)}".lower()
        for _ in range(20):
            before = len(site.server.calls)
            progress = await site.session.start_clone(site.intent())
            reads.append(sum(call.lower() == source for call in site.server.calls[before:]))
            if progress.done:
                break
            site.later(progress.again_seconds)

    at_site(story)
    assert max(reads) == 1
    assert reads[-1] == 0, "the VM is there"
