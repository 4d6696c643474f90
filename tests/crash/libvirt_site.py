"""What crash tests see of a real libvirtd: everything in a scratch pool, ours and others', comparable between lives."""

from __future__ import annotations

import contextlib
import itertools
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import libvirt
from tests.contract.libvirt_backend import CAPACITY, LibvirtFacts, scratch

from vmclone_operator.domain import naming
from vmclone_operator.domain.backend import Stamp
from vmclone_operator.providers.libvirt import domain_xml
from vmclone_operator.providers.libvirt.frozen_names import parse_name
from vmclone_operator.providers.libvirt.stamp import read_stamp

LAST_SECTOR = b"the last sector of the source's disk".ljust(512, b".")
"""A frozen point that does not hold it is half-made."""
STRANGERS = (
    "stranger.img",
    f"vmclone-base-{'f' * 8}-{'f' * 32}-0badc0de-vda.off.qcow2",
    f"vmclone-{'f' * 8}-{'f' * 32}-0badc0de-vda.qcow2",
)
_INACTIVE = libvirt.VIR_DOMAIN_XML_INACTIVE


@dataclass(frozen=True)
class Seen:
    """What is at the hypervisor, without tokens and uids."""

    clones: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    others: tuple[str, ...] = field(default=(), repr=False)
    """Everything that is not ours, exactly: the source, a stranger's VM and volumes."""


class Site:
    """A scratch pool with a source of so many disks, and with a stranger's things in it."""

    def __init__(self, facts: LibvirtFacts, *, disks: int, running: bool = False) -> None:
        self.facts, self.disks = facts, disks
        self._names = itertools.count(1)
        source = facts.connection.lookupByUUIDString(facts.source_id)
        self._source_files = [f"{facts.source_name}.img"]
        for number in range(1, disks):
            self._source_files.append(_add_disk(facts, source, f"vd{'abc'[number]}"))
        for name in self._source_files:
            _write(facts.pool.storageVolLookupByName(name), facts.connection, LAST_SECTOR, CAPACITY - len(LAST_SECTOR))
        paths = [facts.make_volume(name) for name in STRANGERS]
        self._stranger = facts.make_domain(f"{facts.pool_name}-stranger", disk=paths[0])
        if running:
            source.create()

    @property
    def source(self) -> libvirt.virDomain:
        """The source, looked up now: an object that was looked up before does not know of a restart."""
        return self.facts.connection.lookupByUUIDString(self.facts.source_id)

    def fresh_name(self) -> str:
        """Return the name of the next life's VMClone: uids come from names, and no two lives may share them."""
        return f"m{next(self._names)}-{self.facts.pool_name[-8:]}"

    def look(self) -> Seen:
        """Return what is here now."""
        self.facts.pool.refresh()
        marks = [(stamp, xml) for stamp, xml in self._clones()]
        ordinals = {naming.volume_prefix(s.instance, s.incarnation): f"clone {s.ordinal}" for s, _ in marks}
        names = [v.name() for v in self.facts.pool.listAllVolumes()]
        strange = {*self._source_files, *STRANGERS}
        files = Counter(self._file(name, ordinals) for name in names if name not in strange)
        return Seen(
            clones=tuple(sorted(self._clone(stamp, xml) for stamp, xml in marks)),
            files=tuple(f"{line} x{count}" for line, count in sorted(files.items())),
            others=(
                f"run {self.source.ID()}",
                self.source.XMLDesc(_INACTIVE),
                self._stranger.XMLDesc(_INACTIVE),
                *(f"{name} {self._written(name)}" for name in sorted(strange)),
            ),
        )

    def purge(self) -> None:
        """Remove what a failed life left, so that the next one starts from nothing."""
        with contextlib.suppress(libvirt.libvirtError):  # none runs
            self.source.abortJob()
        for domain in self._domains():
            domain.undefine()
        self.facts.pool.refresh()
        for volume in self.facts.pool.listAllVolumes():
            if volume.name() not in {*self._source_files, *STRANGERS}:
                volume.delete()

    def _domains(self) -> Iterator[libvirt.virDomain]:
        for domain in self.facts.connection.listAllDomains():
            with contextlib.suppress(libvirt.libvirtError):  # another suite's, gone since it was listed
                text = domain.XMLDesc()
                if str(self.facts.pool_path) in text and read_stamp(domain_xml.parsed(text)):
                    yield domain

    def _clones(self) -> Iterator[tuple[Stamp, ET.Element]]:
        for domain in self._domains():
            xml = domain_xml.parsed(domain.XMLDesc(_INACTIVE))
            mark = read_stamp(xml)
            if mark is not None:
                yield mark[0], xml

    def _clone(self, stamp: Stamp, xml: ET.Element) -> str:
        disks = [
            f"{disk.target}:{'there' if Path(disk.path).exists() else 'MISSING'}" for disk in domain_xml.disks(xml)
        ]
        return f"clone {stamp.ordinal} links={domain_xml.links_up(xml)} {' '.join(disks)}"

    def _file(self, name: str, ordinals: dict[str, str]) -> str:
        frozen = parse_name(name)
        if frozen is not None:
            whole = LAST_SECTOR in (self.facts.pool_path / name).read_bytes()
            return f"frozen {frozen.target} {'whole' if whole else 'HALF-MADE'}"
        owner = next((word for prefix, word in ordinals.items() if name.startswith(prefix)), "NOBODY")
        return f"{owner} {name.rsplit('-', 1)[-1]}"

    def _written(self, name: str) -> tuple[int, int]:
        state = (self.facts.pool_path / name).stat()
        return state.st_mtime_ns, state.st_size


@contextlib.contextmanager
def open_site(*, disks: int = 1, running: bool = False) -> Iterator[Site]:
    """Make the pool, its source and its strangers; everything goes at the end, whatever happened."""
    with scratch() as facts:
        yield Site(facts, disks=disks, running=running)


def _add_disk(facts: LibvirtFacts, source: libvirt.virDomain, target: str) -> str:
    name = f"{facts.source_name}-{target}.img"
    disk = ET.Element("disk", type="file", device="disk")
    ET.SubElement(disk, "driver", name="qemu", type="raw")
    ET.SubElement(disk, "source", file=facts.make_volume(name, "raw"))
    ET.SubElement(disk, "target", dev=target, bus="virtio")
    source.attachDeviceFlags(ET.tostring(disk, encoding="unicode"), libvirt.VIR_DOMAIN_AFFECT_CONFIG)
    return name


def _write(volume: libvirt.virStorageVol, connection: libvirt.virConnect, content: bytes, offset: int) -> None:
    stream = connection.newStream()
    volume.upload(stream, offset, len(content))
    stream.send(content)
    stream.finish()
