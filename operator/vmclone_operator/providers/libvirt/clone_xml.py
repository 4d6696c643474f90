"""Writes the clone's XML from the source's: what the table of rules leaves of it, and new names, ids, disks and shape.

In mode Disk the links are down: what boots is the source's disk, with the source's identity still on it.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmclone_operator.domain import naming
from vmclone_operator.domain.backend import Mode
from vmclone_operator.domain.errors import SourceChanged, SourceUnhealthy
from vmclone_operator.providers.libvirt import kernel_words
from vmclone_operator.providers.libvirt.definition import taken_along
from vmclone_operator.providers.libvirt.domain_xml import disks
from vmclone_operator.providers.libvirt.firmware_xml import set_variables
from vmclone_operator.providers.libvirt.seed_seat import next_target, seat_after_disks
from vmclone_operator.providers.libvirt.shape_xml import apply_shape
from vmclone_operator.providers.libvirt.stamp import stamp_element

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vmclone_operator.domain.backend import CloneIntent
    from vmclone_operator.providers.libvirt.firmware_xml import Variables

_CONSOLES = ("serial", "console", "parallel")
_SPEAKING = frozenset({"spiceport", "qemu-vdagent", "dbus"})
"""Kinds of character devices whose `source` says what the guest's screen sees of them."""
_WITH_PORTS = frozenset({"vnc", "spice", "rdp"})
"""Kinds of screens that libvirt chooses ports for; its schema lets no other have `autoport`."""
_BY_PEOPLE = "ua-"
"""What libvirt wants the aliases to begin with that are not its own."""
_QEMU = "{http://libvirt.org/schemas/domain/qemu/1.0}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlay:
    """A clone's own disk and the frozen one below it, if there is one, as paths on the backend."""

    path: str
    base: str = ""
    """Empty for a full copy, which has nothing below it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CloneDisks:
    """What a clone's disks become: overlays by target, targets that are left out, the seed's path, UEFI variables."""

    overlays: Mapping[str, Overlay]
    left_out: frozenset[str]
    seed: str
    variables: Variables | None = None


def clone_xml(source: ET.Element, intent: CloneIntent, new: CloneDisks) -> str:
    """Return the XML of the clone; the source's (inactive) XML stays as it is.

    Raises SourceUnhealthy when the source has something that no second VM can have.
    """
    domain, refused = taken_along(source)
    if refused:
        raise SourceUnhealthy("; ".join(refused))
    _identify(domain, intent)
    _kernel_line(domain, source)
    devices = _child(domain, "devices")
    _disks(domain, devices, new)
    if new.variables is not None:
        set_variables(domain, new.variables)
    apply_shape(domain, intent.shape)
    for index, interface in enumerate(devices.findall("interface")):
        _interface(interface, naming.mac_address(intent.stamp.incarnation, index))
        if intent.mode is Mode.DISK:
            ET.SubElement(interface, "link", state="down")
    _host_ends(devices)
    _aliases(domain)
    return ET.tostring(domain, encoding="unicode")


def _host_ends(devices: ET.Element) -> None:
    """Give the devices that are made anew an end of their own on the host."""
    for device in [*(found for tag in (*_CONSOLES, "channel") for found in devices.findall(tag))]:
        _character_device(device)
    for cid in devices.findall("vsock/cid"):
        cid.set("auto", "yes")  # a fixed address can be in use only once on a host
    for graphics in devices.findall("graphics"):
        if graphics.get("type") in _WITH_PORTS:
            graphics.set("autoport", "yes")
    for audio in devices.findall("audio"):
        if "type" not in audio.attrib:
            _silence(audio)


def _child(parent: ET.Element, tag: str) -> ET.Element:
    child = parent.find(tag)
    return ET.SubElement(parent, tag) if child is None else child


def _drop(parent: ET.Element, *tags: str) -> None:
    for tag in tags:
        for child in parent.findall(tag):
            parent.remove(child)


def _drop_empty(parent: ET.Element, tag: str) -> None:
    for child in [found for found in parent.findall(tag) if not found.attrib]:
        parent.remove(child)


def _identify(domain: ET.Element, intent: CloneIntent) -> None:
    """Name the clone, and say whose it is."""
    _child(domain, "name").text = intent.vm_name
    _child(domain, "uuid").text = intent.uuid
    for entry in domain.findall("sysinfo/system/entry"):
        if "name" not in entry.attrib:
            entry.set("name", "uuid")
            entry.text = intent.uuid
    for strings in domain.findall("sysinfo"):
        _drop_empty_parts(strings)
    _child(domain, "metadata").append(stamp_element(intent.stamp, intent.token, intent.made_from, intent.source_id))


def _drop_empty_parts(strings: ET.Element) -> None:
    """Drop the parts of which nothing is left: libvirt's schema wants an entry in each."""
    for part in [part for part in strings if not len(part)]:
        strings.remove(part)


