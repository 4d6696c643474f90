"""What a Clean clone takes from its source, and who stands on a template by the names of volumes."""

from __future__ import annotations

import pytest

from vmclone_operator.domain.backend import Shape
from vmclone_operator.providers.proxmox import clean, linked

SOURCE = {
    "cores": 4,
    "sockets": 2,
    "memory": "2048",
    "boot": "order=ide2;virtio0",
    "efidisk0": "local:100/vm-100-disk-1.raw,size=528K",
    "ide2": "none,media=cdrom",
    "scsi0": "local:100/vm-100-disk-2.qcow2,size=8G",
    "virtio0": "local:100/vm-100-disk-0.qcow2,size=32G",
    "net0": "virtio=BC:24:11:00:00:01,bridge=vmbr1,tag=7",
}


def test_a_clean_clone_is_like_its_source_where_nothing_else_is_asked_for() -> None:
    like = clean.likeness(SOURCE, Shape(cpus=2))
    assert (like.shape.cpus, like.shape.memory_bytes, like.disk_bytes) == (2, 2048 << 20, 32 << 30)
    assert [one.network for one in like.cards] == ["vmbr1.7"]


@pytest.mark.parametrize(
    ("left_out", "key"),
    [((), "virtio0"), (("boot",), "scsi0"), (("virtio0",), "scsi0"), (("virtio0", "scsi0"), "")],
    ids=[
        "the first disk of the boot order",
        "without an order the first",
        "a disk that is gone is none",
        "no firmware",
    ],
)
def test_the_system_disk_is(left_out: tuple[str, ...], key: str) -> None:
    disk = clean.system_disk({name: text for name, text in SOURCE.items() if name not in left_out})
    assert (disk.key if disk is not None else "") == key


@pytest.mark.parametrize(
    ("volume", "child"),
    [
        ("local:110/base-110-disk-1.qcow2/116/vm-116-disk-1.qcow2", 116),
        ("zfs:base-110-disk-0/vm-116-disk-0", 116),
        ("local:110/base-110-disk-1.qcow2", 0),
        ("local:116/vm-116-disk-0.qcow2", 0),
        ("thin:vm-116-disk-0", 0),
        ("local:1110/base-1110-disk-1.qcow2/116/vm-116-disk-1.qcow2", 0),
    ],
    ids=["a file", "a ZFS volume", "the template's own", "a full copy", "LVM-thin tells nothing", "another template's"],
)
def test_who_stands_on_template_110(volume: str, child: int) -> None:
    assert linked.child_of(volume, 110) == child
