"""The ARM double's rules of snapshots, restore points, run commands, throttles, rights and the wire."""

from __future__ import annotations

from typing import Any

import pytest
from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError
from tests.doubles.arm import tokens
from tests.doubles.arm.call import Request
from tests.doubles.arm.double import Double
from tests.doubles.arm.faults import ServerSays
from tests.doubles.arm.guests import ModelledGuests, Outcome
from tests.doubles.arm.site import CLIENT, furnished
from tests.support.simulation import SimClock
from tests.unit.doubles.arm.desk import GROUP, Desk, at_desk
from tests.unit.doubles.arm.test_lives import code_of

from vmclone_operator.providers.fake import FaultSchedule
from vmclone_operator.providers.fake.faults import Fault, FaultKind, at_call, at_index

COMPUTE = f"{GROUP}/providers/Microsoft.Compute"
POINT = "Microsoft.Compute/restorePointCollections/restorePoints"


def guests_of(desk: Desk) -> ModelledGuests:
    assert isinstance(desk.world.guests, ModelledGuests)
    return desk.world.guests


async def collection(desk: Desk) -> None:
    vm = desk.full(f"{COMPUTE}/virtualMachines/golden")
    body: Any = {"location": desk.world.location, "properties": {"source": {"id": vm}}, "tags": {"a": "b"}}
    await desk.compute.restore_point_collections.create_or_update(GROUP, "c", body)


async def point(desk: Desk, name: str, mode: str = "FileSystemConsistent") -> None:
    body: Any = {"properties": {"consistencyMode": mode}}
    await desk.compute.restore_points.begin_create(GROUP, "c", name, body, polling=False)


def test_a_restore_point_holds_every_disk_as_it_was_when_it_was_asked_for() -> None:
    async def story(desk: Desk) -> None:
        boot = desk.full(f"{COMPUTE}/disks/golden-0").lower()
        guests_of(desk).disks[boot].state["file"] = "before"
        await collection(desk)
        await point(desk, "p")
        guests_of(desk).disks[boot].state["file"] = "after"
        desk.later(60)
        shown = await desk.compute.restore_points.get(GROUP, "c", "p")
        assert (shown.provisioning_state, shown.consistency_mode) == ("Succeeded", "FileSystemConsistent")
        profile = shown.source_metadata.storage_profile
        assert [disk.lun for disk in profile.data_disks] == [0]
        creation = {"createOption": "Restore", "sourceResourceId": profile.os_disk.disk_restore_point.id}
        body: Any = {"location": desk.world.location, "properties": {"creationData": creation}}
        await desk.compute.disks.begin_create_or_update(GROUP, "copy", body, polling=False)
        desk.later(30)
        await desk.compute.restore_point_collections.begin_delete(GROUP, "c", polling=False)
        desk.later(30)
        made = await desk.compute.disks.get(GROUP, "copy")
        assert (made.provisioning_state, made.disk_size_gb) == ("Succeeded", 30)
        assert guests_of(desk).disks[boot.replace("golden-0", "copy")].state["file"] == "before"
        left = [key for key in desk.world.resources if "restorepoint" in key]
        assert left == []

    at_desk(story)


def test_restore_points_come_one_at_a_time_and_three_an_hour() -> None:
    async def story(desk: Desk) -> None:
        await collection(desk)
        await point(desk, "p1")
        with pytest.raises(HttpResponseError) as busy:
            await point(desk, "p2")
        for name in ("p2", "p3"):
            desk.later(60)
            await point(desk, name)
        desk.later(60)
        with pytest.raises(HttpResponseError) as often:
            await point(desk, "p4")
        assert (code_of(busy), often.value.status_code) == ("Conflict", 429)
        response: Any = often.value.response
        assert int(response.headers["Retry-After"]) > 60

    at_desk(story)


