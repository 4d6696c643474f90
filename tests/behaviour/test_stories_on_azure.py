"""The whole engine over the Azure adapter and a double of its API: the same manifests, the same conditions."""

from __future__ import annotations

import random

import pytest
from tests.doubles.arm.faults import ServerSays
from tests.doubles.arm.refusals import Refusal
from tests.doubles.arm.runs import TYPE as RUN
from tests.doubles.arm.site import remove_by_hand
from tests.doubles.arm.vms import switch
from tests.support.azure_site import AzureSite, on_azure
from tests.support.restoring import lose
from tests.support.stories import condition

from vmclone_operator.kube.cluster import Key, Kind
from vmclone_operator.providers.azure.guest import run_name
from vmclone_operator.providers.fake import FaultSchedule
from vmclone_operator.providers.fake.faults import Fault, FaultKind
from vmclone_operator.providers.fake.guest import Guest

VM = "Microsoft.Compute/virtualMachines"
TROUBLE = (
    Fault(kind=FaultKind.FAIL),
    Fault(kind=FaultKind.LOSE_REPLY),
    Fault(kind=FaultKind.THROTTLE, retry_after_seconds=7),
    Fault(kind=FaultKind.FAIL, error=ServerSays(503, "ServiceUnavailable")),
)
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGFsaWNleHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4 alice"


def clones(site: AzureSite) -> list[str]:
    """Return the names of the VMs that are no source."""
    return sorted(one.name for one in site.world.of_kind(VM) if one.name != "golden")


def guests(site: AzureSite) -> list[tuple[Guest, str]]:
    """Return each running clone's guest, and the machine id that its VM gives it."""
    found = [one for one in site.guests.running.values() if one.hardware.name != "golden"]
    return [(one.disk.state["guest"], one.hardware.vm_id.replace("-", "")) for one in found]


def test_two_clones_of_a_running_source_get_ready_and_are_removed_without_a_trace() -> None:
    async def story(site: AzureSite) -> None:
        before = site.world.inventory()
        site.apply(replicas=2)
        await site.ready(2)
        assert condition(site.get(Kind.VMCLONE, "dev"), "Ready") == ("True", "AllReady")
        assert len(clones(site)) == 2
        for guest, machine_id in guests(site):
            assert (guest.machine_id, guest.secrets, guest.resets) == (machine_id, 0, 1)
        for ordinal in (1, 2):
            replica = site.get(Kind.REPLICA, f"dev-{ordinal}")
            assert condition(replica, "IdentityReset") == ("True", "Verified")
            assert replica["status"]["guest"]["addresses"][0].startswith("10.8.")
            assert replica["status"]["scrub"]["files"] == 2
        assert len(site.world.of_kind(RUN)) == 2, "one task for each"
        await site.removed()
        assert site.world.inventory() == before

    on_azure(story)


def test_two_clean_clones_of_an_image_get_ready_and_are_removed_without_a_trace() -> None:
    async def story(site: AzureSite) -> None:
        before = site.world.inventory()
        site.apply(clean=True, replicas=2, mode="Clean", homeCopy={"policy": "Skip"})
        await site.ready(2)
        for guest, machine_id in guests(site):
            assert (guest.machine_id, guest.hostname) == (machine_id, guest.hostname)
            assert guest.hostname in clones(site)
        shown = [tuple(site.get(Kind.REPLICA, f"dev-{n}")["status"]["guest"]["sshHostKeys"]) for n in (1, 2)]
        assert len(set(shown)) == 2, "each has the host key that was made for it"
        await site.removed()
        assert site.world.inventory() == before

    on_azure(story)


def test_a_clean_clone_gets_its_home_by_two_more_tasks_and_leaves_nothing() -> None:
    """One lets the key of the copy in, one takes it out; the copy itself goes by SSH."""

    async def story(site: AzureSite) -> None:
        before = site.world.inventory()
        site.apply(clean=True, replicas=1, mode="Clean")
        await site.ready(1)
        assert condition(site.get(Kind.REPLICA, "dev-1"), "HomeCopied") == ("True", "Copied")
        assert len(site.world.of_kind(RUN)) == 3
        await site.until(lambda: not guests(site)[0][0].copy_keys, seconds=120)
        await site.removed()
        assert site.world.inventory() == before

    on_azure(story)


