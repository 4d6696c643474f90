"""The ARM double through Microsoft's own Python clients: a VM's life, and what stands in its way."""

from __future__ import annotations

from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from tests.doubles.arm.refusals import Refusal
from tests.unit.doubles.arm.desk import GROUP, Desk, at_desk

VM = "Microsoft.Compute/virtualMachines"


def code_of(error: pytest.ExceptionInfo[HttpResponseError]) -> str:
    """Return ARM's word for what was wrong."""
    return str(error.value.error.code if error.value.error else error.value.status_code)


def test_a_vm_is_made_shown_run_on_and_deleted_with_nothing_left() -> None:
    before: dict[str, Any] = {}

    async def story(desk: Desk) -> None:
        before.update(desk.world.inventory())
        await desk.vm("one")
        vm = await desk.compute.virtual_machines.get(GROUP, "one", expand="instanceView")
        assert vm.provisioning_state == "Succeeded"
        assert {status.code for status in vm.instance_view.statuses} >= {"PowerState/running"}
        assert vm.instance_view.vm_agent.statuses[0].display_status == "Ready"
        source = {"script": "echo hello"}
        body: Any = {"location": desk.world.location, "properties": {"source": source}}
        runs = desk.compute.virtual_machine_run_commands
        await runs.begin_create_or_update(GROUP, "one", "r1", body, polling=False)
        desk.later(10)
        early = await runs.get_by_virtual_machine(GROUP, "one", "r1", expand="instanceView")
        desk.later(20)
        late = await runs.get_by_virtual_machine(GROUP, "one", "r1", expand="instanceView")
        assert (early.instance_view.execution_state, late.instance_view.execution_state) == ("Running", "Succeeded")
        assert (late.instance_view.output, late.instance_view.exit_code) == ("hello\n", 0)
        disk = vm.storage_profile.os_disk.name
        await desk.compute.virtual_machines.begin_delete(GROUP, "one", polling=False)
        desk.later(60)
        await desk.compute.disks.begin_delete(GROUP, disk, polling=False)
        await desk.network.network_interfaces.begin_delete(GROUP, "one", polling=False)
        desk.later(60)
        with pytest.raises(ResourceNotFoundError):
            await desk.compute.virtual_machines.get(GROUP, "one")

    assert at_desk(story).inventory() == before


def test_what_a_vm_uses_is_not_deleted_under_it() -> None:
    async def story(desk: Desk) -> None:
        await desk.vm("one")
        vm = await desk.compute.virtual_machines.get(GROUP, "one")
        with pytest.raises(HttpResponseError) as disk:
            await desk.compute.disks.begin_delete(GROUP, vm.storage_profile.os_disk.name, polling=False)
        with pytest.raises(HttpResponseError) as nic:
            await desk.network.network_interfaces.begin_delete(GROUP, "one", polling=False)
        assert (code_of(disk), code_of(nic)) == ("OperationNotAllowed", "NicInUse")

    at_desk(story)


def test_a_group_and_an_address_in_use_stay() -> None:
    async def story(desk: Desk) -> None:
        at = {"location": desk.world.location}
        await desk.network.network_security_groups.begin_create_or_update(GROUP, "g", dict(at), polling=False)
        await desk.network.public_ip_addresses.begin_create_or_update(GROUP, "a", dict(at), polling=False)
        desk.later(10)
        base = desk.full(f"{GROUP}/providers/Microsoft.Network")
        body = desk.nic_body(networkSecurityGroup={"id": f"{base}/networkSecurityGroups/g"})
        inside = body["properties"]["ipConfigurations"][0]["properties"]
        inside["publicIPAddress"] = {"id": f"{base}/publicIPAddresses/a"}
        await desk.network.network_interfaces.begin_create_or_update(GROUP, "n", body, polling=False)
        desk.later(10)
        with pytest.raises(HttpResponseError) as first:
            await desk.network.network_security_groups.begin_delete(GROUP, "g", polling=False)
        with pytest.raises(HttpResponseError) as second:
            await desk.network.public_ip_addresses.begin_delete(GROUP, "a", polling=False)
        assert code_of(first) == "InUseNetworkSecurityGroupCannotBeDeleted"
        assert code_of(second) == "PublicIPAddressCannotBeDeleted"

    at_desk(story)


def test_a_create_that_fails_late_leaves_the_vm_failed_and_its_card_reserved() -> None:
    async def story(desk: Desk) -> None:
        await desk.nic("one")
        refusal = Refusal(409, "AllocationFailed", "Allocation failed. We do not have sufficient capacity.")
        desk.world.late[VM, "put"] = [refusal]
        machines = desk.compute.virtual_machines
        await machines.begin_create_or_update(GROUP, "one", desk.vm_body("one"), polling=False)
        desk.later(60)
        assert (await machines.get(GROUP, "one")).provisioning_state == "Failed"
        await machines.begin_delete(GROUP, "one", polling=False)
        desk.later(60)
        with pytest.raises(HttpResponseError) as other:
            await machines.begin_create_or_update(GROUP, "two", desk.vm_body("one"), polling=False)
        desk.later(180)
        await machines.begin_create_or_update(GROUP, "two", desk.vm_body("one"), polling=False)
        assert code_of(other) == "NicReservedForAnotherVm"

    at_desk(story)


