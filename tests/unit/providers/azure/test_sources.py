"""What the Azure adapter reads of sources and images, and what of a source a clone gets."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.doubles.arm.faults import ServerSays
from tests.doubles.arm.vms import switch
from tests.unit.providers.azure.site import (
    IMAGE,
    NAME,
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
    OperationState,
    PlanWish,
    Power,
    SourceInfo,
)
from vmclone_operator.domain.errors import (
    BackendUnreachable,
    CapabilityMissing,
    CloneError,
    ImageNotFound,
    NotAuthorized,
    QuiesceFailed,
    RetryLater,
    SourceNotFound,
)
from vmclone_operator.providers.azure.names import read_stamp
from vmclone_operator.providers.azure.sources import power_state
from vmclone_operator.providers.fake import FaultSchedule
from vmclone_operator.providers.fake.faults import Fault, FaultKind


def test_every_resource_of_a_clone_carries_the_whole_stamp() -> None:
    async def story(site: Site) -> None:
        await site.freeze()
        await site.clone()
        for key, tags in site.world.inventory().items():
            if NAME in key:
                assert read_stamp(tags) == (STAMP, "c1"), key

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


def test_a_source_that_is_stopped_while_its_restore_point_is_made_has_that_one_and_no_snapshots() -> None:
    async def story(site: Site) -> None:
        intent = freeze_intent(site)
        await site.session.freeze(intent)
        assert len(site.world.of_kind("Microsoft.Compute/restorePointCollections/restorePoints")) == 1
        switch(site.world, next(vm for vm in site.world.of_kind(VM) if vm.name == "golden"), "deallocated")
        frozen = (await site.freeze()).frozen
        assert frozen is not None
        assert frozen.consistency is Consistency.QUIESCED
        assert site.world.of_kind("Microsoft.Compute/snapshots") == []

    at_site(story)


def test_a_source_that_is_started_while_its_snapshots_are_made_was_off_in_them() -> None:
    async def story(site: Site) -> None:
        await site.session.freeze(freeze_intent(site))
        switch(site.world, next(vm for vm in site.world.of_kind(VM) if vm.name == "golden"), "running")
        frozen = (await site.freeze()).frozen
        assert frozen is not None
        assert frozen.consistency is Consistency.POWERED_OFF
        assert site.world.of_kind("Microsoft.Compute/restorePointCollections") == []

    at_site(story, power="deallocated")


LIBVIRT = "6f1c2f0e-7c1b-4d61-8a35-0f2a6a3f8f11"
"""A source's id at another backend."""


def foreign() -> SourceInfo:
    return SourceInfo(
        source_id=LIBVIRT, name="golden", power=Power.ON, agent=True, disks=(), macs=(), fingerprint="f", addresses=()
    )


def test_a_clean_clone_of_a_source_at_another_backend_has_the_size_of_the_clonebackend() -> None:
    async def story(site: Site) -> None:
        frozen = await site.freeze(image=IMAGE)
        wish = PlanWish(replicas=1, image=IMAGE)
        assert list(await site.session.preflight(foreign(), wish)) == []
        intent = replace(site.intent(Mode.CLEAN, frozen.handle), source_id=LIBVIRT)
        await site.until_done(lambda handle: site.session.start_clone(replace(intent, handle=handle)))
        vm = next(one for one in site.world.of_kind(VM) if one.name == NAME)
        assert vm.properties["hardwareProfile"]["vmSize"] == "Standard_B2s"

    at_site(story, size="Standard_B2s")


def test_a_clean_clone_of_a_source_at_another_backend_is_refused_with_what_it_lacks() -> None:
    async def story(site: Site) -> None:
        frozen = await site.freeze(image=IMAGE)
        (finding,) = await site.session.preflight(foreign(), PlanWish(replicas=1, image=IMAGE))
        assert (finding.reason, "azure.size" in finding.message) == ("CapabilityMissing", True)
        intent = replace(site.intent(Mode.CLEAN, frozen.handle), source_id=LIBVIRT)
        with pytest.raises(CapabilityMissing, match=r"azure\.size"):
            await site.until_done(lambda _: site.session.start_clone(intent))

    at_site(story)


@pytest.mark.parametrize(("mode", "plan"), [(Mode.CLEAN, False), (Mode.DISK, True)])
def test_what_a_source_has_of_its_image_is_put_on_copies_of_its_disks_alone(mode: Mode, plan: bool) -> None:
    security = {"securityType": "TrustedLaunch", "uefiSettings": {"vTpmEnabled": True}, "encryptionAtHost": True}

    async def story(site: Site) -> None:
        golden = next(vm for vm in site.world.of_kind(VM) if vm.name == "golden")
        golden.body["plan"] = {"name": "p", "publisher": "x", "product": "y"}
        golden.properties["securityProfile"] = security
        frozen = await site.freeze(image=IMAGE if mode is Mode.CLEAN else "")
        await site.clone(mode, frozen.handle)
        vm = next(one for one in site.world.of_kind(VM) if one.name == NAME)
        assert ("plan" in vm.body) is plan
        assert vm.properties["securityProfile"] == (security if plan else {"encryptionAtHost": True})

    at_site(story)


