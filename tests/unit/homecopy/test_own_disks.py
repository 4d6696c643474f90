"""Which file systems lie on the clone's own disks: over a small sysfs of links and files, as a guest has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmclone_operator.homecopy.clone.own_disks import OwnDisks
from vmclone_operator.homecopy.clone.walk import Mounts

ROOT_PORT = "devices/pci0000:00/0000:00:02.3/0000:04:00.0/virtio3/block/vda"
SATA = "devices/pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0/block/sda"
USB = "devices/pci0000:00/0000:00:03.0/usb1/1-2/1-2:1.0/host6/target6:0:0/6:0:0:0/block/sdb"
ISCSI = "devices/platform/host2/session1/target2:0:0/2:0:0:0/block/sdc"
PLUGGED = "devices/pci0000:00/0000:00:02.5/0000:09:00.0/virtio7/block/vdz"
NBD, MAPPER, MIXED, ZRAM = (f"devices/virtual/block/{name}" for name in ("nbd0", "dm-0", "dm-1", "zram0"))
DEVICES = {
    "254:0": ROOT_PORT,
    "254:1": f"{ROOT_PORT}/vda1",
    "8:1": f"{SATA}/sda1",
    "8:16": USB,
    "8:32": ISCSI,
    "254:90": PLUGGED,
    "43:0": NBD,
    "253:0": MAPPER,
    "253:1": MIXED,
    "252:0": ZRAM,
}
NAMES = ["02.3/00.0", "1f.2", "03.0/usb2"]


@pytest.fixture
def system(tmp_path: Path) -> Path:
    for number, path in DEVICES.items():
        folder = tmp_path / path
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "dev").write_text(f"{number}\n")
        if path.endswith("a1"):
            (folder / "partition").write_text("1\n")
        (tmp_path / "dev/block").mkdir(parents=True, exist_ok=True)
        (tmp_path / "dev/block" / number).symlink_to(folder)
    for above, below in ((MAPPER, ROOT_PORT), (MIXED, ROOT_PORT), (MIXED, ISCSI)):
        (tmp_path / above / "slaves").mkdir(exist_ok=True)
        (tmp_path / above / "slaves" / Path(below).name).symlink_to(tmp_path / below)
    return tmp_path


TABLE = {
    "a disk behind a root port, whatever its bus is called": ("ext4", "254:0", True),
    "a partition of it": ("ext4", "254:1", True),
    "a partition of a SATA disk": ("xfs", "8:1", True),
    "a USB disk in the port of our own": ("ext4", "8:16", True),
    "LVM on an own disk": ("ext4", "253:0", True),
    "compressed memory": ("ext4", "252:0", True),
    "memory": ("tmpfs", "0:30", True),
    "layers": ("overlay", "0:31", True),
    "an iSCSI disk": ("ext4", "8:32", False),
    "LVM that is partly on an iSCSI disk": ("ext4", "253:1", False),
    "NBD": ("ext4", "43:0", False),
    "a disk that was plugged in later": ("ext4", "254:90", False),
    "a device that is gone": ("ext4", "9:9", False),
    "a network file system": ("nfs4", "0:40", False),
    "a folder of the host": ("virtiofs", "0:41", False),
    "a file system that is not known here": ("novelfs", "0:42", False),
    "btrfs of which no device is found": ("btrfs", "0:43", False),
}


@pytest.mark.parametrize(("kind", "device", "own"), TABLE.values(), ids=TABLE.keys())
def test_only_what_lies_on_own_disks_alone_is_entered(kind: str, device: str, own: bool, system: Path) -> None:
    assert OwnDisks(NAMES, str(system)).holds(kind, device, "/dev/none") is own


def test_a_host_that_cannot_name_its_disks_vouches_for_what_is_plugged_in_and_for_nothing_remote(system: Path) -> None:
    disks = OwnDisks(["*"], str(system))
    assert disks.holds("ext4", "254:90", "/dev/vdz")
    assert not disks.holds("ext4", "8:32", "/dev/sdc")
    assert not disks.holds("ext4", "43:0", "/dev/nbd0")


def test_what_is_left_alone_is_told_once_it_was_met(system: Path) -> None:
    text = b"1 0 254:1 / / rw - ext4 /dev/vda1 rw\n2 1 8:32 / /mnt/a\\040b rw - ext4 /dev/sdc rw\n"
    mounts = Mounts(text, OwnDisks(NAMES, str(system)))
    assert not mounts.closed_above(b"/home")
    assert mounts.left_alone == set()
    assert mounts.closed(b"/mnt/a b")
    assert mounts.closed_above(b"/mnt/a b/deep")
    assert mounts.left_alone == {b"/mnt/a b"}
