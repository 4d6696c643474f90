"""Finding a source and judging it: what it is, which disks are copied, and why it may not be cloned."""

from __future__ import annotations

import uuid as uuids
from dataclasses import dataclass
from typing import TYPE_CHECKING

import libvirt

from vmclone_operator.domain.backend import DiskInfo, Power, SourceInfo
from vmclone_operator.domain.errors import AgentNotReady, SourceNotFound, SourceUnhealthy
from vmclone_operator.providers.libvirt import chain, domain_xml, guest, host_files, translate
from vmclone_operator.providers.libvirt.seed import is_seed
from vmclone_operator.providers.libvirt.shape_xml import shape_of

if TYPE_CHECKING:
    import xml.etree.ElementTree as ET

    from vmclone_operator.providers.libvirt.domain_xml import Disk


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A source VM with its configuration (the XML of its next boot) and its disks sorted out."""

    domain: libvirt.virDomain
    xml: ET.Element
    copied: tuple[Disk, ...]
    seeds: tuple[Disk, ...]
    """NoCloud and config-drive disks: never shared, never copied."""


def find(connection: libvirt.virConnect, name: str) -> libvirt.virDomain:
    """Return the VM of this name or UUID; SourceNotFound when there is none, or when two match."""
    by_name = translate.found(lambda: connection.lookupByName(name), libvirt.VIR_ERR_NO_DOMAIN)
    by_id = by_uuid(connection, name)
    if by_name is not None and by_id is not None and by_name.UUIDString() != by_id.UUIDString():
        raise SourceNotFound(f"{name} is the name of one VM and the UUID of another: rename the first")
    found = by_name or by_id
    if found is None:
        raise SourceNotFound(f"there is no VM {translate.plain(name)} on this host")
    return found


def by_uuid(connection: libvirt.virConnect, text: str) -> libvirt.virDomain | None:
    """Return the VM with this UUID, or None."""
    try:
        canonical = str(uuids.UUID(text))
    except ValueError:
        return None
    return translate.found(lambda: connection.lookupByUUIDString(canonical), libvirt.VIR_ERR_NO_DOMAIN)


def read(connection: libvirt.virConnect, source_id: str) -> Source:
    """Read a source by its id; raises SourceNotFound, and SourceUnhealthy when a disk cannot be read."""
    domain = by_uuid(connection, source_id)
    if domain is None:
        raise SourceNotFound(f"the source VM {source_id} is gone")
    return examine(domain)


def examine(domain: libvirt.virDomain) -> Source:
    """Sort out a source's disks."""
    xml = domain_xml.parsed(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
    disks = domain_xml.disks(xml)
    seeds = tuple(disk for disk in disks if _holds_seed(domain, disk))
    copied = tuple(disk for disk in disks if not disk.shared and not disk.empty and disk not in seeds)
    return Source(domain=domain, xml=xml, copied=copied, seeds=seeds)


def require_healthy(source: Source) -> None:
    """Raise SourceUnhealthy with everything that keeps it from having clones."""
    _refuse(domain_xml.blockers(source.xml))


def require_copyable(source: Source) -> None:
    """Raise SourceUnhealthy with everything that keeps it from being copied as it is now."""
    _refuse(copy_blockers(source))


def copy_blockers(source: Source) -> list[str]:
    """Return why a source cannot be copied as it is now, in sentences."""
    problems = (_disk_problem(source, disk) for disk in domain_xml.disks(source.xml))
    return [*domain_xml.blockers(source.xml), *_power_blockers(source), *filter(None, problems)]


def _disk_problem(source: Source, disk: Disk) -> str:
    """Return why a disk that the XML has nothing against cannot be read, or an empty string."""
    if disk.empty or not disk.local or disk.format not in {"raw", "qcow2"}:
        return ""
    try:
        size_of(source.domain, disk)
        if disk in source.copied and not source.domain.isActive():
            source_volume(source.domain.connect(), disk)
    except SourceUnhealthy as error:
        return str(error)
    return ""


def _refuse(found: list[str]) -> None:
    if found:
        raise SourceUnhealthy("; ".join(found))


def _power_blockers(source: Source) -> list[str]:
    """Return why a source cannot be copied in the power state it is in, in sentences."""
    if source.domain.isActive():
        return domain_xml.running_blockers(source.xml)
    if source.domain.hasManagedSaveImage():
        return ["the source is suspended to disk (managed save): start it, or shut it down"]
    return []


def _holds_seed(domain: libvirt.virDomain, disk: Disk) -> bool:
    if disk.empty or disk.format != "raw" or not disk.local:
        return False
    try:
        return is_seed(_peek(domain, disk, 0, 512).ljust(32768, b"\0") + _peek(domain, disk, 32768, 2048))
    except SourceUnhealthy:  # preflight tells it, with all else
        return False


def _peek(domain: libvirt.virDomain, disk: Disk, offset: int, size: int) -> bytes:
    """Read a piece of a disk, through the VM that has it; nothing when the disk is shorter."""
    if offset + size > size_of(domain, disk)[0]:
        return b""
    if disk.kind == "volume" and not domain.isActive():
        return host_files.download(domain.connect(), _volume(domain, disk), offset + size)[offset:]
    return bytes(domain.blockPeek(disk.target, offset, size, 0))


def size_of(domain: libvirt.virDomain, disk: Disk) -> tuple[int, int]:
    """Return the capacity and allocation of a disk's own image; raises SourceUnhealthy when it cannot be read."""
    try:
        if disk.kind == "volume" and not domain.isActive():  # libvirt resolves these only when the VM starts
            _type, capacity, allocation = _volume(domain, disk).info()
        else:
            capacity, allocation, _physical = domain.blockInfo(disk.target)
    except libvirt.libvirtError as error:
        if translate.is_connection_loss(error):
            raise
        said = translate.plain(error.get_error_message() or "")
        raise SourceUnhealthy(f"disk {disk.target} cannot be read - the template may be corrupted: {said}") from error
    return int(capacity), int(allocation)


def _volume(domain: libvirt.virDomain, disk: Disk) -> libvirt.virStorageVol:
    return domain.connect().storagePoolLookupByName(disk.volume[0]).storageVolLookupByName(disk.volume[1])


def sizes(source: Source) -> dict[str, int]:
    """Return the capacity of each copied disk, in bytes."""
    return {disk.target: size_of(source.domain, disk)[0] for disk in source.copied}


def fingerprint(source: Source) -> str:
    """Return what makes this source this source: its id, its copied disks and their sizes."""
    found = {
        disk.target: (disk.path or "/".join(disk.volume), _size_or_nothing(source.domain, disk)[0])
        for disk in source.copied
    }
    return domain_xml.fingerprint(source.domain.UUIDString(), found)


def _size_or_nothing(domain: libvirt.virDomain, disk: Disk) -> tuple[int, int]:
    """Return a disk's size, or zeros when nobody can tell it: to say why is preflight's part."""
    if disk.empty or not disk.local:
        return 0, 0
    try:
        return size_of(domain, disk)
    except SourceUnhealthy:
        return 0, 0


def describe(connection: libvirt.virConnect, name: str) -> SourceInfo:
    """Describe a source as it is now."""
    source = examine(find(connection, name))
    live = domain_xml.parsed(source.domain.XMLDesc())
    return SourceInfo(
        source_id=source.domain.UUIDString(),
        name=source.domain.name(),
        power=Power.ON if domain_xml.is_active(live) else Power.OFF,
        agent=domain_xml.agent_connected(live),
        disks=tuple(_disk_info(source, live, disk) for disk in domain_xml.disks(source.xml)),
        macs=domain_xml.macs(source.xml),
        fingerprint=fingerprint(source),
        addresses=_addresses(source.domain) if domain_xml.agent_connected(live) else (),
        shape=shape_of(source.xml),
    )


def _addresses(domain: libvirt.virDomain) -> tuple[str, ...]:
    """Return the guest's addresses, or none when it does not tell: that is no reason not to clone it."""
    try:
        return tuple(guest.addresses(domain))
    except AgentNotReady:
        return ()


def _disk_info(source: Source, live: ET.Element, disk: Disk) -> DiskInfo:
    capacity, allocation = _size_or_nothing(source.domain, disk)
    shared = disk not in source.copied
    if not shared and disk.format == "qcow2" and capacity:
        allocation = _flattened(source, live, disk, capacity, allocation)
    return DiskInfo(target=disk.target, capacity_bytes=capacity, allocated_bytes=allocation, shared=shared)


def _flattened(source: Source, live: ET.Element, disk: Disk, capacity: int, allocation: int) -> int:
    """Return what a disk's copy takes at most: it holds what all images of its chain hold now."""
    connection = source.domain.connect()
    try:
        if source.domain.isActive():
            found = [host_files.at_path(connection, path) for path in domain_xml.chain_paths(live, disk.target)[1:]]
            below = [capacity if volume is None else int(volume.info()[2]) for volume in found]
        else:
            below = [int(volume.info()[2]) for volume in chain.images(connection, disk)[1:]]
    except SourceUnhealthy:
        below = []
    return min(capacity, allocation + sum(below))


def source_volume(connection: libvirt.virConnect, disk: Disk) -> libvirt.virStorageVol:
    """Return the volume of a powered-off source's disk, when it and all below it can be copied."""
    return chain.images(connection, disk)[0]