def test_a_file_system_consistent_point_needs_an_agent_that_answers_and_says_so_late() -> None:
    async def story(desk: Desk) -> None:
        guests_of(desk).disks[desk.full(f"{COMPUTE}/disks/golden-0").lower()].agent = False
        await collection(desk)
        await point(desk, "p")
        desk.later(60)
        shown = await desk.compute.restore_points.get(GROUP, "c", "p")
        assert shown.provisioning_state == "Failed"

    at_desk(story)


def test_seven_incremental_snapshots_of_a_disk_are_made_in_five_minutes() -> None:
    async def story(desk: Desk) -> None:
        creation = {"createOption": "Copy", "sourceResourceId": desk.full(f"{COMPUTE}/disks/golden-0")}
        properties = {"creationData": creation, "incremental": True}
        body: Any = {"location": desk.world.location, "properties": properties}
        for number in range(7):
            await desk.compute.snapshots.begin_create_or_update(GROUP, f"s{number}", body, polling=False)
        with pytest.raises(HttpResponseError) as error:
            await desk.compute.snapshots.begin_create_or_update(GROUP, "s7", body, polling=False)
        assert error.value.status_code == 429

    at_desk(story)


def test_a_snapshot_goes_to_another_region_in_the_background() -> None:
    async def story(desk: Desk) -> None:
        snapshots = desk.compute.snapshots
        creation = {"createOption": "Copy", "sourceResourceId": desk.full(f"{COMPUTE}/disks/golden-0")}
        body: Any = {"location": desk.world.location, "properties": {"creationData": creation, "incremental": True}}
        await snapshots.begin_create_or_update(GROUP, "here", body, polling=False)
        desk.later(30)
        creation = {"createOption": "CopyStart", "sourceResourceId": desk.full(f"{COMPUTE}/snapshots/here")}
        away: Any = {"location": "northeurope", "properties": {"creationData": creation, "incremental": True}}
        await snapshots.begin_create_or_update(GROUP, "there", away, polling=False)
        desk.later(150)
        assert (await snapshots.get(GROUP, "there")).completion_percent == 50
        creation = {"createOption": "Copy", "sourceResourceId": desk.full(f"{COMPUTE}/snapshots/there")}
        disk: Any = {"location": "northeurope", "properties": {"creationData": creation}}
        with pytest.raises(HttpResponseError):
            await desk.compute.disks.begin_create_or_update(GROUP, "d", disk, polling=False)
        desk.later(200)
        await desk.compute.disks.begin_create_or_update(GROUP, "d", disk, polling=False)

    at_desk(story)


async def run(desk: Desk, name: str, script: str, **properties: Any) -> None:
    body: Any = {"location": desk.world.location, "properties": {"source": {"script": script}, **properties}}
    await desk.compute.virtual_machine_run_commands.begin_create_or_update(GROUP, "golden", name, body, polling=False)


async def view(desk: Desk, name: str) -> Any:
    runs = desk.compute.virtual_machine_run_commands
    return (await runs.get_by_virtual_machine(GROUP, "golden", name, expand="instanceView")).instance_view


def test_run_commands_wait_for_each_other_and_say_the_last_4_kib() -> None:
    async def story(desk: Desk) -> None:
        guests_of(desk).program = lambda _, script: Outcome(exit_code=3, stdout="x" * 5000 + script, seconds=30)
        await run(desk, "a", "one")
        await run(desk, "b", "two")
        desk.later(33)
        first, second = await view(desk, "a"), await view(desk, "b")
        assert (first.execution_state, first.exit_code, len(first.output)) == ("Failed", 3, 4096)
        assert (first.output[-3:], second.execution_state) == ("one", "Running")

    at_desk(story)


def test_a_script_is_not_run_twice_by_putting_it_twice_nor_by_its_name_after_a_delete() -> None:
    ran: list[str] = []

    async def story(desk: Desk) -> None:
        def program(_: Any, script: str) -> Outcome:
            ran.append(script)
            return Outcome(exit_code=0)

        guests_of(desk).program = program
        await run(desk, "a", "one")
        desk.later(60)
        await run(desk, "a", "one")
        desk.later(60)
        await desk.compute.virtual_machine_run_commands.begin_delete(GROUP, "golden", "a", polling=False)
        desk.later(60)
        await run(desk, "a", "one")
        desk.later(60)
        assert (await view(desk, "a")).execution_state == "Unknown"

    at_desk(story)
    assert ran == ["one"]


