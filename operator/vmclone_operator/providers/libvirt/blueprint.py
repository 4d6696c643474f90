"""What a clone is made from: a machine's XML and the frozen disks below its own, put together by mode.

Mode Disk takes the source as it is and all its disks. Mode Clean takes the source's machine and one disk, or,
where the source is on another host, a machine that is described by its shape alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import libvirt

from vmclone_operator.domain import naming
from vmclone_operator.domain.backend import Mode
from vmclone_operator.domain.errors import (
    CapabilityMissing,
    CloneFailed,
    RetryLater,
    SourceChanged,
    SourceNotFound,
    SourceUnhealthy,
)
from vmclone_operator.providers.libvirt import clean_xml, disk_reading, domain_xml, freeze, translate, volumes
from vmclone_operator.providers.libvirt import source as sources
from vmclone_operator.providers.libvirt.clone_xml import CloneDisks, Overlay, clone_xml
from vmclone_operator.providers.libvirt.frozen_names import parse_name

if TYPE_CHECKING:
    import xml.etree.ElementTree as ET
    from collections.abc import Mapping, Sequence

    from vmclone_operator.domain.backend import CloneIntent
    from vmclone_operator.providers.libvirt.source import Source

_ARCHITECTURE = "x86_64"


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """One disk of a frozen point, and how large the clone's disk on it or from it has to be."""

    name: str
    path: str
    capacity: int
    allocated: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Blueprint:
    """A machine, and by target the frozen disks that its own disks come from."""

    machine: ET.Element
    bases: Mapping[str, Base]
    left_out: frozenset[str] = frozenset()


def draw(connection: libvirt.virConnect, pool: libvirt.virStoragePool, intent: CloneIntent, network: str) -> Blueprint:
    """Return what the clone is made from; raises before anything is made when it cannot be.

    `network` is that of a clone for which neither its template nor a source on this host names one.
    """
    _require_networks(connection, intent.shape.networks, "spec.template.networks")
    return _clean(connection, pool, intent, network) if intent.mode is Mode.CLEAN else _disk(connection, pool, intent)


def _disk(connection: libvirt.virConnect, pool: libvirt.virStoragePool, intent: CloneIntent) -> Blueprint:
    source = sources.read(connection, intent.source_id)
    sources.require_healthy(source)
    bases = _bases(pool, intent)
    if set(bases) != {disk.target for disk in source.copied}:
        raise SourceChanged("the source has other disks than its frozen point: freeze it again")
    _require_complete(source, bases, intent)
    return Blueprint(machine=source.xml, bases=bases, left_out=frozenset(disk.target for disk in source.seeds))


def _bases(pool: libvirt.virStoragePool, intent: CloneIntent) -> dict[str, Base]:
    """Return the disks of the frozen point by target."""
    names = volumes.volume_names(pool, naming.frozen_prefix(intent.stamp.instance, intent.stamp.vmclone_uid))
    held = [volume for name in names if (volume := parse_name(name)) and volume.token == intent.frozen_token]
    if not held:
        raise CloneFailed(f"the frozen point {intent.frozen_token} is gone")
    return {volume.target: _base(pool, volume.name) for volume in held}


def _base(pool: libvirt.virStoragePool, name: str) -> Base:
    volume = pool.storageVolLookupByName(name)
    _kind, capacity, allocated = volume.info()
    return Base(name=name, path=volume.path(), capacity=capacity, allocated=allocated)


def _require_complete(source: Source, bases: Mapping[str, Base], intent: CloneIntent) -> None:
    if (freeze.running_backup(source.domain) or frozenset()) & {base.path for base in bases.values()}:
        raise RetryLater(f"the frozen point {intent.frozen_token} is still being copied")


def _clean(
    connection: libvirt.virConnect, pool: libvirt.virStoragePool, intent: CloneIntent, network: str
) -> Blueprint:
    bases = _bases(pool, intent)
    if len(bases) != 1:
        raise CloneFailed(f"the frozen point {intent.frozen_token} is none of an image: it has {len(bases)} disks")
    (base,) = bases.values()
    domain = sources.by_uuid(connection, intent.source_id)
    if domain is None:
        machine = _generic(connection, intent, network)
    else:
        configuration = domain_xml.parsed(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
        machine = clean_xml.with_one_disk(configuration)
        base = replace(base, capacity=max(base.capacity, _own_size(domain, configuration)))
    target = domain_xml.disks(machine)[0].target
    _require_cloneable(machine, target, intent)
    return Blueprint(machine=machine, bases={target: base})


def _own_size(domain: libvirt.virDomain, configuration: ET.Element) -> int:
    """Return the size of the source's boot disk: a Clean clone has as much room."""
    disk = clean_xml.boot_disk(configuration)
    if disk is None:
        return 0
    return disk_reading.size_of(domain, disk)[0]


def _require_cloneable(machine: ET.Element, target: str, intent: CloneIntent) -> None:
    """Judge the machine as it will be: what was wrong with the source's disks is gone with them."""
    disks = CloneDisks(overlays={target: Overlay(path="/own")}, left_out=frozenset(), seed="/seed")
    found = domain_xml.blockers(domain_xml.parsed(clone_xml(machine, intent, disks)))
    if found:
        raise SourceUnhealthy("; ".join(found))


def _generic(connection: libvirt.virConnect, intent: CloneIntent, network: str) -> ET.Element:
    if not (intent.shape.cpus and intent.shape.memory_bytes):
        raise SourceNotFound(
            f"the source VM {intent.source_id} is not on this host, and cpus and memory of its clone are not known"
        )
    shape = intent.shape
    if not shape.networks:
        shape = replace(shape, networks=(network,))
        _require_networks(connection, shape.networks, "spec.libvirt.network of the CloneBackend")
    architecture = domain_xml.parsed(connection.getCapabilities()).findtext("host/cpu/arch", "")
    if architecture != _ARCHITECTURE:
        raise CapabilityMissing(f"this host is {architecture}: a VM without its source is made on {_ARCHITECTURE} only")
    offers_kvm = translate.found(
        lambda: connection.getDomainCapabilities(None, _ARCHITECTURE, "q35", "kvm"),
        libvirt.VIR_ERR_INVALID_ARG,
        libvirt.VIR_ERR_CONFIG_UNSUPPORTED,
        libvirt.VIR_ERR_NO_SUPPORT,
    )
    return clean_xml.generic_domain(shape, kvm=offers_kvm is not None)


def _require_networks(connection: libvirt.virConnect, networks: Sequence[str], field: str) -> None:
    """Refuse a network that is not there: libvirt itself would say so at the first start only."""
    for name in networks:
        network = translate.found(partial(connection.networkLookupByName, name), libvirt.VIR_ERR_NO_NETWORK)
        if network is None or not network.isActive():
            state, shown = "no network" if network is None else "no active network", translate.plain(name)
            remedy = "define it" if network is None else f"start it (virsh net-start {shown})"
            raise CapabilityMissing(f"there is {state} {shown} on this host: {remedy} or name another in {field}")


def boot_target(connection: libvirt.virConnect, source_id: str) -> str:
    """Return what the source's boot disk is called, if the source is here: the copied image takes its place."""
    domain = sources.by_uuid(connection, source_id)
    text = None
    if domain is not None:
        text = translate.found(lambda: domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE), libvirt.VIR_ERR_NO_DOMAIN)
    disk = None if text is None else clean_xml.boot_disk(domain_xml.parsed(text))
    return clean_xml.FIRST_TARGET if disk is None else disk.target
