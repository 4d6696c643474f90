"""Proves before a clone is switched on that it can write to nothing of its source.

Two closed lists turned round: whatever path stands in the clone's definition can be written, but for what is known
to be read only; whatever path stands anywhere in the source's, running or configured, is the source's. Both are
compared by the names that libvirt resolves them to. What a clone can write is normally its own volumes alone, and
then nothing is asked of the storage.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import libvirt

from vmclone_operator.domain.errors import SourceExposed, SourceUnhealthy
from vmclone_operator.providers.libvirt import chain, domain_xml, host_files, translate
from vmclone_operator.providers.libvirt.stamp import read_source_mark, read_stamp, source_mark

if TYPE_CHECKING:
    import xml.etree.ElementTree as ET
    from collections.abc import Iterator

_READ_ONLY = re.compile(
    r"name|title|description|metadata.*|sysinfo.*|cpu.*|seclabel.*"
    r"|os/(?:kernel|initrd|cmdline|dtb|shim|acpi/table)|os/nvram@template"
    r"|devices/emulator|devices/disk/(?:.*/)?backingStore.*|devices/[^/]+/rom.*|devices/interface/(?:script|downscript).*"
    r"|devices/filesystem/(?:driver|binary).*|devices/smartcard/database"
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


def require_untouched(connection: libvirt.virConnect, clone: libvirt.virDomain, own_prefix: str) -> None:
    """Raise SourceExposed when a clone could write to anything of its source's; nothing is switched on then.

    A clone that was made before its source's mark stood in its metadata is compared with every VM that is no clone.
    """
    xml = domain_xml.parsed(clone.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
    mine = writable(xml)
    foreign = [place for place in mine if not posixpath.basename(place.path).startswith(own_prefix)]
    names = Names(connection, own_prefix)
    written = [*mine, *(alias for place in foreign for alias in names.of(place))]
    for domain in _sources(connection, xml):
        found = overlap(written, _theirs(names, domain, deep=bool(foreign)))
        if found is not None:
            raise SourceExposed(
                f"{found[0].where} of the clone is {translate.plain(found[0].path)}, which is {found[1].where} of"
                f" {translate.plain(domain.name())}: the clone could write to it and is not switched on; take it out of"
                " the clone's definition, or out of the source, then delete this VMCloneReplica to rebuild it"
            )


def _sources(connection: libvirt.virConnect, clone: ET.Element) -> list[libvirt.virDomain]:
    """Return the clone's source; nothing when that is gone, or on another host."""
    known, own = read_source_mark(clone), clone.findtext("uuid", "")
    others = [domain for domain in connection.listAllDomains() if domain.UUIDString() != own]
    if known:
        return [domain for domain in others if source_mark(domain.UUIDString()) == known]
    return [domain for domain in others if not any(read_stamp(xml) for xml in _definitions(domain))]


def _definitions(domain: libvirt.virDomain) -> list[ET.Element]:
    """Return what a VM runs by and what it will run by."""
    texts = (
        translate.found(partial(domain.XMLDesc, flags), libvirt.VIR_ERR_NO_DOMAIN)
        for flags in (0, libvirt.VIR_DOMAIN_XML_INACTIVE)
    )
    return [domain_xml.parsed(text) for text in texts if text]


def _theirs(names: Names, domain: libvirt.virDomain, *, deep: bool) -> list[Place]:
    """Return what a source names; `deep`: by every name that libvirt has for it, and what lies below its disks."""
    found = [place for xml in _definitions(domain) for place in named(xml)]
    if not deep:
        return found
    below = [place for xml in _definitions(domain) for place in names.below(xml)]
    return [*found, *below, *(alias for place in [*found, *below] for alias in names.of(place))]


class Names:
    """Other names of one thing, as far as libvirt tells: volumes' paths, links of devices, files of one inode."""

    def __init__(self, connection: libvirt.virConnect, own_prefix: str) -> None:
        self._connection, self._own_prefix = connection, own_prefix
        self._links: dict[str, str] | None = None

    def of(self, place: Place) -> Iterator[Place]:
        """Yield a place under its other names."""
        pool, is_volume, name = place.path.partition("//")
        if place.path in self._devices():
            yield self._as(place, self._devices()[place.path])
        volume = self._volume(pool, name) if is_volume else host_files.at_path(self._connection, place.path)
        if volume is None:
            return
        yield self._as(place, posixpath.normpath(volume.path()))
        held = translate.found(volume.storagePoolLookupByVolume, libvirt.VIR_ERR_NO_STORAGE_POOL)
        if held is not None:
            yield self._as(place, f"{held.name()}//{volume.name()}")
        identity = _identity(volume)
        if identity and not volume.name().startswith(self._own_prefix):
            yield self._as(place, identity)

    @staticmethod
    def _as(place: Place, path: str) -> Place:
        return Place(path=path, where=place.where, folder=place.folder)

    def _volume(self, pool: str, name: str) -> libvirt.virStorageVol | None:
        look = partial(host_files.of_volume, self._connection, pool, name)
        absent = (libvirt.VIR_ERR_NO_STORAGE_POOL, libvirt.VIR_ERR_NO_STORAGE_VOL, libvirt.VIR_ERR_OPERATION_INVALID)
        return translate.found(look, *absent)

    def _devices(self) -> dict[str, str]:
        """Return the block devices of the host by each of their links."""
        if self._links is None:
            self._links = {}
            for device in self._connection.listAllDevices(libvirt.VIR_CONNECT_LIST_NODE_DEVICES_CAP_STORAGE):
                text = translate.found(device.XMLDesc, libvirt.VIR_ERR_NO_NODE_DEVICE)
                nodes = domain_xml.parsed(text).findall("devnode") if text else []
                (real,) = [node.text or "" for node in nodes if node.get("type") == "dev"][:1] or [""]
                self._links.update({node.text or "": real for node in nodes if real})
        return self._links

    def below(self, domain: ET.Element) -> Iterator[Place]:
        """Yield the backing files of a VM's qcow2 disks, as their headers name them."""
        for disk in domain_xml.disks(domain):
            if disk.format != "qcow2" or disk.empty or not disk.local:
                continue
            try:
                images = chain.images(self._connection, disk)
            except SourceUnhealthy:  # in no pool, or not to be read: then QEMU could not start on it either
                continue
            for image in images:
                yield Place(path=posixpath.normpath(image.path()), where=f"below disk {disk.target}")


def _identity(volume: libvirt.virStorageVol) -> str:
    """Return what two names of one file have in common: libvirt tells no inode, but times to the nanosecond."""
    root = domain_xml.parsed(volume.XMLDesc())
    times = [root.findtext(f"target/timestamps/{name}", "") for name in ("mtime", "ctime")]
    if root.get("type") != "file" or not all(times):
        return ""
    return f"file of {'/'.join([*times, *(root.findtext(name, '') for name in ('capacity', 'allocation'))])}"
