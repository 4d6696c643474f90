"""Sources are found, described and judged before anything is copied."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.doubles.pve.storages import Storage
from tests.doubles.pve.world import Node
from tests.unit.doubles.pve.clients import Client, cluster
from tests.unit.doubles.pve.lab import adopt
from tests.unit.providers.proxmox.lives import PLACE, Life, story, with_rights, with_running_source

from vmclone_operator.domain.backend import PlanWish, Power, SourceInfo
from vmclone_operator.domain.errors import (
    CapabilityMissing,
    ImageNotFound,
    InsufficientSpace,
    NotAuthorized,
    RetryLater,
    SourceLocked,
    SourceNotFound,
)
from vmclone_operator.providers.proxmox.rights import OWN

OTHER = {"name": "golden", "memory": "64"}


def described(name: str, world: Client | None = None) -> SourceInfo:
    async def tell(life: Life) -> SourceInfo:
        return await life.session.describe_source(name)

    found: SourceInfo = story(tell, world or cluster())
    return found


@pytest.mark.parametrize("name", ["golden", "100", "pve1/100"])
def test_a_source_is_found_by_its_name_its_number_and_its_place(name: str) -> None:
    info = described(name)
    assert (info.source_id, info.name, info.power, info.agent) == ("100", "golden", Power.OFF, False)
    assert [(disk.target, disk.capacity_bytes) for disk in info.disks] == [("scsi0", 1 << 30)]
    assert info.shape.networks == ("vmbr0",)
    assert info.macs == ("bc:24:11:00:00:01",)


def test_a_running_source_tells_its_addresses() -> None:
    info = described("golden", with_running_source())
    assert (info.power, info.agent) == (Power.ON, True)
    assert info.addresses == ("10.7.0.1",)


def test_two_vms_of_one_name_are_refused_and_both_named() -> None:
    world = cluster()
    adopt(world.world, 200, OTHER)
    with pytest.raises(SourceNotFound, match="pve1/100, pve1/200"):
        described("golden", world)


@pytest.mark.parametrize("name", ["nobody", "999", "pve1/999"])
def test_a_vm_that_is_not_there_is_told_with_the_right_that_may_lack(name: str) -> None:
    with pytest.raises(SourceNotFound, match=r"VM\.Audit"):
        described(name)


def test_a_vm_that_moved_is_told_where_it_is() -> None:
    with pytest.raises(SourceNotFound, match="is on node pve1 now, not on pve7"):
        described("pve7/100")


def test_the_fingerprint_is_another_one_once_the_disk_is() -> None:
    world = cluster()
    first = described("golden", world).fingerprint
    world.world.vms[100].config["scsi0"] = str(world.world.vms[100].config["scsi0"]).replace("1G", "2G")
    assert described("golden", world).fingerprint != first


def test_an_image_is_a_template_and_nothing_else() -> None:
    async def tell(life: Life) -> None:
        with pytest.raises(ImageNotFound, match="qm template 100"):
            await life.session.describe_image("golden")
        with pytest.raises(ImageNotFound):
            await life.session.describe_image("nobody")
        assert life.world.ended("POST", "/nodes/pve1/qemu/100/template") == "OK"
        assert (await life.session.describe_image("golden")).capacity_bytes == 1 << 30

    story(tell)


def change(**keys: Any) -> Callable[[Client], None]:
    """Return what sets these keys in the source's config."""
    return lambda world: world.world.vms[100].config.update(keys)


def full(world: Client) -> None:
    world.world.storages.known["local"].total = 1 << 20


def thick(world: Client) -> None:
    world.world.storages.known["local"].kind = "lvm"


def crowded(world: Client) -> None:
    for vmid in range(9100, 9110):
        adopt(world.world, vmid, OTHER)


def no_isos(world: Client) -> None:
    world.world.storages.known["local"].content = ("images",)


def two_nodes(world: Client) -> None:
    world.world.nodes["pve2"] = Node("pve2")
    world.world.quorate = False


FINDINGS: dict[str, tuple[Callable[[Client], None], dict[str, Any], str, str]] = {
    "a boot order without its disk": (change(boot="order=scsi7"), {}, "missing boot disk", "Blocked"),
    "a boot order of a CD alone": (
        change(boot="order=ide2", ide2="none,media=cdrom"),
        {},
        "boots from no disk",
        "Blocked",
    ),
    "a lock": (change(lock="backup"), {}, "locked: backup", SourceLocked.reason),
    "a PCI device": (change(hostpci0="0000:01:00.0"), {}, "hostpci0: the VM has a PCI device", "Blocked"),
    "arguments": (change(args="-vnc :5"), {}, "args: ", "Blocked"),
    "a hook script": (change(hookscript="local:snippets/a.pl"), {}, "hookscript: ", "Blocked"),
    "no agent where one must answer": (change(agent="0"), {"agent": True}, "qm set 100 --agent 1", "Blocked"),
    "too little room": (full, {}, "15 % margin included", InsufficientSpace.reason),
    "a storage without templates": (thick, {}, "cannot make linked clones", CapabilityMissing.reason),
    "a pool elsewhere for linked clones": (lambda _: None, {"pool": "other"}, "not on other", CapabilityMissing.reason),
    "a pool that is not there": (lambda _: None, {"pool": "other", "full": True}, "no storage other", "Blocked"),
    "too few numbers": (crowded, {}, "0 of 9100 to 9109 are free", "Blocked"),
    "nowhere for seeds": (no_isos, {}, "takes ISO images", "Blocked"),
    "a cluster without quorum": (two_nodes, {}, "no quorum", "Blocked"),
}