def test_an_operator_that_is_killed_while_clones_are_made_makes_each_once() -> None:
    async def story(site: AzureSite) -> None:
        before = site.world.inventory()
        site.apply(replicas=2)
        for seconds in (20, 45, 70, 95, 130, 170):
            await site.sim._run(float(seconds), lambda: False)
            await site.sim.engine.sessions.close()
            site.sim.restart()
        await site.ready(2)
        assert len(clones(site)) == 2
        assert all(guest.machine_id == machine_id for guest, machine_id in guests(site))
        await site.removed()
        assert site.world.inventory() == before

    on_azure(story)


def test_a_vm_that_is_restarted_in_the_middle_of_its_task_gets_another_one() -> None:
    """The run command says for ever that it runs, and the agent takes no other one before it."""

    async def story(site: AzureSite) -> None:
        site.apply(replicas=1)
        await site.until(lambda: bool(site.world.of_kind(RUN)))
        (name,) = clones(site)
        (vm,) = [one for one in site.world.of_kind(VM) if one.name == name]
        site.sim.clock.advance(10)
        site.world.timeline.settle()
        switch(site.world, vm, "stopped")
        await site.ready(1)
        (seen,) = guests(site)
        assert seen[0].machine_id == seen[1]
        assert len(site.world.of_kind(RUN)) == 1, "the one that went down with the VM is gone"

    on_azure(story)


def test_a_clone_that_azure_can_not_start_again_just_now_keeps_its_disks_and_says_why() -> None:
    """The start is taken, and fails later; the VM is then Failed, and not gone."""

    async def story(site: AzureSite) -> None:
        site.apply(replicas=1)
        await site.ready(1)
        (name,) = clones(site)
        (vm,) = [one for one in site.world.of_kind(VM) if one.name == name]
        made = sorted(site.world.inventory())
        switch(site.world, vm, "deallocated")
        site.world.late[VM, "power"] = [Refusal(409, "AllocationFailed", "no capacity.") for _ in range(3)]
        site.sim.engine.queue.add(Key(Kind.REPLICA, "team-a", "dev-1"))
        told: set[str] = set()

        def runs() -> bool:
            told.add(condition(site.get(Kind.REPLICA, "dev-1"), "Ready")[1])
            return bool(vm.extra["power"] == "running")

        await site.until(runs)
        await site.ready(1)
        assert "InsufficientSpace" in told
        assert [one for one in sorted(site.world.inventory()) if "/runcommands/" not in one] == [
            one for one in made if "/runcommands/" not in one
        ]

    on_azure(story)


def test_a_run_that_is_stuck_goes_also_when_the_wish_changes_before_the_next_one_starts() -> None:
    async def story(site: AzureSite) -> None:
        site.apply(clean=True, replicas=1, mode="Clean", homeCopy={"policy": "Skip"})
        await site.until(lambda: bool(site.world.of_kind(RUN)))
        (stuck,) = [one.name for one in site.world.of_kind(RUN)]
        (vm,) = [one for one in site.world.of_kind(VM) if one.name == clones(site)[0]]
        site.sim.clock.advance(10)
        site.world.timeline.settle()
        switch(site.world, vm, "stopped")

        def ledger() -> dict[str, str]:
            return dict(site.get(Kind.REPLICA, "dev-1").get("status", {}).get("guestTask", {}))

        await site.until(lambda: bool(ledger().get("replaces") and ledger().get("run")))
        assert [one.name for one in site.world.of_kind(RUN)] == [stuck], "the next one is written down, not started"
        written = ledger()["run"]
        access = {"authorizedKeys": [KEY]}
        site.apply(clean=True, replicas=1, mode="Clean", homeCopy={"policy": "Skip"}, access=access)
        began = site.sim.clock()
        await site.ready(1)
        assert not [one for one in site.server.calls if one.startswith("PUT ") and run_name(written) in one]
        assert site.sim.clock() - began < 600
        assert stuck not in [one.name for one in site.world.of_kind(RUN)]

    on_azure(story)


