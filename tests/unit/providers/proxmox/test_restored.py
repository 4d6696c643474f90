"""Backups of our VMs that somebody restores: they look like the VM that they are of, and are nobody's of ours."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.doubles.pve.clients import QEMU
from tests.unit.doubles.pve.lab import adopt
from tests.unit.providers.proxmox.lives import NAME, Life, story
from tests.unit.providers.proxmox.test_removals import config, made, no_mark

from vmclone_operator.domain.errors import OwnershipMismatch, TargetConflict


def restored(life: Life, vmid: int, *, as_id: int = 300) -> dict[str, Any]:
    """Restore a backup of a clone under another id, as `qmrestore` does: all is the clone's but its disks."""
    kept = {key: text for key, text in config(life, vmid).items() if not str(text).startswith(f"local:{vmid}/")}
    disk = f"local:{as_id}/vm-{as_id}-disk-0.qcow2,size=1G"
    return dict(adopt(life.world.world, as_id, {**kept, "scsi0": disk}).config)


@pytest.mark.parametrize("forgotten", [False, True], ids=["its id is known", "its id is forgotten"])
@pytest.mark.parametrize("there", [True, False], ids=["the clone is there", "the clone is gone"])
def test_a_backup_restored_under_another_id_holds_up_no_removal_of_its_clone(*, there: bool, forgotten: bool) -> None:
    """It has the clone's tags, name and SMBIOS UUID; the id in its mark says that it is another VM."""

    async def tell(life: Life) -> None:
        vmid = await made(life)
        copy = restored(life, vmid)
        if not there:
            assert life.world.ended("DELETE", f"{QEMU}/{vmid}") == "OK"
        life.ledger.clone = "" if forgotten else life.ledger.clone
        await life.delete()
        assert vmid not in life.world.world.vms
        assert config(life, 300) == copy
        assert not [volume for volume in life.world.world.storages.volumes if "iso/vmclone-" in volume]

    story(tell)


def test_a_clone_is_found_beside_a_backup_of_it_and_not_made_beside_one() -> None:
    """Two VMs with one name and one MAC address are not made: the backup's owner is asked to rename it."""

    async def tell(life: Life) -> None:
        vmid = await made(life)
        restored(life, vmid)
        life.ledger.clone = ""
        assert (await life.clone()).external_id == str(vmid)
        assert life.world.ended("DELETE", f"{QEMU}/{vmid}") == "OK"
        life.ledger.clone = ""
        with pytest.raises(TargetConflict, match=f"VM 300 is named {NAME}"):
            await life.clone()

    story(tell)


def test_a_clone_without_its_mark_still_is_told_where_its_id_is_not_known() -> None:
    async def tell(life: Life) -> None:
        vmid = await made(life)
        await no_mark(life, vmid)
        life.ledger.clone = ""
        with pytest.raises(OwnershipMismatch):
            await life.session.delete_clone(life.ref)

    story(tell)
