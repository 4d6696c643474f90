"""A source's XML as facts, and as its clone's XML: pure, and built from elements, never from text.

What identifies the source or ties it to its host is dropped or replaced; what makes it the machine it is
(CPU, machine type, kernel, disk buses and order, controllers, network names) stays.
"""

from __future__ import annotations

import hashlib
import json
import xml.etree.ElementTree as ET
from dataclasses import dataclass

from vmclone_operator.domain.errors import CloneFailed
from vmclone_operator.providers.libvirt.definition import refusals

AGENT_CHANNEL = "org.qemu.guest_agent.0"
_LOCAL_TYPES = frozenset({"file", "block", "volume"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """One disk of a source as its XML describes it."""

    target: str
    device: str
    kind: str
    format: str
    path: str
    """Where its bytes are on the host; empty for an empty drive."""
    volume: tuple[str, str] = ("", "")
    """Pool and volume name, for a disk that is named so."""
    shared: bool
    """True for cdrom, read-only and shareable disks: never copied."""
    read_only: bool = False

    @property
    def empty(self) -> bool:
        """Whether no medium is in the drive."""
        return self.local and not self.path and not any(self.volume)

    @property
    def local(self) -> bool:
        """Whether its bytes are on the host, so that asking for its size cannot wait for a network."""
        return self.kind in _LOCAL_TYPES


def parsed(text: str) -> ET.Element:
    """Parse a document from libvirt; a DTD, which libvirt never writes, is refused with all its entities."""
    if "<!DOCTYPE" in text:
        raise CloneFailed("the backend answered with a document type declaration; such XML is not read")
    return ET.fromstring(text)  # noqa: S314 - no DTD, hence no entities


def disks(domain: ET.Element) -> tuple[Disk, ...]:
    """Return the disks in the order of the XML."""
    return tuple(_disk(element) for element in domain.findall("devices/disk"))


def _disk(element: ET.Element) -> Disk:
    device = element.get("device", "disk")
    driver, source = element.find("driver"), element.find("source")
    where = {} if source is None else source.attrib
    return Disk(
        target=_target(element),
        device=device,
        kind=element.get("type", "file"),
        format="" if driver is None else driver.get("type", ""),
        path=where.get("file") or where.get("dev") or "",
        volume=(where.get("pool", ""), where.get("volume", "")),
        shared=device != "disk" or element.find("readonly") is not None or element.find("shareable") is not None,
        read_only=element.find("readonly") is not None,
    )


def _target(element: ET.Element) -> str:
    target = element.find("target")
    return "" if target is None else target.get("dev", "")


def blockers(domain: ET.Element) -> list[str]:
    """Return why a VM with this XML cannot be cloned safely, in sentences."""
    return [
        *refusals(domain),
        *(sentence for disk in disks(domain) if (sentence := _format_problem(disk))),
        *_boot_blockers(domain),
    ]


def running_blockers(domain: ET.Element) -> list[str]:
    """Return why a VM with this XML cannot be copied while it runs."""
    if domain.find("devices/tpm") is None:
        return []
    return [
        "the VM has a virtual TPM and runs: the TPM's state cannot be copied with the disks; shut the source down first"
    ]


def _boot_blockers(domain: ET.Element) -> list[str]:
    own = {disk.target for disk in disks(domain) if not (disk.shared or disk.empty)}
    if not own:
        return ["missing boot disk - the template may be corrupted: the VM has no writable disk of its own"]
    devices, order = domain.findall("devices/*[boot]"), [boot.get("dev") for boot in domain.findall("os/boot")]
    from_disk = any(_target(device) in own for device in devices if device.tag == "disk") if devices else "hd" in order
    if from_disk or domain.find("os/kernel") is not None or not (devices or order):
        return []
    return ["missing boot disk - the template may be corrupted: no disk of the VM's own is in its boot order"]


def _format_problem(disk: Disk) -> str:
    if not disk.local or disk.shared or disk.empty or disk.format in {"raw", "qcow2"}:
        return ""
    return f"disk {disk.target} has {_format_words(disk)}: only raw and qcow2 are cloned"


def _format_words(disk: Disk) -> str:
    return f"the format {disk.format}" if disk.format else "no format in its XML"


def macs(domain: ET.Element) -> tuple[str, ...]:
    """Return the MAC addresses in the order of the XML."""
    found = (mac.get("address", "") for mac in domain.findall("devices/interface/mac"))
    return tuple(address.lower() for address in found)


def links_up(domain: ET.Element) -> bool:
    """Return whether no network link is held down."""
    return all(link.get("state") != "down" for link in domain.findall("devices/interface/link"))


def has_agent_channel(domain: ET.Element) -> bool:
    """Return whether the VM has the channel that a guest agent answers on."""
    return any(target.get("name") == AGENT_CHANNEL for target in domain.findall("devices/channel/target"))


def agent_connected(domain: ET.Element) -> bool:
    """Return whether the live XML shows the guest agent on its channel."""
    targets = domain.findall("devices/channel/target")
    return any(t.get("name") == AGENT_CHANNEL and t.get("state") == "connected" for t in targets)


def is_active(domain: ET.Element) -> bool:
    """Return whether the XML is that of a running VM: only those have an id."""
    return domain.get("id") is not None


def chain_paths(domain: ET.Element, target: str) -> list[str]:
    """Return what the live XML shows below one disk, from its own image down."""
    elements = [disk for disk in domain.findall("devices/disk") if _target(disk) == target]
    found = [source for disk in elements for source in disk.iter("source")]
    return [source.get("file") or source.get("dev") or "" for source in found]


def file_paths(domain: ET.Element) -> set[str]:
    """Return every path that a disk of the VM, or what lies below it, or its firmware variables are made of."""
    sources = [source for disk in domain.findall("devices/disk") for source in disk.iter("source")]
    found = {path for source in sources if (path := source.get("file") or source.get("dev"))}
    return found | ({path} if (path := variables_path(domain)) else set())


def variables_path(domain: ET.Element) -> str:
    """Return where the XML says that the firmware variables are; empty when it does not."""
    nvram = domain.find("os/nvram")
    if nvram is None:
        return ""
    source = nvram.find("source")
    return (nvram.text or "").strip() if source is None else source.get("file", "")


def fingerprint(uuid: str, sizes: dict[str, tuple[str, int]]) -> str:
    """Return `sha256:...` over a source's id and, by target, its copied disks' places and sizes."""
    document = json.dumps([uuid, sorted((target, *where) for target, where in sizes.items())])
    return f"sha256:{hashlib.sha256(document.encode()).hexdigest()}"
