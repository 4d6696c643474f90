"""Whose cards, memory and size a Clean clone takes: its source's, and nobody else's who has that number."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.doubles.pve.clients import QEMU, Client, cluster
from tests.unit.doubles.pve.lab import adopt
from tests.unit.providers.proxmox.lives import CLONE, FREEZE, PLACE, Life, story, with_rights

from vmclone_operator.domain.backend import Mode

IMAGE = {
    "name": "golden-image",
    "memory": "128",
    "template": "1",
    "boot": "order=scsi0",
    "scsi0": "local:150/base-150-disk-0.qcow2,size=512M",
    "net0": "virtio=BC:24:11:00:01:50,bridge=vmbr0",
}
STRANGER = {
    "name": "somebody-elses",
    "memory": "4096",
    "scsi0": "local:100/vm-100-disk-0.qcow2,size=8G",
    "net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0,tag=66",
}


def with_image(world: Client) -> Client:
    adopt(world.world, 150, dict(IMAGE))
    return world


async def clean_clone(life: Life, source_name: str) -> dict[str, Any]:
    """Make a Clean clone of what its CloneSource calls so; return its config."""
    await life.freeze(replace(FREEZE, image="golden-image"))
    done = await life.clone(replace(CLONE, mode=Mode.CLEAN, source_name=source_name))
    return life.world.world.vms[int(done.external_id)].config


def taken(config: dict[str, Any]) -> tuple[str, bool, str]:
    """Return memory, whether its card is in VLAN 66, and the size of its disk."""
    return str(config["memory"]), "tag=66" in str(config["net0"]), str(config["scsi0"]).rpartition("size=")[2]


@pytest.mark.parametrize("name", ["golden", "100", "pve1/100"])
def test_a_clean_clone_is_like_its_source_by_every_name_of_it(name: str) -> None:
    async def tell(life: Life) -> None:
        assert taken(await clean_clone(life, name)) == ("256", False, "1G")

    story(tell, with_image(cluster()))


@pytest.mark.parametrize(
    "name", ["", "golden"], ids=["the source is in another cluster", "the source is gone, and its number given again"]
)
def test_a_clean_clone_takes_nothing_from_a_stranger_with_its_sources_number(name: str) -> None:
    """Every cluster has a VM 100: its VLAN is not this user's, nor are its memory and its size."""
    world = with_image(cluster())
    world.world.vms[100].config.update(STRANGER)

    async def tell(life: Life) -> None:
        assert taken(await clean_clone(life, name)) == ("128", False, "512M")

    story(tell, world)


def test_a_source_that_is_gone_is_no_missing_right_of_a_token_that_has_only_what_it_needs() -> None:
    """To a token without a right on its id a VM that is gone is answered with 403, like one that it may not see."""
    world = with_image(with_rights())
    world.world.access.grant("vmclone@pve", "/vms/150", "VM.Audit", "VM.Clone")

    async def tell(life: Life) -> None:
        await life.session.describe_source("golden")
        assert world.ended("DELETE", f"{QEMU}/100") == "OK"
        assert taken(await clean_clone(life, "golden")) == ("128", False, "512M")

    story(tell, world, place=replace(PLACE, pool="clones"), token_id="vmclone@pve!op")