def test_a_home_copy_whose_first_task_goes_down_with_its_vm_is_begun_again() -> None:
    async def story(site: AzureSite) -> None:
        site.apply(clean=True, replicas=1, mode="Clean")
        await site.until(lambda: len(site.world.of_kind(RUN)) == 2)
        site.sim.clock.advance(10)
        site.world.timeline.settle()
        (vm,) = [one for one in site.world.of_kind(VM) if one.name == clones(site)[0]]
        switch(site.world, vm, "stopped")
        switch(site.world, vm, "running")
        await site.until(lambda: condition(site.get(Kind.REPLICA, "dev-1"), "HomeCopied") == ("True", "Copied"), 6000)
        await site.ready(1)

    on_azure(story)


@pytest.mark.parametrize("secret", ["wrong", ""], ids=["wrong", "a Secret without keys"])
def test_a_wrong_secret_is_told_and_mended(secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not in the Secret is not looked for elsewhere: the pod may have an identity of its own."""
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", "/var/run/secrets/azure/tokens/azure-identity-token")

    async def story(site: AzureSite) -> None:
        site.apply(replicas=1, secret=secret)

        def told() -> bool:
            status = (site.sim.get(Kind.BACKEND, "lab") or {}).get("status", {})
            return any(one["reason"] == "CredentialsInvalid" for one in status.get("conditions", ()))

        await site.until(told)
        site.apply(replicas=1)
        await site.ready(1)

    on_azure(story)


@pytest.mark.parametrize("seed", [1])
def test_ten_clones_of_a_running_source_end_the_same_with_a_tenth_of_all_requests_refused_or_lost(seed: int) -> None:
    """One restore point, ten VMs, and afterwards what was there before."""
    chance, struck = random.Random(seed), FaultSchedule()  # noqa: S311 - the same again
    struck.choose = lambda _: chance.choice(TROUBLE) if chance.random() < 0.1 else None

    async def story(site: AzureSite) -> None:
        before = site.world.inventory()
        site.apply(replicas=10)
        await site.ready(10)
        assert len(clones(site)) == 10
        assert len({machine_id for _, machine_id in guests(site)}) == 10
        assert all((guest.machine_id, guest.resets) == (machine_id, 1) for guest, machine_id in guests(site))
        made = {call for call in site.server.calls if call.startswith("PUT ") and call.endswith("/restorePoints/p")}
        assert len(made) == 1
        await site.removed()
        assert site.world.inventory() == before
        assert len(struck.struck) >= 50

    on_azure(story, struck)


def test_what_a_lost_vmclone_and_a_vm_that_somebody_removed_left_is_named_and_removed_when_asked() -> None:
    """Nothing of it stands in any object any more: the stamps in the tags alone tell."""

    async def story(site: AzureSite) -> None:
        before = site.world.inventory()
        site.apply(replicas=1)
        await site.ready(1)
        (name,) = clones(site)
        remove_by_hand(site.world, VM, name)
        lose(site.sim)

        def told() -> list[str]:
            return [one["externalID"] for one in site.get(Kind.BACKEND, "lab", "")["status"].get("orphans", [])]

        await site.until(lambda: name in told())
        annotations = {"vmclone.dev/remove-orphans": ",".join(told())}
        lab = Key(Kind.BACKEND, "", "lab")
        site.sim.cluster.overwrite(lab, lambda d: d["metadata"].update(annotations=annotations))
        await site.until(lambda: told() == [], 3600)
        site.world.timeline.settle()
        assert site.world.inventory() == before

    on_azure(story)


def test_a_dry_run_names_what_each_clone_is_made_of_and_makes_nothing() -> None:
    async def story(site: AzureSite) -> None:
        before = site.world.inventory()
        site.apply(replicas=3, plan={"mode": "DryRun"}, template={"size": "Standard_B2s"})

        def named() -> list[tuple[str, str]]:
            plan = site.get(Kind.VMCLONE, "dev").get("status", {}).get("plan", {})
            return [(one["kind"], one.get("size", "")) for one in plan.get("estimate", {}).get("resources", ())]

        await site.until(lambda: bool(named()))
        assert named()[:2] == [("VirtualMachine", "Standard_B2s"), ("Disk", "Premium_LRS 30 GiB")]
        assert site.world.inventory() == before

    on_azure(story)
