"""What a removal meets: locks that nobody holds, protection, HA, linked clones, disks that stay, strangers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.doubles.pve.clients import QEMU, cluster
from tests.unit.doubles.pve.lab import add_volume, adopt
from tests.unit.providers.proxmox.lives import CLONE, FREEZE, INSTANCE, NAME, OWNER, STAMP, VMCLONE, Life, story

from vmclone_operator.domain.backend import CloneRef, DiskCopy, LeftoverKind, OperationState, Owner
from vmclone_operator.domain.errors import (
    CloneFailed,
    FrozenPointInUse,
    LockLeftBehind,
    OwnershipMismatch,
)
from vmclone_operator.providers.proxmox import handles, marks


async def made(life: Life) -> int:
    """Make a frozen point and a clone; return the clone's VMID."""
    await life.freeze()
    return int((await life.clone()).external_id)


def config(life: Life, vmid: int) -> dict[str, Any]:
    return life.world.world.vms[vmid].config


def test_a_copy_whose_worker_was_killed_is_told_with_the_command_and_its_lock_is_left() -> None:
    async def tell(life: Life) -> None:
        await life.freeze()
        asked = replace(CLONE, frozen_handle=life.ledger.frozen, copy=DiskCopy.FULL)
        for _ in range(2):
            progress = await life.session.start_clone(replace(asked, handle=life.ledger.clone))
            life.ledger.clone = progress.handle
        handle = handles.read(life.ledger.clone)
        assert handle is not None
        life.world.pass_time(0.5)
        life.world.world.kill_task(handle.upid)
        with pytest.raises(LockLeftBehind, match=f"qm unlock {handle.vmid}"):
            await life.session.start_clone(replace(asked, handle=life.ledger.clone))
        with pytest.raises(LockLeftBehind, match=f"qm unlock {handle.vmid}"):
            await life.session.delete_clone(life.ref)
        assert config(life, handle.vmid)["lock"] == "clone"

    story(tell)


def test_a_copy_that_runs_is_stopped_and_gone_when_its_clone_is_no_longer_wanted() -> None:
    world = cluster()

    async def tell(life: Life) -> None:
        await life.freeze()
        world.world.timing.clone_bytes = 1 << 20
        asked = replace(CLONE, frozen_handle=life.ledger.frozen, copy=DiskCopy.FULL)
        for _ in range(2):
            life.ledger.clone = (await life.session.start_clone(replace(asked, handle=life.ledger.clone))).handle
        life.world.pass_time(100)
        told = await life.session.start_clone(replace(asked, handle=life.ledger.clone))
        assert (told.state, told.percent > 0, "transferred" in told.message) == (OperationState.RUNNING, True, True)
        chosen = handles.read(life.ledger.clone)
        assert chosen is not None
        life.ledger.clone = str(replace(chosen, upid=""))  # the ledger may be a step behind
        await life.delete()
        await life.release()

    story(tell, world)
    assert set(world.world.vms) == {100}


def test_a_task_that_died_at_once_is_reported_within_one_look_and_tried_again_after() -> None:
    world = cluster()
    volume = world.world.storages.volumes["local:100/vm-100-disk-0.qcow2"]

    async def tell(life: Life) -> None:
        for _ in range(2):
            life.ledger.frozen = (await life.session.freeze(replace(FREEZE, handle=life.ledger.frozen))).handle
            volume.missing = True
        life.world.pass_time(2)
        with pytest.raises(CloneFailed, match="does not exist"):
            await life.session.freeze(replace(FREEZE, handle=life.ledger.frozen))
        volume.missing = False
        await life.freeze()

    story(tell, world)


def test_protection_that_somebody_set_on_a_clone_stands_and_is_told() -> None:
    async def tell(life: Life) -> None:
        vmid = await made(life)
        config(life, vmid)["protection"] = 1
        with pytest.raises(CloneFailed, match="qm set VMID --protection 0"):
            await life.session.delete_clone(life.ref)
        assert vmid in life.world.world.vms

    story(tell)