def _kernel_line(domain: ET.Element, source: ET.Element) -> None:
    for line in domain.findall("os/cmdline"):
        line.text = kernel_words.without_own_words(source.findtext("os/cmdline", ""))


def _disks(domain: ET.Element, devices: ET.Element, new: CloneDisks) -> None:
    known = disks(domain)
    seeds = []
    for element, disk in zip(devices.findall("disk"), known, strict=True):
        if disk.target in new.left_out:
            seeds.append(element)
        elif disk.target in new.overlays:
            _overlay(element, new.overlays[disk.target])
        elif not (disk.shared or disk.empty):
            raise SourceChanged(f"disk {disk.target} is not in the frozen point: the source's disks changed since")
    # Where the source's own seed is a disk ours takes its place, so that no other disk moves.
    place = next((seed for seed in seeds if seed.get("device", "disk") == "disk"), None)
    for seed in seeds:
        if seed is not place:
            devices.remove(seed)
    if place is None:
        place = _place_after(devices, next_target(disk.target for disk in known))
    _fill_seed(place, new.seed)


def _place_after(devices: ET.Element, target: str) -> ET.Element:
    """Add a virtio disk after all others: cloud kernels have no SATA cdrom."""
    seat = seat_after_disks(devices)
    place = ET.SubElement(devices, "disk")
    ET.SubElement(place, "target", dev=target, bus="virtio")
    if seat is not None:
        place.append(seat)
    return place


def _fill_seed(place: ET.Element, path: str) -> None:
    """Make a disk our seed: raw, read-only where QEMU can, and nothing of what it was but its name and seat."""
    kept = [child for child in place if child.tag in {"target", "address", "acpi"}]
    place.clear()
    place.attrib = {"type": "file", "device": "disk"}
    ET.SubElement(place, "driver", name="qemu", type="raw")
    ET.SubElement(place, "source", file=path)
    place.extend(kept)
    if place.find("target[@bus='ide']") is None and place.find("target[@bus='sata']") is None:
        ET.SubElement(place, "readonly")


def _overlay(element: ET.Element, overlay: Overlay) -> None:
    """Point a disk at its overlay; the chain is spelt out so that nobody probes an image's format."""
    element.set("type", "file")
    _drop(element, "source", "backingStore")
    driver = _child(element, "driver")
    driver.set("type", "qcow2")
    # What the guest scrubs and trims must be gone from the file, too; QEMU says it would even without these.
    driver.set("discard", "unmap")
    driver.set("detect_zeroes", "unmap")
    ET.SubElement(element, "source", file=overlay.path)
    below = ET.SubElement(element, "backingStore")
    if overlay.base:
        below.set("type", "file")
        ET.SubElement(below, "format", type="qcow2")
        ET.SubElement(below, "source", file=overlay.base)
        ET.SubElement(below, "backingStore")


def _interface(interface: ET.Element, mac: str) -> None:
    _child(interface, "mac").set("address", mac)
    for port in interface.findall("virtualport"):
        _drop_empty(port, "parameters")
    _drop_empty(interface, "backend")


def _character_device(device: ET.Element) -> None:
    """Give a console or channel whose host's end was the source's a terminal of its own; libvirt names sockets."""
    if "type" not in device.attrib:
        device.set("type", "pty")
    if device.get("type") not in _SPEAKING:
        _drop(device, "source")


def _silence(audio: ET.Element) -> None:
    """Let sound go nowhere that went into a file or a sound card of the host."""
    audio.attrib = {"id": audio.get("id", "1"), "type": "none"}
    for child in list(audio):
        audio.remove(child)


def _aliases(domain: ET.Element) -> None:
    """Keep the names that people gave to devices, and QEMU's properties of devices that are still there."""
    names = set()
    for device in domain.iter():
        for alias in device.findall("alias"):
            names.add(alias.get("name", ""))
            if not alias.get("name", "").startswith(_BY_PEOPLE):
                device.remove(alias)
    for override in domain.findall(f"{_QEMU}override"):
        for overridden in override.findall(f"{_QEMU}device"):
            name = overridden.get("alias", "")
            if name.startswith(_BY_PEOPLE) and name not in names:
                override.remove(overridden)
