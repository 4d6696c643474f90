"""Firmware variables of UEFI machines: read from the source, written into a file of the clone's own.

A clone with blank variables may not boot, and one that shares the source's destroys them. The file lies in
no storage pool, so for the moment of reading there is a transient one over its folder. The clone's own
file is a volume beside its disks and is named, found and removed like them.

The variables are those of the moment the clone is made, of a running source too: they belong to no frozen point.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import posixpath
import threading
import xml.etree.ElementTree as ET
from copy import deepcopy
from typing import TYPE_CHECKING

import libvirt

from vmclone_operator.domain import naming
from vmclone_operator.domain.backend import Mode
from vmclone_operator.domain.errors import CloneFailed, RetryLater, SourceUnhealthy
from vmclone_operator.providers.libvirt import domain_xml, host_files, translate, volumes
from vmclone_operator.providers.libvirt import source as sources
from vmclone_operator.providers.libvirt.firmware_xml import Variables, from_command_line, has_uefi

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vmclone_operator.domain.backend import CloneIntent, Fence
    from vmclone_operator.providers.libvirt.source import Source

MAX_BYTES = 64 << 20
"""ARM firmware has 64 MiB of variables; nobody has more."""
READS = 4
POOL_PREFIX = "vmclone-nvram-"
_ABSENT = (libvirt.VIR_ERR_NO_STORAGE_VOL, libvirt.VIR_ERR_NO_STORAGE_POOL)
_BUSY = (libvirt.VIR_ERR_OPERATION_FAILED, libvirt.VIR_ERR_STORAGE_POOL_BUILT)


def of_source(source: Source) -> Variables | None:
    """Return where a source's firmware variables are; None for a machine that has none."""
    running = source.domain.isActive()
    xml = domain_xml.parsed(source.domain.XMLDesc()) if running else source.xml
    path = domain_xml.variables_path(xml)
    if path:
        nvram = xml.find("os/nvram")
        return Variables(path=path, format="raw" if nvram is None else nvram.get("format", "raw"))
    return _asked(source.domain.connect(), source.xml) if has_uefi(xml) else None


def _asked(connection: libvirt.virConnect, domain: ET.Element) -> Variables | None:
    """Ask libvirt where it will look for the variables of a VM whose XML leaves that to it."""
    bare = deepcopy(domain)
    for devices in bare.findall("devices"):
        bare.remove(devices)
    text = connection.domainXMLToNative("qemu-argv", ET.tostring(bare, encoding="unicode"), 0)
    return from_command_line(text)


class VariableFiles:
    """Copies variables for one session; every method blocks and is called in a thread of the session."""

    def __init__(self, fence: Fence) -> None:
        self._fence = fence
        self._lock = threading.Lock()

    def copy(
        self, connection: libvirt.virConnect, pool: libvirt.virStoragePool, intent: CloneIntent
    ) -> Variables | None:
        """Give a clone variables of its own, in a volume beside its disks; None when it needs none of the source's.

        A source that never ran has none yet: its clone gets a name for them, and libvirt makes them blank
        for it at its first start, as it would for the source. In mode Clean libvirt makes them, too.
        """
        if intent.mode is not Mode.DISK:
            return None
        source = sources.read(connection, intent.source_id)
        theirs = of_source(source)
        if theirs is None:
            return None
        content = self.read(source, theirs)
        prefix = naming.volume_prefix(intent.stamp.instance, intent.stamp.incarnation)
        name = f"{prefix}{intent.token}-vars.{theirs.suffix}"
        if content:
            xml = volumes.volume_xml(name, len(content), image_format="raw")
            volumes.upload(connection, volumes.create(pool, xml, self._fence), content, self._fence)
        return Variables(path=posixpath.join(volumes.pool_path(pool), name), format=theirs.format)

    def read(self, source: Source, variables: Variables) -> bytes:
        """Return the content of a source's variables; nothing when it never ran and has none."""
        connection = source.domain.connect()
        try:
            with self._lock, self._at(connection, variables.path) as volume:
                content = b"" if volume is None else _stable(connection, volume)
        except libvirt.libvirtError as error:
            if translate.is_code(error, *_ABSENT):
                raise RetryLater(
                    "the folder of the source's firmware variables was closed while it was read"
                ) from error
            raise
        if not content and (volume is not None or source.domain.isActive()):
            raise SourceUnhealthy(
                f"the source's firmware variables {translate.plain(variables.path)} are missing or empty:"
                " a clone without them may not boot"
            )
        return content

    @contextlib.contextmanager
    def _at(self, connection: libvirt.virConnect, path: str) -> Iterator[libvirt.virStorageVol | None]:
        """Find the file as a volume, in a pool that is there or in one made for the moment."""
        folder, name = posixpath.split(path)
        pool = host_files.pool_over(connection, folder)
        made = self._open(connection, folder) if pool is None else None
        pool = pool or made
        if pool is None:
            yield None
            return
        try:
            volumes.refresh(pool)
            yield translate.found(lambda: pool.storageVolLookupByName(name), libvirt.VIR_ERR_NO_STORAGE_VOL)
        finally:
            if pool.name().startswith(POOL_PREFIX):  # of our own making, perhaps by a process that was killed
                self._fence()
                translate.found(pool.destroy, *_ABSENT)

    def _open(self, connection: libvirt.virConnect, folder: str) -> libvirt.virStoragePool | None:
        """Make a transient pool over a folder, which stays as it is; None when there is no such folder."""
        self._fence()
        try:
            return connection.storagePoolCreateXML(_pool_xml(folder), 0)
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_SYSTEM_ERROR and error.get_int1() == errno.ENOENT:
                return None
            if translate.is_code(error, *_BUSY):
                raise RetryLater("another operator reads the folder of the source's firmware variables") from error
            raise


def _stable(connection: libvirt.virConnect, volume: libvirt.virStorageVol) -> bytes:
    """Read a file that its VM may be writing: what two reads agree on is one state of it."""
    content = host_files.download(connection, volume, MAX_BYTES)
    for _ in range(READS):
        again = host_files.download(connection, volume, MAX_BYTES)
        if again == content:
            return content
        content = again
    raise RetryLater("the source is writing its firmware variables")


def _pool_xml(folder: str) -> str:
    if not folder.startswith("/"):
        raise CloneFailed(f"the firmware variables have no absolute path: {translate.plain(folder)}")
    pool = ET.Element("pool", type="dir")
    ET.SubElement(pool, "name").text = f"{POOL_PREFIX}{hashlib.sha256(folder.encode()).hexdigest()[:12]}"
    ET.SubElement(ET.SubElement(pool, "target"), "path").text = folder
    return ET.tostring(pool, encoding="unicode")
