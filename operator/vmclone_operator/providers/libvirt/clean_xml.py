"""The machine a Clean clone is made as: the source's with one plain disk, or a small generic one.

The generic one exists because mode Clean may go to another host than the source's: there the source's XML,
with its machine type, CPU, kernel paths and network names, would promise what that host need not have.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from copy import deepcopy
from typing import TYPE_CHECKING

from vmclone_operator.providers.libvirt.domain_xml import AGENT_CHANNEL, Disk, disks
from vmclone_operator.providers.libvirt.firmware_xml import Variables
from vmclone_operator.providers.libvirt.shape_xml import apply_shape

if TYPE_CHECKING:
    from vmclone_operator.domain.backend import Shape

FIRST_TARGET = "vda"


def boot_disk(domain: ET.Element) -> Disk | None:
    """Return the disk of its own that a VM boots from: first by boot order, else by place; None without one."""
    found = [
        (_boot_order(element), disk)
        for element, disk in zip(domain.findall("devices/disk"), disks(domain), strict=True)
        if not disk.shared and not disk.empty
    ]
    return min(found, key=lambda one: one[0])[1] if found else None


def _boot_order(element: ET.Element) -> int:
    boot = element.find("boot")
    return 1 << 30 if boot is None else int(boot.get("order", "1"))


def with_one_disk(source: ET.Element) -> ET.Element:
    """Return the source's machine with its boot disk as a plain file, no other disk, and blank firmware variables."""
    domain = deepcopy(source)
    devices = domain.find("devices")
    if devices is None:
        devices = ET.SubElement(domain, "devices")
    first = boot_disk(domain)
    for element, disk in zip(devices.findall("disk"), disks(domain), strict=True):
        if disk == first:
            _make_plain(element)
        else:
            devices.remove(element)
    if first is None:
        _virtio_disk(devices)
    for nvram in domain.findall("os/nvram"):
        _make_blank(nvram)
    return domain


def _make_plain(element: ET.Element) -> None:
    """Leave bus, slot and cache mode; where the bytes were, and how they were kept there, is the source's."""
    element.set("type", "file")
    for tag in ("source", "backingStore", "mirror", "auth", "encryption", "geometry", "blockio"):
        for child in element.findall(tag):
            element.remove(child)
    driver = element.find("driver")
    if driver is None:
        driver = ET.SubElement(element, "driver", name="qemu")
    driver.set("type", "qcow2")


def _make_blank(nvram: ET.Element) -> None:
    """Let libvirt name the file and fill it from the template: the source's boot entries name the source's disks."""
    nvram.text = None
    for child in list(nvram):
        nvram.remove(child)
    for name in [name for name in nvram.attrib if name not in {"template", "templateFormat", "format"}]:
        del nvram.attrib[name]


def blank_variables(machine: ET.Element, stem: str) -> Variables:
    """Return a place for firmware variables of the format that the machine's firmware wants."""
    nvram = machine.find("os/nvram")
    kind = "raw" if nvram is None else nvram.get("format", "raw")
    return Variables(path=f"{stem}.{Variables(path='', format=kind).suffix}", format=kind)


def _virtio_disk(devices: ET.Element) -> None:
    disk = ET.SubElement(devices, "disk", type="file", device="disk")
    ET.SubElement(disk, "driver", name="qemu", type="qcow2", discard="unmap")
    ET.SubElement(disk, "target", dev=FIRST_TARGET, bus="virtio")


def generic_domain(shape: Shape, *, kvm: bool) -> ET.Element:
    """Return a q35 machine with BIOS firmware and nothing but virtio; its shape has to be given, networks and all."""
    domain = ET.Element("domain", type="kvm" if kvm else "qemu")
    system = ET.SubElement(domain, "os")
    ET.SubElement(system, "type", arch="x86_64", machine="q35").text = "hvm"
    ET.SubElement(system, "boot", dev="hd")
    features = ET.SubElement(domain, "features")
    ET.SubElement(features, "acpi")
    ET.SubElement(features, "apic")
    ET.SubElement(domain, "cpu", mode="host-model" if kvm else "maximum")
    ET.SubElement(domain, "clock", offset="utc")
    _generic_devices(ET.SubElement(domain, "devices"))
    apply_shape(domain, shape)
    return domain


def _generic_devices(devices: ET.Element) -> None:
    _virtio_disk(devices)
    ET.SubElement(ET.SubElement(devices, "serial", type="pty"), "target", port="0")
    channel = ET.SubElement(devices, "channel", type="unix")
    ET.SubElement(channel, "target", type="virtio", name=AGENT_CHANNEL)
    entropy = ET.SubElement(devices, "rng", model="virtio")
    ET.SubElement(entropy, "backend", model="random").text = "/dev/urandom"
