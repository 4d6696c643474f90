"""Writes the clone's XML from the source's: new names, ids, disks and shape, no tie to the source's host.

In mode Disk the links are down: what boots is the source's disk, with the source's identity still on it.
"""

from __future__ import annotations

import itertools
import string
import xml.etree.ElementTree as ET
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmclone_operator.domain import naming
from vmclone_operator.domain.backend import Mode
from vmclone_operator.domain.errors import SourceChanged
from vmclone_operator.providers.libvirt.domain_xml import disks
from vmclone_operator.providers.libvirt.firmware_xml import set_variables
from vmclone_operator.providers.libvirt.shape_xml import apply_shape
from vmclone_operator.providers.libvirt.stamp import stamp_element

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vmclone_operator.domain.backend import CloneIntent
    from vmclone_operator.providers.libvirt.firmware_xml import Variables

_CONSOLES = ("serial", "console", "parallel")
_OWN_ENDS = frozenset({"pty", "null", "vc", "spicevmc", "spiceport", "qemu-vdagent", "dbus", "unix"})
"""Kinds of character devices whose other end QEMU or libvirt makes for each VM."""


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
    """Return the XML of the clone; the source's (inactive) XML stays as it is."""
    domain = deepcopy(source)
    domain.attrib.pop("id", None)
    _name(domain, intent)
    _stamp(domain, intent)
    devices = _child(domain, "devices")
    _disks(domain, devices, new)
    if new.variables is not None:
        set_variables(domain, new.variables)
    apply_shape(domain, intent.shape)
    for index, interface in enumerate(devices.findall("interface")):
        _interface(interface, naming.mac_address(intent.stamp.incarnation, index))
        if intent.mode is Mode.DISK:
            ET.SubElement(interface, "link", state="down")
    for device in [*(found for tag in _CONSOLES for found in devices.findall(tag)), *devices.findall("channel")]:
        _character_device(device)
    for backend in devices.findall("tpm/backend"):
        _drop(backend, "source")  # a new UUID has a new, empty TPM; a named place would be the source's
        backend.attrib.pop("persistent_state", None)
    for cid in devices.findall("vsock/cid"):
        cid.attrib = {"auto": "yes"}  # a fixed address can be in use only once on a host
    for graphics in devices.findall("graphics"):
        _graphics(graphics)
    for element in list(devices.iter()):
        _drop(element, "alias")
    return ET.tostring(domain, encoding="unicode")


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


def _name(domain: ET.Element, intent: CloneIntent) -> None:
    _child(domain, "name").text = intent.vm_name
    _child(domain, "uuid").text = intent.uuid
    # A generation id is drawn anew by libvirt when its element is there and empty.
    had_generation = domain.find("genid") is not None
    _drop(domain, "title", "description", "genid", "seclabel", "resource")
    if had_generation:
        ET.SubElement(domain, "genid")
    for entry in domain.findall("sysinfo/system/entry"):
        if entry.get("name") == "uuid":
            entry.text = intent.uuid
    _firmware_strings(domain)


def _firmware_strings(domain: ET.Element) -> None:
    """Drop what names the machine, and what a guest reads credentials from at every boot: no scrub sees it."""
    for block in domain.findall("sysinfo"):
        _drop(block, "oemStrings")
        for part in list(block):
            for entry in [entry for entry in part if entry.get("name") in {"serial", "asset"}]:
                part.remove(entry)
        if block.get("type") == "fwcfg":
            domain.remove(block)


def _stamp(domain: ET.Element, intent: CloneIntent) -> None:
    _drop(domain, "metadata")
    ET.SubElement(domain, "metadata").append(stamp_element(intent.stamp, intent.token, intent.made_from))


def _disks(domain: ET.Element, devices: ET.Element, new: CloneDisks) -> None:
    for element, disk in zip(devices.findall("disk"), disks(domain), strict=True):
        if disk.target in new.left_out:
            devices.remove(element)
        elif disk.target in new.overlays:
            _overlay(element, new.overlays[disk.target])
        elif not (disk.shared or disk.empty):
            raise SourceChanged(f"disk {disk.target} is not in the frozen point: the source's disks changed since")
    devices.append(_seed(_free_target(domain), new.seed))


def _overlay(element: ET.Element, overlay: Overlay) -> None:
    """Point a disk at its overlay; the chain is spelt out so that nobody probes an image's format."""
    element.set("type", "file")
    _drop(element, "source", "backingStore", "mirror", "transient", "auth", "encryption")
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


def _seed(target: str, path: str) -> ET.Element:
    """Return the seed as a read-only virtio disk: cloud kernels have no SATA cdrom."""
    disk = ET.Element("disk", type="file", device="disk")
    ET.SubElement(disk, "driver", name="qemu", type="raw")
    ET.SubElement(disk, "source", file=path)
    ET.SubElement(disk, "target", dev=target, bus="virtio")
    ET.SubElement(disk, "readonly")
    return disk


def _free_target(domain: ET.Element) -> str:
    taken = {disk.target for disk in disks(domain)}
    return next(name for name in _virtio_names() if name not in taken)


def _virtio_names() -> Iterator[str]:
    for length in itertools.count(1):
        for letters in itertools.product(string.ascii_lowercase, repeat=length):
            yield "vd" + "".join(letters)


def _interface(interface: ET.Element, mac: str) -> None:
    _drop(interface, "target", "link", "backend", "portid")
    for filter_ in interface.findall("filterref"):
        for parameter in filter_.findall("parameter"):
            if parameter.get("name") in {"IP", "IPV6", "MAC"}:  # the source's; libvirt learns the clone's own
                filter_.remove(parameter)
    _child(interface, "mac").set("address", mac)
    source = interface.find("source")
    if source is not None:
        source.attrib.pop("portid", None)
    for parameters in interface.findall("virtualport/parameters"):
        parameters.attrib.pop("interfaceid", None)  # one port of the switch; libvirt draws another
        parameters.attrib.pop("instanceid", None)
    for port in interface.findall("virtualport"):
        _drop_empty(port, "parameters")


def _character_device(device: ET.Element) -> None:
    """Free a console or channel of the source's files, sockets and terminals; libvirt names new ones."""
    kind = device.get("type", "")
    if kind not in _OWN_ENDS or (kind == "unix" and device.tag in _CONSOLES):
        device.set("type", "pty")
    device.attrib.pop("tty", None)
    _drop(device, "log", "protocol")
    if device.get("type") in {"pty", "unix"}:
        _drop(device, "source")


def _graphics(graphics: ET.Element) -> None:
    """Let libvirt choose the port; a password or socket of the source does not go along."""
    for name in ("port", "tlsPort", "websocket", "socket", "passwd", "passwdValidTo", "connected"):
        graphics.attrib.pop(name, None)
    if graphics.get("type") in {"vnc", "spice", "rdp"}:  # the others have no port, and no autoport in libvirt's schema
        graphics.set("autoport", "yes")
    for listen in graphics.findall("listen"):
        listen.attrib.pop("socket", None)
