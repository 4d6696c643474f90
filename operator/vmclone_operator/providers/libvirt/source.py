"""Finding a source and judging it: what it is, which disks are copied, and why it may not be cloned."""

from __future__ import annotations

import uuid as uuids
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import libvirt

from vmclone_operator.domain.backend import DiskInfo, Power, SourceInfo
from vmclone_operator.domain.errors import AgentNotReady, SourceNotFound, SourceUnhealthy
from vmclone_operator.providers.libvirt import chain, disk_reading, domain_xml, guest, translate
from vmclone_operator.providers.libvirt.differences import differences
from vmclone_operator.providers.libvirt.disk_reading import size_of
from vmclone_operator.providers.libvirt.shape_xml import shape_of

if TYPE_CHECKING:
    import xml.etree.ElementTree as ET

    from vmclone_operator.providers.libvirt.domain_xml import Disk

_COPIED = frozenset({"raw", "qcow2"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A source VM with its configuration (the XML of its next boot) and its disks sorted out."""

    domain: libvirt.virDomain
    xml: ET.Element
    """What a clone is made from; drives whose medium another VM could not have are empty in it."""
    live: ET.Element
    """What runs; of a powered-off source its configuration, as it is."""
    copied: tuple[Disk, ...]
    """Of a running source as they run: that is what is copied."""
    seeds: tuple[Disk, ...]
    """NoCloud and config-drive disks: never shared, never copied."""
    doubtful: tuple[Disk, ...] = ()
    """Disks that cannot be read and are small enough to be seeds."""

    @property
    def disks(self) -> tuple[Disk, ...]:
        """The disks of the configuration; those that run, as they run."""
        return _as_they_run(domain_xml.disks(self.xml), self.live)


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
    configured = domain_xml.parsed(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
    live = domain_xml.parsed(domain.XMLDesc()) if domain.isActive() else configured
    xml = _with_drives_emptied(domain, configured, live)
    disks = _as_they_run(domain_xml.disks(xml), live)
    judged = {disk.target: disk_reading.holds_seed(domain, disk) for disk in disks}
    seeds = tuple(disk for disk in disks if judged[disk.target])
    unread = [disk for disk in disks if judged[disk.target] is None]
    return Source(
        domain=domain,
        xml=xml,
        live=live,
        copied=tuple(disk for disk in disks if not disk.shared and not disk.empty and disk not in seeds),
        seeds=seeds,
        doubtful=tuple(disk for disk in unread if disk_reading.may_be_seed(domain, disk)),
    )


def _as_they_run(disks: tuple[Disk, ...], live: ET.Element) -> tuple[Disk, ...]:
    """Return disks with where their bytes are now; a drive for media is as the configuration has it."""
    running = {disk.target: disk for disk in domain_xml.disks(live)}
    return tuple(disk if disk.device in disk_reading.MEDIA else running.get(disk.target, disk) for disk in disks)


def _with_drives_emptied(domain: libvirt.virDomain, configured: ET.Element, live: ET.Element) -> ET.Element:
    """Return the configuration with a drive empty where its medium is ejected, exchanged or gone.

    A medium is nothing that a source is refused for: people leave the installer's ISO in the drive, and delete it.
    """
    running = {disk.target: disk for disk in domain_xml.disks(live)}
    xml = deepcopy(configured)
    for element, disk in zip(xml.findall("devices/disk"), domain_xml.disks(xml), strict=True):
        if disk.device not in disk_reading.MEDIA or (disk.local and disk.empty):
            continue
        now = running.get(disk.target)
        same = now is not None and (now.path, now.volume) == (disk.path, disk.volume)
        if not same or not disk_reading.is_readable(domain, disk):
            _empty(element)
    return xml


def _empty(drive: ET.Element) -> None:
    for tag in ("source", "backingStore", "auth"):
        for child in drive.findall(tag):
            drive.remove(child)
    drive.set("type", "file")


def require_healthy(source: Source) -> None:
    """Raise SourceUnhealthy with everything that keeps it from having clones."""
    _refuse(domain_xml.blockers(source.xml))


def require_copyable(source: Source) -> None:
    """Raise SourceUnhealthy with everything that keeps it from being copied as it is now."""
    _refuse(copy_blockers(source))


def copy_blockers(source: Source) -> list[str]:
    """Return why a source cannot be copied as it is now, in sentences."""
    return [
        *domain_xml.blockers(source.xml),
        *_power_blockers(source),
        *_differences(source),
        *filter(None, (_disk_problem(source, disk) or _seed_problem(source, disk) for disk in source.disks)),
    ]


_SEED_PERHAPS = (
    "disk {target} (format {format}) cannot be read and may be a cloud-init seed, which no clone gets: detach it, or"
    " make it raw"
)


def _seed_problem(source: Source, disk: Disk) -> str:
    """Return that a disk may be a seed, where nothing else is told of it already."""
    if disk not in source.doubtful or (not disk.shared and disk.format not in _COPIED):
        return ""
    return _SEED_PERHAPS.format(target=disk.target, format=disk.format or "none")


def _differences(source: Source) -> list[str]:
    """Return what runs otherwise than it is configured, in sentences."""
    return differences(source.live, source.xml) if domain_xml.is_active(source.live) else []


def _disk_problem(source: Source, disk: Disk) -> str:
    """Return why a disk that the XML has nothing against cannot be read, or an empty string."""
    if disk.empty or not disk.local or disk.format not in _COPIED or disk.device in disk_reading.MEDIA:
        return ""
    if source.domain.isActive() and disk.target not in {one.target for one in domain_xml.disks(source.live)}:
        return ""  # told as a difference
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


def sizes(source: Source) -> dict[str, int]:
    """Return the capacity of each copied disk, in bytes."""
    return {disk.target: size_of(source.domain, disk)[0] for disk in source.copied}


def fingerprint(source: Source) -> str:
    """Return what makes this source this source: its id, its copied disks and their sizes."""
    found = {
        disk.target: (disk.path or "/".join(disk.volume), disk_reading.size_or_nothing(source.domain, disk)[0])
        for disk in source.copied
    }
    return domain_xml.fingerprint(source.domain.UUIDString(), found)


def describe(connection: libvirt.virConnect, name: str) -> SourceInfo:
    """Describe a source as it is now."""
    source = examine(find(connection, name))
    live = source.live
    return SourceInfo(
        source_id=source.domain.UUIDString(),
        name=source.domain.name(),
        power=Power.ON if domain_xml.is_active(live) else Power.OFF,
        agent=domain_xml.agent_connected(live),
        disks=tuple(_disk_info(source, disk) for disk in source.disks),
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


def _disk_info(source: Source, disk: Disk) -> DiskInfo:
    capacity, allocation = disk_reading.size_or_nothing(source.domain, disk)
    copied = disk in source.copied
    if copied:
        allocation = disk_reading.copy_bytes(source.domain, source.live, disk)
    return DiskInfo(target=disk.target, capacity_bytes=capacity, allocated_bytes=allocation, shared=not copied)


def source_volume(connection: libvirt.virConnect, disk: Disk) -> libvirt.virStorageVol:
    """Return the volume of a powered-off source's disk, when it and all below it can be copied."""
    return chain.images(connection, disk)[0]
