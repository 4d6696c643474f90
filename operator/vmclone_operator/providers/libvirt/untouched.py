"""Proves before a clone is switched on that it can write to nothing of its source.

Whatever path stands in the clone's definition can be written, but for what is known to be read only (`places`);
whatever path stands anywhere in the source's, running or configured, is the source's. Both are compared by the names
that libvirt resolves them to. What a clone can write is normally its own volumes alone, and
then nothing is asked of the storage.
"""

from __future__ import annotations

import posixpath
from functools import partial
from typing import TYPE_CHECKING

import libvirt

from vmclone_operator.domain.errors import SourceExposed, SourceUnhealthy
from vmclone_operator.providers.libvirt import chain, domain_xml, host_files, translate
from vmclone_operator.providers.libvirt.places import Place, named, overlap, writable
from vmclone_operator.providers.libvirt.stamp import read_source_mark, read_stamp, source_mark

if TYPE_CHECKING:
    import xml.etree.ElementTree as ET
    from collections.abc import Iterator


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
