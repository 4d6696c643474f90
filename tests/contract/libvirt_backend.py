"""The libvirt backend for the contract suite: real libvirtd, a pool and a powered-off source of its own.

Everything is made under a random name and removed at the end, so that suites may run side by side and
a failed test leaves nothing that the next one could trip over.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import libvirt

from vmclone_operator.domain.backend import BackendConfig, BackendSession, Fence, Wake
from vmclone_operator.providers.libvirt import LibvirtBackend

CAPACITY = 64 << 20
MARKER = b"the source's first sector".ljust(512, b".")
"""What the source's disk begins with: a clone must read the same."""
IMAGE_MARKER = b"the golden image's first sector".ljust(512, b".")
"""What a golden image begins with."""
_UNDEFINE = (
    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LibvirtFacts:
    """What was made for the suite, and a connection of its own to look behind the session's back."""

    source_name: str
    source_id: str
    pool_name: str
    pool_path: Path
    spare_path: Path
    connection: libvirt.virConnect

    @property
    def pool(self) -> libvirt.virStoragePool:
        """The scratch pool."""
        return self.connection.storagePoolLookupByName(self.pool_name)

    @property
    def spare_name(self) -> str:
        """Name of a second pool, in which nothing is at first."""
        return f"{self.pool_name}-spare"

    @property
    def spare(self) -> libvirt.virStoragePool:
        """The second pool."""
        return self.connection.storagePoolLookupByName(self.spare_name)

    def spare_names(self) -> list[str]:
        """Return what lies in the second pool by now."""
        self.spare.refresh()
        return sorted(volume.name() for volume in self.spare.listAllVolumes())

    def volume_names(self) -> list[str]:
        """Return what lies in the pool by now, the source's disk left out."""
        self.pool.refresh()
        return sorted(name for name in self.pool.listVolumes() if name != f"{self.source_name}.img")

    def make_volume(self, name: str, image_format: str = "qcow2") -> str:
        """Make an empty volume, as a lost attempt or a stranger would leave it, and return its path."""
        return str(self.pool.createXML(_volume_xml(name, image_format)).path())

    def make_image(self, name: str, *, image_format: str = "qcow2", capacity: int = CAPACITY) -> None:
        """Put a golden image into the pool, as an admin does; one of that name is replaced."""
        with contextlib.suppress(libvirt.libvirtError):
            self.pool.storageVolLookupByName(name).delete()
        plain = self.pool.createXML(_volume_xml(f"{name}.raw", "raw", capacity))
        _upload(self.connection, plain, IMAGE_MARKER)
        self.pool.createXMLFrom(_volume_xml(name, image_format, capacity), plain)
        plain.delete()

    def make_domain(self, name: str, uuid: str = "", disk: str = "") -> libvirt.virDomain:
        """Define a VM that is not ours."""
        return self.connection.defineXML(_domain_xml(name, uuid, disk, "raw"))

    def first_sector(self, volume: str, pool: str = "") -> bytes:
        """Return what a guest would read first from a volume, whatever lies below it."""
        held = self.connection.storagePoolLookupByName(pool or self.pool_name).storageVolLookupByName(volume)
        flat = self.pool.createXMLFrom(_volume_xml(f"flat-{secrets.token_hex(4)}", "raw"), held)
        stream = self.connection.newStream()
        flat.download(stream, 0, len(MARKER))
        content = bytearray()
        while piece := stream.recv(len(MARKER)):
            content += piece
        stream.finish()
        flat.delete()
        return bytes(content)


@contextlib.asynccontextmanager
async def open_libvirt(
    wake: Wake = lambda _incarnation: None, fence: Fence = lambda: None
) -> AsyncIterator[tuple[BackendSession, LibvirtFacts]]:
    """Open a session on this machine's libvirtd over a scratch pool with a powered-off source in it."""
    with scratch() as facts:
        async with open_session(facts, wake, fence) as session:
            yield session, facts


@contextlib.asynccontextmanager
async def open_session(
    facts: LibvirtFacts, wake: Wake = lambda _incarnation: None, fence: Fence = lambda: None, **settings: str
) -> AsyncIterator[BackendSession]:
    """Open one more session on the same pool: what a restarted operator has, with no memory of the first."""
    block = {"transport": "local", "pool": facts.pool_name, **settings}
    config = BackendConfig(name="scratch", settings=block)
    session = await LibvirtBackend().open(config, wake=wake, fence=fence)
    try:
        yield session
    finally:
        await session.close()


@contextlib.contextmanager
def scratch() -> Iterator[LibvirtFacts]:
    """Make a pool and a powered-off source under a random name; remove them with all that was made from them."""
    name = f"vmclone-test-{secrets.token_hex(4)}"
    with contextlib.ExitStack() as undo:
        connection = undo.enter_context(contextlib.closing(libvirt.open("qemu:///system")))
        folder, pool = _make_pool(connection, name, undo)
        spare_path, _ = _make_pool(connection, f"{name}-spare", undo)
        undo.callback(_remove_domains, connection, name)
        source = _make_source(connection, pool, f"{name}-source")
        yield LibvirtFacts(
            source_name=source.name(),
            source_id=source.UUIDString(),
            pool_name=name,
            pool_path=folder,
            spare_path=spare_path,
            connection=connection,
        )


def _make_pool(
    connection: libvirt.virConnect, name: str, undo: contextlib.ExitStack
) -> tuple[Path, libvirt.virStoragePool]:
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-"))
    undo.callback(shutil.rmtree, folder)
    folder.chmod(0o711)  # QEMU runs as another user and must reach the disks
    pool = connection.storagePoolCreateXML(_pool_xml(name, folder))
    undo.callback(pool.destroy)  # a transient pool is gone with this; its files are not
    return folder, pool


def _upload(connection: libvirt.virConnect, volume: libvirt.virStorageVol, content: bytes) -> None:
    stream = connection.newStream()
    volume.upload(stream, 0, len(content))
    stream.send(content)
    stream.finish()


def _make_source(connection: libvirt.virConnect, pool: libvirt.virStoragePool, name: str) -> libvirt.virDomain:
    volume = pool.createXML(_volume_xml(f"{name}.img", "raw"))
    _upload(connection, volume, MARKER)
    return connection.defineXML(_domain_xml(name, "", volume.path(), "raw"))


def _remove_domains(connection: libvirt.virConnect, prefix: str) -> None:
    """Remove every VM that has a disk in a folder of ours (they bear the name too) or a name of ours."""
    for domain in connection.listAllDomains():
        if prefix in _xml(domain):
            if domain.isActive():
                domain.destroy()
            domain.undefineFlags(_UNDEFINE)


def _xml(domain: libvirt.virDomain) -> str:
    """Return a domain's XML; nothing when it belonged to a suite beside this one and is gone by now."""
    with contextlib.suppress(libvirt.libvirtError):
        return str(domain.XMLDesc())
    return ""


def _pool_xml(name: str, folder: Path) -> str:
    pool = ET.Element("pool", type="dir")
    ET.SubElement(pool, "name").text = name
    ET.SubElement(ET.SubElement(pool, "target"), "path").text = str(folder)
    return ET.tostring(pool, encoding="unicode")


def _volume_xml(name: str, image_format: str, capacity: int = CAPACITY) -> str:
    volume = ET.Element("volume")
    ET.SubElement(volume, "name").text = name
    ET.SubElement(volume, "capacity", unit="bytes").text = str(capacity)
    ET.SubElement(volume, "allocation", unit="bytes").text = "0"
    target = ET.SubElement(volume, "target")
    ET.SubElement(target, "format", type=image_format)
    if image_format == "qcow2":
        ET.SubElement(target, "compat").text = "1.1"
    return ET.tostring(volume, encoding="unicode")


def _domain_xml(name: str, uuid: str, disk: str, image_format: str) -> str:
    """Return a VM without an operating system: it can be switched on, and its firmware finds nothing to boot."""
    domain = ET.Element("domain", type="qemu")
    ET.SubElement(domain, "name").text = name
    if uuid:
        ET.SubElement(domain, "uuid").text = uuid
    ET.SubElement(domain, "memory", unit="MiB").text = "32"
    ET.SubElement(ET.SubElement(domain, "os"), "type", arch="x86_64", machine="q35").text = "hvm"
    devices = ET.SubElement(domain, "devices")
    ET.SubElement(devices, "interface", type="user")
    if disk:
        entry = ET.SubElement(devices, "disk", type="file", device="disk")
        ET.SubElement(entry, "driver", name="qemu", type=image_format)
        ET.SubElement(entry, "source", file=disk)
        ET.SubElement(entry, "target", dev="vda", bus="virtio")
    return ET.tostring(domain, encoding="unicode")
