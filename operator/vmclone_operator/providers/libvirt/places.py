"""Says which paths stand in a domain's definition, and which of them its VM can write to. Pure.

A closed list turned round: whatever path stands in a definition can be written, but for what is known to be read only.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import xml.etree.ElementTree as ET
    from collections.abc import Iterator

_READ_ONLY = re.compile(
    r"name|title|description|metadata.*|sysinfo.*|cpu.*|seclabel.*"
    r"|os/(?:kernel|initrd|cmdline|dtb|shim|acpi/table)|os/nvram@template"
    r"|devices/emulator|devices/disk/(?:.*/)?backingStore.*|devices/[^/]+/rom.*|devices/interface/(?:script|downscript).*"
    r"|devices/filesystem/(?:driver|binary).*|devices/smartcard/database|devices/graphics@xauth"
)
"""Where a path stands in a domain that QEMU opens for reading, runs, or does not open."""
_FOR_EVERYBODY = re.compile(
    r"/dev/(?:null|zero|full|u?random|hwrng|kvm|ptmx|vhost-\w+|net/tun|sgx_\w+|dri/.+|vfio/vfio|udmabuf)"
)
"""Devices that the kernel gives to each program anew."""
_INNER = re.compile(r"/[^\s,:;=\"']+")
_QEMU = "{http://libvirt.org/schemas/domain/qemu/1.0}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One thing on the host that a definition names."""

    path: str
    """A normal path, or `pool//volume`."""
    where: str
    """What of the VM it is, in words."""
    folder: bool = False
    """True when all below it is meant too."""


def writable(domain: ET.Element) -> list[Place]:
    """Return what a VM with this XML can write to: every path in it, but for those that it can only read."""
    return [place for spot, place in _places(domain) if spot]


def named(domain: ET.Element) -> list[Place]:
    """Return every path in a VM's XML, for reading or writing."""
    return [place for _, place in _places(domain)]


def _places(domain: ET.Element) -> Iterator[tuple[bool, Place]]:
    """Yield what the XML names, and whether the VM can write to it."""
    for element in domain:
        if element.tag != "devices":
            yield from _below(element, element.tag, element.tag.removeprefix(_QEMU), closed=False)
    for device in domain.findall("devices/*"):
        closed = device.tag == "disk" and (device.find("readonly") is not None or device.get("device") == "cdrom")
        yield from _below(device, f"devices/{device.tag}", _words(device), closed=closed)


def _below(element: ET.Element, spot: str, words: str, *, closed: bool) -> Iterator[tuple[bool, Place]]:
    for where, value in [(spot, (element.text or "").strip()), *((f"{spot}@{k}", v) for k, v in element.items())]:
        may = not (closed or _READ_ONLY.fullmatch(where) or _is_firmware_code(element))
        inner = _INNER.findall(value) if element.tag.startswith(_QEMU) else [value] if value.startswith("/") else []
        for path in inner:
            normal = posixpath.normpath(path)
            if not _FOR_EVERYBODY.fullmatch(normal):
                yield may, Place(path=normal, where=words, folder=spot == "devices/filesystem/source")
    if element.get("pool") and element.get("volume"):
        yield not closed, Place(path=f"{element.get('pool')}//{element.get('volume')}", where=words)
    for child in element:
        yield from _below(child, f"{spot}/{child.tag}", words, closed=closed)


def _is_firmware_code(element: ET.Element) -> bool:
    return element.tag == "loader" and element.get("readonly") != "no"


def _words(device: ET.Element) -> str:
    target = device.find("target")
    name = "" if target is None else target.get("dev") or target.get("dir") or target.get("name") or ""
    return f"{'disk' if device.tag == 'disk' else f'device {device.tag}'} {name}".rstrip()


def overlap(clone: list[Place], source: list[Place]) -> tuple[Place, Place] | None:
    """Return the first thing that the clone can write and that the source names, with the source's own word for it."""
    for mine in clone:
        for theirs in source:
            if mine.path == theirs.path or _holds(mine, theirs.path) or _holds(theirs, mine.path):
                return mine, theirs
    return None


def _holds(folder: Place, path: str) -> bool:
    return folder.folder and path.startswith(folder.path.rstrip("/") + "/")