def test_a_write_meets_one_that_runs() -> None:
    async def story(desk: Desk) -> None:
        await desk.nic("one")
        machines, cards = desk.compute.virtual_machines, desk.network.network_interfaces
        await machines.begin_create_or_update(GROUP, "one", desk.vm_body("one"), polling=False)
        with pytest.raises(HttpResponseError) as vm:
            await machines.begin_create_or_update(GROUP, "one", desk.vm_body("one"), polling=False)
        await cards.begin_create_or_update(GROUP, "two", desk.nic_body(), polling=False)
        with pytest.raises(HttpResponseError) as nic:
            await cards.begin_create_or_update(GROUP, "two", desk.nic_body(), polling=False)
        assert (vm.value.status_code, code_of(vm)) == (409, "Conflict")
        assert (nic.value.status_code, code_of(nic)) == (429, "RetryableErrorDueToAnotherOperation")

    at_desk(story)


def test_stopped_and_deallocated_are_two_things() -> None:
    async def story(desk: Desk) -> None:
        machines = desk.compute.virtual_machines

        async def power() -> set[str]:
            view = await machines.instance_view(GROUP, "golden")
            return {one.code for one in view.statuses if one.code.startswith("PowerState")}

        await machines.begin_power_off(GROUP, "golden", polling=False)
        desk.later(30)
        assert await power() == {"PowerState/stopped"}
        await machines.begin_deallocate(GROUP, "golden", polling=False)
        desk.later(30)
        assert await power() == {"PowerState/deallocated"}
        await machines.begin_start(GROUP, "golden", polling=False)
        desk.later(30)
        assert await power() == {"PowerState/running"}

    at_desk(story)


def test_a_fresh_vm_is_missing_from_lists_for_a_while_and_lists_come_in_pages() -> None:
    async def story(desk: Desk) -> None:
        desk.world.list_lag_seconds, desk.world.page_size = 300, 1
        await desk.vm("one")
        machines = desk.compute.virtual_machines
        early = [vm.name async for vm in machines.list(GROUP)]
        desk.later(300)
        assert (early, [vm.name async for vm in machines.list(GROUP)]) == (["golden"], ["golden", "one"])

    at_desk(story)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "osProfile beside a disk that is attached": (
        {"storageProfile": {"osDisk": {"createOption": "Attach"}}},
        "InvalidParameter",
    ),
    "a size that nobody has": ({"hardwareProfile": {"vmSize": "Standard_Z1"}}, "InvalidParameter"),
    "an image that is not there": (
        {"storageProfile": {"osDisk": {"createOption": "FromImage"}, "imageReference": {"publisher": "x"}}},
        "PlatformImageNotFound",
    ),
    "a name that Azure keeps for itself": (
        {"osProfile": {"computerName": "one", "adminUsername": "admin", "adminPassword": "x"}},
        "InvalidParameter",
    ),
    "custom data that is no base64": (
        {"osProfile": {"adminUsername": "dev", "adminPassword": "x", "customData": "#cloud-config"}},
        "InvalidParameter",
    ),
    "a field that no model has": ({"hardwareprofiles": {}}, "BadRequest"),
    "a field that is only answered": ({"provisioningState": "Succeeded"}, "BadRequest"),
    "a value of another type": ({"hardwareProfile": {"vmSize": 4}}, "BadRequest"),
}


@pytest.mark.parametrize(("changed", "code"), REFUSED.values(), ids=REFUSED)
def test_a_vm_is_refused_for(changed: dict[str, Any], code: str) -> None:
    async def story(desk: Desk) -> None:
        await desk.nic("one")
        body = desk.vm_body("one", **changed)
        with pytest.raises(HttpResponseError) as error:
            await desk.compute.virtual_machines.begin_create_or_update(GROUP, "one", body, polling=False)
        assert code_of(error) == code

    at_desk(story)


def test_the_quota_of_a_family_and_a_restricted_size_refuse_a_vm() -> None:
    async def story(desk: Desk) -> None:
        await desk.nic("one")
        desk.world.quotas["standardDSv5Family"] = 3
        machines = desk.compute.virtual_machines
        with pytest.raises(HttpResponseError) as quota:
            await machines.begin_create_or_update(GROUP, "one", desk.vm_body("one"), polling=False)
        assert code_of(quota) == "OperationNotAllowed"
        assert "Current Limit: 3, Current Usage: 2, Additional Required: 2" in str(quota.value)
        body = desk.vm_body("one", hardwareProfile={"vmSize": "Standard_B2s"})
        body["zones"] = ["7"]
        with pytest.raises(HttpResponseError) as size:
            await machines.begin_create_or_update(GROUP, "one", body, polling=False)
        assert code_of(size) == "SkuNotAvailable"

    at_desk(story)