@pytest.mark.parametrize("case", FINDINGS)
def test_found_before_anything_is_copied(case: str) -> None:
    prepare, wish, says, reason = FINDINGS[case]
    world = cluster()
    prepare(world)

    async def tell(life: Life) -> None:
        info = await life.session.describe_source("100")
        found = await life.session.preflight(info, PlanWish(**{"replicas": 2, **wish}))
        assert [one for one in found if says in one.message and one.reason == reason], found

    story(tell, world)
    assert not world.world.tasks


def test_a_running_source_with_a_tpm_is_refused_before_the_server_does_it() -> None:
    world = with_running_source()
    world.world.vms[100].config["tpmstate0"] = "local:100/vm-100-disk-1.raw,size=4M"

    async def tell(life: Life) -> list[str]:
        info = await life.session.describe_source("golden")
        return [one.message for one in await life.session.preflight(info, PlanWish(replicas=1))]

    assert any("TPM" in message for message in story(tell, world))


def test_nothing_speaks_against_a_plain_source() -> None:
    async def tell(life: Life) -> None:
        info = await life.session.describe_source("golden")
        for full in (False, True):
            assert list(await life.session.preflight(info, PlanWish(replicas=3, full=full, agent=True))) == []

    story(tell)


POOLED = replace(PLACE, pool="clones")
AS_OP: dict[str, Any] = {"token_id": "vmclone@pve!op"}


@pytest.mark.parametrize("pooled", [True, False], ids=["on a pool", "on all VMs"])
def test_the_role_of_the_howto_is_enough_for_a_whole_life(*, pooled: bool) -> None:
    world = with_rights(pooled=pooled)

    async def tell(life: Life) -> None:
        await life.session.check()
        info = await life.session.describe_source("golden")
        assert list(await life.session.preflight(info, PlanWish(replicas=1))) == []
        await life.whole()

    story(tell, world, place=POOLED if pooled else PLACE, **AS_OP)
    assert set(world.world.vms) == {100}


@pytest.mark.parametrize("right", [*OWN, "VM.GuestAgent.Unrestricted"])
def test_a_right_on_our_vms_that_is_left_out_is_named_by_the_check(right: str) -> None:
    async def tell(life: Life) -> None:
        with pytest.raises(NotAuthorized, match=f"no {right} on /pool/clones"):
            await life.session.check()

    story(tell, with_rights(f"{right}@/pool/clones"), place=POOLED, **AS_OP)


@pytest.mark.parametrize(
    ("right", "path"),
    [
        ("VM.Clone", "/vms/100"),
        ("Datastore.Allocate", "/storage/local"),
        ("Datastore.AllocateSpace", "/storage/local"),
        ("Datastore.AllocateTemplate", "/storage/local"),
        ("SDN.Use", "/sdn/zones/localnetwork/vmbr0"),
    ],
)
def test_a_right_on_what_is_cloned_that_is_left_out_is_named_by_the_preflight(right: str, path: str) -> None:
    async def tell(life: Life) -> list[tuple[str, str]]:
        info = await life.session.describe_source("golden")
        return [(one.reason, one.message) for one in await life.session.preflight(info, PlanWish(replicas=1))]

    told = story(tell, with_rights(f"{right}@{path}"), place=POOLED, **AS_OP)
    assert (NotAuthorized.reason, f"the token has no {right} on {path}") in told


def test_linked_clones_are_there_where_the_storage_can() -> None:
    world = cluster()
    world.world.storages.known["thick"] = Storage(name="thick", kind="lvm")

    async def tell(life: Life) -> tuple[bool, bool]:
        here, there = await life.session.check(), await life.session.check("thick")
        return here.capabilities.linked, there.capabilities.linked

    assert story(tell, world) == (True, False)
    assert story(tell, world, place=replace(PLACE, storage="local")) == (True, False)
    assert story(tell, world, place=replace(PLACE, storage="thick")) == (False, False)


def test_a_cluster_without_quorum_is_a_backend_to_wait_for() -> None:
    world = cluster()
    two_nodes(world)

    async def tell(life: Life) -> None:
        with pytest.raises(RetryLater, match="quorum"):
            await life.session.check()

    story(tell, world)