def test_a_source_that_is_protected_makes_clones_that_are_not() -> None:
    world = cluster()
    world.world.vms[100].config["protection"] = 1

    async def tell(life: Life) -> None:
        vmid = await made(life)
        assert "protection" not in config(life, vmid)
        await life.delete()
        await life.release()

    story(tell, world)
    assert set(world.world.vms) == {100}


def test_a_frozen_point_with_linked_clones_is_in_use() -> None:
    async def tell(life: Life) -> None:
        vmid = await made(life)
        told = await life.session.release_frozen(OWNER, "t1", life.ledger.frozen)
        assert told.state is OperationState.RUNNING
        life.world.pass_time(5)
        with pytest.raises(FrozenPointInUse, match=rf"VM {vmid} \({NAME}\)"):
            await life.session.release_frozen(OWNER, "t1", life.ledger.frozen)

    story(tell)


@pytest.mark.parametrize("restarted", [False, True], ids=["by memory", "by the task's log"])
def test_a_disk_that_the_destroy_only_warned_about_is_freed_afterwards(*, restarted: bool) -> None:
    async def tell(life: Life) -> None:
        vmid = await made(life)
        stuck = next(volume for volume in life.world.world.storages.volumes if f"vm-{vmid}-" in volume)
        life.world.world.stuck_volumes.add(stuck)
        assert (await life.session.delete_clone(life.ref)).state is OperationState.RUNNING
        life.world.pass_time(5)
        assert vmid not in life.world.world.vms
        assert stuck in life.world.world.storages.volumes
        life.world.world.stuck_volumes.clear()
        if restarted:
            await life.restart()
        await life.delete()
        assert stuck not in life.world.world.storages.volumes

    story(tell)


def test_a_volume_with_a_clones_number_that_was_never_its_own_is_left() -> None:
    async def tell(life: Life) -> None:
        vmid = await made(life)
        add_volume(life.world.world, f"local:{vmid}/vm-{vmid}-disk-7.qcow2")
        await life.delete()
        assert f"local:{vmid}/vm-{vmid}-disk-7.qcow2" in life.world.world.storages.volumes

    story(tell)


def test_a_stranger_at_the_id_of_a_clone_that_is_gone_is_no_clone_of_ours() -> None:
    async def tell(life: Life) -> None:
        vmid = await made(life)
        kept = life.ref
        await life.delete()
        adopt(life.world.world, vmid, {"name": "stranger", "memory": "64"})
        assert await life.session.find_clone(kept) is None
        assert await life.session.unstamped(kept) == ""
        assert (await life.session.delete_clone(kept)).state is OperationState.DONE
        assert life.world.world.vms[vmid].name == "stranger"

    story(tell)


async def no_mark(life: Life, vmid: int) -> None:
    config(life, vmid)["description"] = "edited in the web interface"


async def other_instance(life: Life, vmid: int) -> None:
    stamp = replace(STAMP, instance="another-installation")
    config(life, vmid)["description"] = marks.description(marks.CloneMark(stamp=stamp, token="c1"))


@pytest.mark.parametrize("spoil", [no_mark, other_instance])
def test_a_clone_that_lost_our_mark_is_left_alone_by_every_verb_and_named(spoil: Any) -> None:
    async def tell(life: Life) -> None:
        vmid = await made(life)
        await spoil(life, vmid)
        before = dict(config(life, vmid))
        assert await life.session.unstamped(life.ref) == NAME
        for verb in (
            life.session.delete_clone,
            life.session.connect_network,
            life.session.guest_addresses,
        ):
            with pytest.raises(OwnershipMismatch):
                await verb(life.ref)
        if spoil is no_mark:
            assert await life.session.disown(life.ref)  # it stands without our mark, which is all that is asked for
        else:
            with pytest.raises(OwnershipMismatch):
                await life.session.disown(life.ref)
        assert await life.session.find_clone(life.ref) is None
        assert config(life, vmid) == before

    story(tell)


