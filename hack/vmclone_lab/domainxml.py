"""Renders the domain of a source VM."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass

from vmclone_lab import guestimage, layout

# Quiet, and without defences that cost emulated guests seconds; nothing hostile runs there.
KERNEL_COMMAND_LINE = f"root=LABEL={guestimage.LABEL} ro console=ttyS0 quiet mitigations=off init_on_alloc=0"
TCG_CACHE_MIB = 256


@dataclass(frozen=True)
class SourceDomain:
    """What decides a source VM's definition."""

    name: str
    uuid: str
    memory_mib: int
    profile: str
    kvm: bool

    @property
    def disk(self) -> str:
        """Path of its own disk, as libvirtd sees it."""
        return f"{layout.POOL_PATH}/{self.name}.qcow2"

    @property
    def seed(self) -> str:
        """Path of its NoCloud seed, as libvirtd sees it."""
        return f"{layout.POOL_PATH}/{self.name}-seed.img"


def add_disk(devices: ET.Element, kind: str, path: str, target: str, *, read_only: bool) -> None:
    """Add a virtio disk that is a file."""
    disk = ET.SubElement(devices, "disk", type="file", device="disk")
    driver = {"name": "qemu", "type": kind}
    if not read_only:
        # The lab's disks are worth nothing after a crash of the machine: speed counts.
        driver |= {"cache": "writeback", "discard": "unmap"}
    ET.SubElement(disk, "driver", driver)
    ET.SubElement(disk, "source", file=path)
    ET.SubElement(disk, "target", dev=target, bus="virtio")
    if read_only:
        ET.SubElement(disk, "readonly")


def _devices(domain: ET.Element, source: SourceDomain) -> None:
    devices = ET.SubElement(domain, "devices")
    add_disk(devices, "qcow2", source.disk, "vda", read_only=False)
    # A virtio disk: the guests' cloud kernel has no driver for a SATA cdrom.
    add_disk(devices, "raw", source.seed, "vdb", read_only=True)
    interface = ET.SubElement(devices, "interface", type="network")
    ET.SubElement(interface, "source", network=layout.GUEST_NETWORK)
    ET.SubElement(interface, "model", type="virtio")
    console = ET.SubElement(devices, "serial", type="pty")
    ET.SubElement(console, "log", file=f"/var/log/libvirt/qemu/{source.name}-console.log")
    channel = ET.SubElement(devices, "channel", type="unix")
    ET.SubElement(channel, "target", type="virtio", name="org.qemu.guest_agent.0")
    entropy = ET.SubElement(devices, "rng", model="virtio")
    ET.SubElement(entropy, "backend", model="random").text = "/dev/urandom"
    ET.SubElement(devices, "memballoon", model="none")
    ET.SubElement(devices, "controller", type="usb", model="none")


def render(source: SourceDomain) -> str:
    """Return the domain XML: q35, direct kernel boot, everything virtio."""
    domain = ET.Element("domain", type="kvm" if source.kvm else "qemu")
    ET.SubElement(domain, "name").text = source.name
    ET.SubElement(domain, "uuid").text = source.uuid
    ET.SubElement(domain, "memory", unit="MiB").text = str(source.memory_mib)
    ET.SubElement(domain, "vcpu").text = "1"
    system = ET.SubElement(domain, "os")
    ET.SubElement(system, "type", arch="x86_64", machine="q35").text = "hvm"
    boot = f"{layout.BOOT_PATH}/{source.profile}"
    ET.SubElement(system, "kernel").text = f"{boot}-vmlinuz"
    ET.SubElement(system, "initrd").text = f"{boot}-initrd.img"
    ET.SubElement(system, "cmdline").text = KERNEL_COMMAND_LINE
    features = ET.SubElement(domain, "features")
    ET.SubElement(features, "acpi")
    if source.kvm:
        ET.SubElement(domain, "cpu", mode="host-passthrough")
    else:
        emulator = ET.SubElement(features, "tcg")
        ET.SubElement(emulator, "tb-cache", unit="MiB").text = str(TCG_CACHE_MIB)
        cpu = ET.SubElement(domain, "cpu", mode="custom", match="exact")
        ET.SubElement(cpu, "model").text = "qemu64"
    ET.SubElement(domain, "clock", offset="utc")
    _devices(domain, source)
    return ET.tostring(domain, encoding="unicode")