def test_a_source_of_another_subscription_is_refused_by_name_and_never_taken_for_one_of_ours() -> None:
    async def story(site: Site) -> None:
        other = site_source(site).replace(site.world.subscription, "99999999-9999-4999-8999-999999999999")
        with pytest.raises(SourceNotFound, match=r"golden is in the subscription 9999.*CloneBackend of the source"):
            await site.session.describe_source(other)

    at_site(story)


IMAGE_REFUSALS: dict[str, tuple[Fault, type[CloneError]]] = {
    "a throttle, and how long": (Fault(kind=FaultKind.THROTTLE, retry_after_seconds=77), RetryLater),
    "an image that is not there": (Fault(kind=FaultKind.FAIL, error=ServerSays(404, "NotFound")), ImageNotFound),
    "a server that failed": (
        Fault(kind=FaultKind.FAIL, error=ServerSays(503, "ServiceUnavailable")),
        BackendUnreachable,
    ),
    "a connection that breaks": (Fault(kind=FaultKind.LOSE_REPLY), BackendUnreachable),
}


@pytest.mark.parametrize(("fault", "kind"), IMAGE_REFUSALS.values(), ids=IMAGE_REFUSALS)
def test_what_azure_says_of_an_image_is_told_as_it_is(fault: Fault, kind: type[CloneError]) -> None:
    async def story(site: Site) -> None:
        with pytest.raises(kind) as error:
            await site.session.describe_image(IMAGE)
        if fault.kind is FaultKind.THROTTLE:
            assert isinstance(error.value, RetryLater)
            assert error.value.retry_after.total_seconds() == 77

    at_site(story, FaultSchedule(choose=lambda _: fault))


def test_a_right_to_look_at_images_that_lacks_is_named_with_its_scope() -> None:
    async def story(site: Site) -> None:
        site.world.clients["vmclone"].rights = {"Microsoft.Compute/virtualMachines/read"}
        with pytest.raises(NotAuthorized, match=r"skus/versions/read.*scope"):
            await site.session.describe_image(IMAGE)
        site.world.clients["vmclone"].rights = {"*"}
        with pytest.raises(ImageNotFound):
            await site.session.describe_image("debian:debian-13:13-gen2:9.9.9")

    at_site(story)


def test_snapshots_between_which_the_source_was_on_are_never_one_frozen_point() -> None:
    """A file system over two disks would be of two moments."""

    async def story(site: Site) -> None:
        await taken_of_the_first_disk_alone(site)
        golden = next(vm for vm in site.world.of_kind(VM) if vm.name == "golden")
        for power in ("running", "deallocated"):
            site.later(60)
            switch(site.world, golden, power)
        with pytest.raises(QuiesceFailed, match="was switched on between its snapshots"):
            await site.freeze()
        await site.release()
        assert of_ours(site.world) == []

    at_site(story, power="deallocated")


def test_snapshots_of_a_source_that_stayed_off_are_taken_on_with() -> None:
    async def story(site: Site) -> None:
        await taken_of_the_first_disk_alone(site)
        site.later(3600)
        frozen = (await site.freeze()).frozen
        assert frozen is not None
        assert frozen.consistency is Consistency.POWERED_OFF

    at_site(story, power="deallocated")


def test_a_snapshot_that_is_gone_is_not_taken_again_alone_and_the_others_are_removed() -> None:
    async def story(site: Site) -> None:
        await site.freeze()
        (first,) = (one for one in site.world.of_kind(SNAPSHOT) if one.name.endswith("-0"))
        del site.world.resources[first.key]
        with pytest.raises(QuiesceFailed, match="is gone while others are there"):
            await site.session.freeze(freeze_intent(site))
        site.later(60)
        await site.release()
        assert of_ours(site.world) == []

    at_site(story, power="deallocated")


SNAPSHOT = "Microsoft.Compute/snapshots"


async def taken_of_the_first_disk_alone(site: Site) -> None:
    """Begin a frozen point of a source that is off, and be cut off after the first snapshot."""
    await site.session.freeze(freeze_intent(site))
    site.later(60)
    (last,) = (one for one in site.world.of_kind(SNAPSHOT) if one.name.endswith("-1"))
    del site.world.resources[last.key]
