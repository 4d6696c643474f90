"""How a VM's own disks are named for its guest, over live XML as libvirt writes it."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from vmclone_operator.providers.libvirt.own_disks import own_disks

PORT = (
    "<controller type='pci' index='4' model='pcie-root-port'>"
    "<address type='pci' domain='0x0000' bus='0x00' slot='0x02' function='0x3'/></controller>"
    "<controller type='sata' index='0'><address type='pci' bus='0x00' slot='0x1f' function='0x2'/></controller>"
    "<controller type='usb' index='0'><address type='pci' bus='0x00' slot='0x03' function='0x0'/></controller>"
)
DISK = "<disk device='{device}'><target dev='x' bus='{bus}'/>{address}{more}</disk>"
BEHIND = "<address type='pci' domain='0x0000' bus='0x04' slot='0x00' function='0x0'/>"
DRIVE = "<address type='drive' controller='0' bus='0' target='0' unit='1'/>"
NAMED = {
    "behind a root port": ("virtio", BEHIND, "02.3/00.0"),
    "on the root bus": ("virtio", "<address type='pci' bus='0x00' slot='0x07' function='0x0'/>", "07.0"),
    "SATA": ("sata", DRIVE, "1f.2"),
    "USB": ("usb", "<address type='usb' bus='0' port='2'/>", "03.0/usb2"),
    "a channel of s390": ("virtio", "<address type='ccw' cssid='0xfe'/>", "*"),
    "SCSI on a controller that has no slot": ("scsi", DRIVE, "*"),
    "behind a bus that is not told": ("virtio", "<address type='pci' bus='0x09' slot='0x00' function='0x0'/>", "*"),
}


def vm(devices: str, head: str = " id='3'") -> ET.Element:
    return ET.fromstring(f"<domain{head}><devices>{PORT}{devices}</devices></domain>")  # noqa: S314 - ours


def disk(bus: str, address: str, device: str = "disk", more: str = "") -> str:
    return DISK.format(bus=bus, address=address, device=device, more=more)


@pytest.mark.parametrize(("bus", "address", "name"), NAMED.values(), ids=NAMED.keys())
def test_a_disk_is_named_by_the_slots_that_lead_to_it(bus: str, address: str, name: str) -> None:
    assert own_disks(vm(disk(bus, address))) == (name,)


def test_what_cannot_be_written_and_what_does_not_run_has_no_name() -> None:
    assert own_disks(vm(disk("sata", DRIVE, "cdrom") + disk("virtio", BEHIND, more="<readonly/>"))) == ()
    assert own_disks(vm(disk("virtio", BEHIND), head="")) == ()