def test_a_vm_takes_25_run_commands_and_none_while_it_is_off() -> None:
    async def story(desk: Desk) -> None:
        desk.world.throttles.on = False
        for number in range(25):
            await run(desk, f"r{number}", "echo")
        with pytest.raises(HttpResponseError) as many:
            await run(desk, "r25", "echo")
        await desk.compute.virtual_machines.begin_power_off(GROUP, "golden", polling=False)
        desk.later(60)
        with pytest.raises(HttpResponseError) as off:
            await run(desk, "r0", "echo again")
        assert ("25" in str(many.value), "not running" in str(off.value)) == (True, True)

    at_desk(story)


def test_a_script_is_ended_at_its_limit_and_a_mute_agent_gives_no_result() -> None:
    async def story(desk: Desk) -> None:
        guests_of(desk).program = lambda _, __: Outcome(exit_code=0, seconds=500)
        await run(desk, "slow", "sleep 500", timeoutInSeconds=60)
        desk.later(90)
        assert (await view(desk, "slow")).execution_state == "TimedOut"
        desk.world.guests.end(desk.full(f"{COMPUTE}/virtualMachines/golden").lower())
        await run(desk, "mute", "echo")
        desk.later(600)
        assert (await view(desk, "mute")).execution_state == "Pending"
        desk.later(6000)
        runs = desk.compute.virtual_machine_run_commands
        assert (await runs.get_by_virtual_machine(GROUP, "golden", "mute")).provisioning_state == "Failed"

    at_desk(story)


def test_reads_of_one_vm_are_36_at_once_and_then_12_a_minute() -> None:
    async def story(desk: Desk) -> None:
        for _ in range(36):
            await desk.compute.virtual_machines.get(GROUP, "golden")
        with pytest.raises(HttpResponseError) as error:
            await desk.compute.virtual_machines.get(GROUP, "golden")
        desk.later(60)
        for _ in range(12):
            await desk.compute.virtual_machines.get(GROUP, "golden")
        assert (error.value.status_code, desk.world.throttles.refused["LowCostGetVM"]) == (429, 1)

    at_desk(story)


def test_an_application_without_a_right_is_told_which_and_where() -> None:
    async def story(desk: Desk) -> None:
        desk.world.clients[CLIENT].rights = {"Microsoft.Compute/*", "Microsoft.Network/networkInterfaces/*"}
        with pytest.raises(HttpResponseError) as read:
            await desk.network.public_ip_addresses.get(GROUP, "a")
        with pytest.raises(HttpResponseError) as join:
            await desk.network.network_interfaces.begin_create_or_update(GROUP, "n", desk.nic_body(), polling=False)
        assert (code_of(read), code_of(join)) == ("AuthorizationFailed", "LinkedAuthorizationFailed")
        assert "Microsoft.Network/virtualNetworks/subnets/join/action" in str(join.value)

    at_desk(story)


SECRETS = {"wrong": ("other", 7000215), "expired": (tokens.EXPIRED, 7000222)}


@pytest.mark.parametrize(("secret", "number"), SECRETS.values(), ids=SECRETS)
def test_a_secret_is_refused_with_microsofts_number(secret: str, number: int) -> None:
    async def story(desk: Desk) -> None:
        desk.world.clients[CLIENT].secret = secret
        with pytest.raises(ClientAuthenticationError, match=f"AADSTS{number}"):
            await desk.compute.virtual_machines.get(GROUP, "golden")

    at_desk(story)


