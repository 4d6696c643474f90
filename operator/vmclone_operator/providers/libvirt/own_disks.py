"""Names a running VM's own disks so that its guest can know them: by the PCI slots that lead to each, from the root.

Bus numbers are the firmware's and may differ from libvirt's, slots and functions do not:

    a disk in slot 0 behind the root port in slot 2, function 3 -> 02.3/00.0
    a SATA disk -> the slot of its controller, 1f.2
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmclone_operator.providers.libvirt import domain_xml

if TYPE_CHECKING:
    import xml.etree.ElementTree as ET

ANY = "*"
"""Stands for a disk that no way of PCI slots leads to (s390, virtio-mmio)."""
_DEEPEST = 16
_CONTROLLERS = {"virtio": "", "sata": "sata", "scsi": "scsi", "ide": "ide", "usb": "usb"}


def own_disks(domain: ET.Element) -> tuple[str, ...]:
    """Return the names of a running VM's writable disks, each once; nothing for one that does not run."""
    if not domain_xml.is_active(domain):
        return ()
    found: dict[str, None] = {}
    for element, disk in zip(domain.findall("devices/disk"), domain_xml.disks(domain), strict=True):
        if disk.device == "disk" and not disk.read_only:
            found[_name(domain, element)] = None
    return tuple(found)


def _name(domain: ET.Element, disk: ET.Element) -> str:
    target, address = disk.find("target"), disk.find("address")
    bus = "" if target is None else target.get("bus", "")
    if address is None or bus not in _CONTROLLERS:
        return ANY
    if address.get("type") == "pci":
        return _way(domain, address, 0)
    number = address.get("bus", "0") if bus == "usb" else address.get("controller", "0")
    way = _way_to_controller(domain, _CONTROLLERS[bus], number, 0)
    return f"{way}/usb{address.get('port', '')}" if bus == "usb" and way != ANY else way


def _way_to_controller(domain: ET.Element, kind: str, index: str, depth: int) -> str:
    for controller in domain.findall(f"devices/controller[@type='{kind}']"):
        address = controller.find("address")
        if controller.get("index", "0") == index and "expander" in controller.get("model", ""):
            return ANY  # a root of its own for the guest
        if controller.get("index", "0") == index and address is not None and address.get("type") == "pci":
            return _way(domain, address, depth)
    return ANY


def _way(domain: ET.Element, address: ET.Element, depth: int) -> str:
    """Return the slots from the root to a PCI device; the root bus is 0, others are behind the controller of it."""
    slot, function, bus = (int(address.get(name, "0"), 0) for name in ("slot", "function", "bus"))
    here = f"{slot:02x}.{function:x}"
    if bus == 0 or depth > _DEEPEST:
        return here
    above = _way_to_controller(domain, "pci", str(bus), depth + 1)
    return ANY if above == ANY else f"{above}/{here}"
