"""What QEMU is told to copy, and the volumes it is copied into."""

from __future__ import annotations

from tests.unit.providers.libvirt.documents import DESKTOP, read

from vmclone_operator.providers.libvirt import domain_xml
from vmclone_operator.providers.libvirt.freeze import backup_xml
from vmclone_operator.providers.libvirt.volumes import volume_xml


def test_a_backup_names_every_disk_and_copies_only_the_wanted_ones() -> None:
    backup = domain_xml.parsed(backup_xml(read(DESKTOP), {"vda": "/p/a", "vdc": "/p/c"}))
    found = {disk.get("name"): disk.get("backup") for disk in backup.findall("disks/disk")}
    assert found == {"vda": "yes", "vdc": "yes", "vdd": "no", "vde": "no", "sda": "no", "sdb": "no"}


def test_a_backup_writes_qcow2_files_of_these_names() -> None:
    backup = domain_xml.parsed(backup_xml(read(DESKTOP), {"vda": '/p/a<b&"c'}))
    assert backup.attrib == {"mode": "push"}
    assert [target.attrib for target in backup.findall("disks/disk/target")] == [{"file": '/p/a<b&"c'}]
    assert [driver.attrib for driver in backup.findall("disks/disk/driver")] == [{"type": "qcow2"}]
    assert [disk.get("type") for disk in backup.findall("disks/disk") if disk.get("backup") == "no"] == [None] * 5


def test_an_overlay_says_its_format_and_that_of_its_base() -> None:
    volume = domain_xml.parsed(volume_xml("a<b", 4096, backing="/p/base&1"))
    assert (volume.findtext("name"), volume.findtext("capacity")) == ("a<b", "4096")
    assert volume.findtext("backingStore/path") == "/p/base&1"
    formats = [
        element.get("type") for path in ("target/format", "backingStore/format") for element in volume.findall(path)
    ]
    assert formats == ["qcow2", "qcow2"]


def test_a_seed_volume_is_raw_and_has_nothing_below_it() -> None:
    volume = domain_xml.parsed(volume_xml("seed", 4096, image_format="raw"))
    assert [element.get("type") for element in volume.findall("target/format")] == ["raw"]
    assert volume.findall("backingStore") == []