@pytest.mark.parametrize("name", ["vmclone.dev/instance", "a?b", "50%"])
def test_a_tag_name_with_a_reserved_character_is_refused(name: str) -> None:
    async def story(desk: Desk) -> None:
        body = desk.nic_body() | {"tags": {name: "x"}}
        with pytest.raises(HttpResponseError) as error:
            await desk.network.network_interfaces.begin_create_or_update(GROUP, "n", body, polling=False)
        assert code_of(error) == "InvalidTagNameCharacters"

    at_desk(story)


def test_a_lost_reply_leaves_the_work_done_and_a_busy_server_leaves_it_undone() -> None:
    lost = at_call("PUT Microsoft.Network/networkInterfaces", Fault(kind=FaultKind.LOSE_REPLY))

    async def story(desk: Desk) -> None:
        with pytest.raises(AzureError):  # aiohttp itself puts once more, and that meets the first
            await desk.nic("n")
        desk.later(10)
        assert (await desk.network.network_interfaces.get(GROUP, "n")).provisioning_state == "Succeeded"

    at_desk(story, FaultSchedule(choose=lost))
    busy = at_index(0, Fault(kind=FaultKind.FAIL, error=ServerSays(503, "ServiceUnavailable")))

    async def refused(desk: Desk) -> None:
        with pytest.raises(HttpResponseError, match="ServiceUnavailable"):
            await desk.nic("n")
        assert len([one for one in desk.world.inventory() if one.endswith("/n")]) == 0

    at_desk(refused, FaultSchedule(choose=busy))


WIRE: dict[str, tuple[str, str, str, str]] = {
    "no api-version": ("GET", "{vm}", "", "MissingApiVersionParameter"),
    "an api-version that nobody published": ("GET", "{vm}", "2001-01-01", "NoRegisteredProviderFound"),
    "a type that there is not": ("GET", "{vm}s/x/y", "2026-04-01", "InvalidResourceType"),
    "another group": ("GET", "{other}", "2026-04-01", "ResourceGroupNotFound"),
    "another subscription": ("GET", "{foreign}", "2026-04-01", "SubscriptionNotFound"),
    "a VM that is not there": ("GET", "{vm}-not", "2026-04-01", "ResourceNotFound"),
}


@pytest.mark.parametrize(("method", "path", "version", "code"), WIRE.values(), ids=WIRE)
def test_arm_refuses(method: str, path: str, version: str, code: str) -> None:
    world = furnished(SimClock())
    world.tokens["t"] = (CLIENT, world.now() + 60)
    vm = f"/subscriptions/{world.subscription}/resourceGroups/{COMPUTE}/virtualMachines/golden"
    paths = {"vm": vm, "other": vm.replace("/lab/", "/else/"), "foreign": vm.replace(world.subscription, "x")}
    request = Request(
        method=method,
        path=path.format(**paths),
        query={"api-version": version} if version else {},
        headers={"authorization": "Bearer t"},
    )
    assert Double(world).answer(request).body["error"]["code"] == code


def test_an_operation_tells_how_it_stands_at_both_of_its_addresses() -> None:
    world = furnished(SimClock())
    clock = world.timeline._clock
    assert isinstance(clock, SimClock)
    world.tokens["t"] = (CLIENT, world.now() + 600)
    path = f"/subscriptions/{world.subscription}/resourceGroups/{COMPUTE}/virtualMachines/golden"
    double = Double(world)

    def ask(method: str, url: str) -> Any:
        address = url.removeprefix("https://management.azure.com").partition("?")[0]
        headers = {"authorization": "Bearer t"}
        return double.answer(Request(method=method, path=address, query={"api-version": "2026-04-01"}, headers=headers))

    begun = ask("DELETE", path)
    status, result = begun.headers["Azure-AsyncOperation"], begun.headers["Location"]
    assert (begun.status, ask("GET", status).body["status"], ask("GET", result).status) == (202, "InProgress", 202)
    clock.advance(60)
    assert (ask("GET", status).body["status"], ask("GET", result).status) == ("Succeeded", 204)
    assert ask("DELETE", path).status == 204
