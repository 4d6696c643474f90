"""Finding a source and judging it: what it is, which disks are copied, and why it may not be cloned."""

from __future__ import annotations

import uuid as uuids
from dataclasses import dataclass
from typing import TYPE_CHECKING

import libvirt

from vmclone_operator.domain.backend import DiskInfo, Power, SourceInfo
from vmclone_operator.domain.errors import AgentNotReady, CloneError, SourceNotFound, SourceUnhealthy
from vmclone_operator.providers.libvirt import domain_xml, freeze, guest, translate, volumes
from vmclone_operator.providers.libvirt.seed import is_seed

if TYPE_CHECKING:
    import xml.etree.ElementTree as ET
    from collections.abc import Sequence

    from vmclone_operator.providers.libvirt.domain_xml import Disk

PER_CLONE_BYTES = 64 << 20
"""What a fresh overlay is expected to take until the identity step is done."""


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
    """Raise SourceUnhealthy with everything that is in the way."""
    found = domain_xml.blockers(source.xml)
    if found:
        raise SourceUnhealthy("; ".join(found))


def _holds_seed(domain: libvirt.virDomain, disk: Disk) -> bool:
    if disk.empty or disk.format != "raw" or disk.kind not in {"file", "block", "volume"}:
        return False
    return is_seed(_peek(domain, disk, 0, 512).ljust(32768, b"\0") + _peek(domain, disk, 32768, 2048))


def _peek(domain: libvirt.virDomain, disk: Disk, offset: int, size: int) -> bytes:
    """Read a piece of a disk through the VM that has it; nothing when the disk is shorter."""
    if offset + size > _size(domain, disk)[0]:
        return b""
    return bytes(domain.blockPeek(disk.target, offset, size, 0))


def _size(domain: libvirt.virDomain, disk: Disk) -> tuple[int, int]:
    try:
        capacity, allocation, _physical = domain.blockInfo(disk.target)
    except libvirt.libvirtError as error:
        if translate.is_connection_loss(error):
            raise
        said = translate.plain(error.get_error_message() or "")
        raise SourceUnhealthy(f"disk {disk.target} cannot be read - the template may be corrupted: {said}") from error
    return int(capacity), int(allocation)


def sizes(source: Source) -> dict[str, int]:
    """Return the capacity of each copied disk, in bytes."""
    return {disk.target: _size(source.domain, disk)[0] for disk in source.copied}


def fingerprint(source: Source) -> str:
    """Return what makes this source this source: its id, its copied disks and their sizes."""
    places = {disk.target: disk.path or "/".join(disk.volume) for disk in source.copied}
    capacities = sizes(source)
    return domain_xml.fingerprint(
        source.domain.UUIDString(), {target: (place, capacities[target]) for target, place in places.items()}
    )


def describe(connection: libvirt.virConnect, name: str) -> SourceInfo:
    """Describe a source as it is now."""
    source = examine(find(connection, name))
    live = domain_xml.parsed(source.domain.XMLDesc())
    return SourceInfo(
        source_id=source.domain.UUIDString(),
        name=source.domain.name(),
        power=Power.ON if domain_xml.is_active(live) else Power.OFF,
        agent=domain_xml.agent_connected(live),
        disks=tuple(_disk_info(source, disk) for disk in domain_xml.disks(source.xml)),
        macs=domain_xml.macs(source.xml),
        fingerprint=fingerprint(source),
        addresses=_addresses(source.domain) if domain_xml.agent_connected(live) else (),
    )


def _addresses(domain: libvirt.virDomain) -> tuple[str, ...]:
    """Return the guest's addresses, or none when it does not tell: that is no reason not to clone it."""
    try:
        return tuple(guest.addresses(domain))
    except AgentNotReady:
        return ()


def _disk_info(source: Source, disk: Disk) -> DiskInfo:
    capacity, allocation = (0, 0) if disk.empty else _size(source.domain, disk)
    shared = disk not in source.copied
    return DiskInfo(target=disk.target, capacity_bytes=capacity, allocated_bytes=allocation, shared=shared)


def findings(connection: libvirt.virConnect, pool_name: str, info: SourceInfo, replicas: int) -> Sequence[str]:
    """Return every reason why this source cannot be cloned that often, all at once."""
    try:
        source = read(connection, info.source_id)
        pool = volumes.open_pool(connection, pool_name)
        needed = sum(disk.allocated_bytes for disk in info.disks if not disk.shared) + replicas * PER_CLONE_BYTES
        space = volumes.space_problem(pool, needed)
        return [*domain_xml.blockers(source.xml), *_power_findings(connection, source), *([space] if space else [])]
    except CloneError as error:
        return [str(error)]


def _power_findings(connection: libvirt.virConnect, source: Source) -> list[str]:
    if source.domain.isActive():
        busy = "" if freeze.running_backup(source.domain) else freeze.other_job(source.domain, source.xml)
        return [f"the source is locked: {busy}"] if busy else []
    found = []
    for disk in source.copied:
        try:
            source_volume(connection, disk)
        except SourceUnhealthy as error:
            found.append(str(error))
    return found


def source_volume(connection: libvirt.virConnect, disk: Disk) -> libvirt.virStorageVol:
    """Return the volume of a powered-off source's disk; its format must be the one the VM uses.

    The format that libvirt knows of a volume was guessed from its content, which a guest can write.
    """
    volume = translate.found(
        lambda: _lookup(connection, disk), libvirt.VIR_ERR_NO_STORAGE_VOL, libvirt.VIR_ERR_NO_STORAGE_POOL
    )
    if volume is None:
        raise SourceUnhealthy(
            f"disk {disk.target} is in no active storage pool of its host: start the source, or define a pool for it"
        )
    known = volumes.describe(volume).format
    if known != disk.format:
        raise SourceUnhealthy(
            f"disk {disk.target} is {disk.format} for the VM but looks like {known} in its pool: it is not copied"
        )
    return volume


def _lookup(connection: libvirt.virConnect, disk: Disk) -> libvirt.virStorageVol:
    if any(disk.volume):
        return connection.storagePoolLookupByName(disk.volume[0]).storageVolLookupByName(disk.volume[1])
    return connection.storageVolLookupByPath(disk.path)