@pytest.mark.parametrize("full", [1, 0], ids=["full copies", "linked copies"])
def test_copies_that_somebody_made_of_our_vms_by_hand_are_neither_shown_nor_removed(full: int) -> None:
    """The server gives them our text and our tags; only the id in the text tells them from ours."""

    async def tell(life: Life) -> None:
        vmid = await made(life)
        template = next(vm.vmid for vm in life.world.world.vms.values() if vm.template)
        assert life.world.ended("POST", f"{QEMU}/{vmid}/clone", newid=300, name=NAME) == "OK"
        assert life.world.ended("POST", f"{QEMU}/{template}/clone", newid=301, full=full) == "OK"
        assert life.world.ended("POST", f"{QEMU}/{template}/clone", newid=302, full=1) == "OK"
        assert life.world.ended("POST", f"{QEMU}/302/template") == "OK"
        life.world.pass_time(20)
        copies = {number: dict(config(life, number)) for number in (300, 301, 302)}
        assert "vmclone" in str(copies[300]["tags"])
        assert [one.external_id for one in await life.session.find_clones(OWNER)] == [str(vmid)]
        assert list(await life.session.find_frozen(OWNER)) == ["t1"]
        life.ledger.clone = ""  # a ledger that is lost finds ours again, and no other
        await life.delete()
        life.ledger.frozen = ""
        if full:
            await life.release()
        assert set(life.world.world.vms) - {template} == {100, *copies}
        assert {number: dict(config(life, number)) for number in copies} == copies

    story(tell)


def test_a_disowned_clone_is_nobodys_and_its_frozen_point_stays_in_use() -> None:
    async def tell(life: Life) -> None:
        vmid = await made(life)
        config(life, vmid)["tags"] += ";mine"
        assert await life.session.disown(life.ref) is True
        assert marks.read(config(life, vmid), vmid) is None
        assert config(life, vmid)["tags"] == "mine"
        assert await life.session.find_clones(OWNER) == []

    story(tell)


def test_leftovers_are_a_seed_without_its_vm_and_a_frozen_point_of_nobody() -> None:
    async def tell(life: Life) -> None:
        vmid = await made(life)
        alive = [VMCLONE, STAMP.incarnation]
        assert await life.session.find_leftovers(INSTANCE, alive) == []
        world = life.world
        assert world.ended("DELETE", f"{QEMU}/{vmid}") == "OK"
        found = await life.session.find_leftovers(INSTANCE, [])
        assert {one.kind for one in found} == {LeftoverKind.VOLUME, LeftoverKind.FROZEN_POINT}
        assert await life.session.find_leftovers("another-installation", []) == []
        assert await life.session.find_frozen(OWNER) == ["t1"]
        assert await life.session.find_frozen(Owner(instance=INSTANCE, vmclone_uid="other")) == []
        await life.delete()
        life.ledger.frozen = ""
        await life.release()
        assert await life.session.find_leftovers(INSTANCE, []) == []

    story(tell)


def test_a_deletion_that_knows_nothing_but_the_stamp_finds_the_clone() -> None:
    world = cluster()

    async def tell(life: Life) -> None:
        await made(life)
        life.ledger.clone = ""

        async def gone() -> bool:
            return (await life.session.delete_clone(CloneRef(stamp=STAMP))).state is OperationState.DONE

        await life.again(gone)
        life.ledger.frozen = ""
        await life.release()

    story(tell, world)
    assert set(world.world.vms) == {100}
    assert not [volume for volume in world.world.storages.volumes if "iso/" in volume]


def test_an_id_that_ha_still_looks_after_is_told_before_the_clone_is_switched_on() -> None:
    async def tell(life: Life) -> None:
        await life.freeze()
        asked = replace(CLONE, frozen_handle=life.ledger.frozen)
        for _ in range(2):
            life.ledger.clone = (await life.session.start_clone(replace(asked, handle=life.ledger.clone))).handle
        life.world.pass_time(3)
        handle = handles.read(life.ledger.clone)
        assert handle is not None
        life.world.world.vms[handle.vmid].managed = True

        async def step() -> bool:
            await life.session.start_clone(replace(asked, handle=life.ledger.clone))
            return False

        with pytest.raises(CloneFailed, match=f"ha-manager remove vm:{handle.vmid}"):
            await life.again(step)

    story(tell)
