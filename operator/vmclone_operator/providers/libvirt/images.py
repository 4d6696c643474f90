"""Golden images: volumes of an admin that mode Clean starts from; read and copied, never written or attached."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import libvirt

from vmclone_operator.domain.backend import ImageInfo
from vmclone_operator.domain.errors import ImageNotFound, RetryLater, SourceChanged
from vmclone_operator.providers.libvirt import chain, disk_reading, domain_xml, host_files, translate, volumes

if TYPE_CHECKING:
    from vmclone_operator.domain.backend import Fence
    from vmclone_operator.providers.libvirt.powered_off import Copy
    from vmclone_operator.providers.libvirt.volumes import VolumeInfo

_OURS = "vmclone-"
_FORMATS = ("qcow2", "raw")


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A golden image as a volume."""

    volume: libvirt.virStorageVol
    info: VolumeInfo

    @property
    def fingerprint(self) -> str:
        """What changes when the image is replaced or written; not its allocation, which moves by itself."""
        document = json.dumps([self.info.path, self.info.capacity, self.info.modified])
        return f"sha256:{hashlib.sha256(document.encode()).hexdigest()}"


def find(connection: libvirt.virConnect, pool_name: str, name: str) -> Image:
    """Return the image of this name; raises ImageNotFound when there is none that may be cloned."""
    pool = volumes.open_pool(connection, pool_name)
    image = _known(pool, name)
    if image is None:
        volumes.refresh(pool)  # an admin may have put the file there by hand
        image = _known(pool, name)
    shown = translate.plain(name)
    if image is None or name.startswith(_OURS):
        raise ImageNotFound(f"there is no image {shown} in the storage pool {pool_name}: put the volume there")
    problem = _problem(connection, image) or _writer_problem(connection, pool_name, name, image.info.path)
    if problem:
        raise ImageNotFound(f"the image {shown} in the storage pool {pool_name} cannot be cloned: {problem}")
    return image


def _known(pool: libvirt.virStoragePool, name: str) -> Image | None:
    volume = volumes.find_volume(pool, name)
    info = None if volume is None else translate.found(lambda: volumes.describe(volume), libvirt.VIR_ERR_NO_STORAGE_VOL)
    return None if info is None else Image(volume=volume, info=info)


def _problem(connection: libvirt.virConnect, image: Image) -> str:
    if image.info.format not in _FORMATS:
        return f"its format is {image.info.format or 'unknown'}: convert it to qcow2"
    if image.info.backing:
        return f"it needs the backing file {translate.plain(image.info.backing)}: flatten it with qemu-img convert"
    if image.info.format == "raw":
        return ""
    header = chain.parse_header(host_files.download(connection, image.volume, chain.HEAD_BYTES))
    if header is None or header.encrypted or header.data_file:
        return "it is damaged, encrypted, or keeps its data in another file: make a plain qcow2 of it"
    return ""


def _writer_problem(connection: libvirt.virConnect, pool_name: str, name: str, path: str) -> str:
    """Return which running VM may be writing the image, in words."""
    for domain in connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
        text = translate.found(domain.XMLDesc, libvirt.VIR_ERR_NO_DOMAIN)
        for disk in domain_xml.disks(domain_xml.parsed(text)) if text else ():
            if not disk.read_only and (disk.path == path or disk.volume == (pool_name, name)):
                return f"the running VM {translate.plain(domain.name())} can write to it: stop it, or use a copy"
    return ""


def describe(connection: libvirt.virConnect, pool_name: str, name: str) -> ImageInfo:
    """Describe a golden image as it is now."""
    image = find(connection, pool_name, name)
    return ImageInfo(
        name=name,
        fingerprint=image.fingerprint,
        capacity_bytes=image.info.capacity,
        allocated_bytes=disk_reading.image_bytes(connection, image.volume),
    )


def copy_image(connection: libvirt.virConnect, copy: Copy, target: str, pool_name: str, fence: Fence) -> None:
    """Copy a golden image within the pool, under the name `target`; blocks until it is done.

    The image is looked at before and after: what was written meanwhile is no point in time.
    """
    image = find(connection, pool_name, copy.intent.image)
    pool = volumes.open_pool(connection, pool_name)
    if copy.cancelled.is_set():
        raise RetryLater("the copy was given up")
    if image.fingerprint != copy.fingerprint:
        raise _changed(copy)
    fence()
    try:
        pool.createXMLFrom(volumes.volume_xml(target, image.info.capacity), image.volume, 0)
    except libvirt.libvirtError as error:
        if not translate.is_connection_loss(error):
            _require_same(connection, pool_name, copy)  # a file that is written or gone cannot be copied either
        raise
    _require_same(connection, pool_name, copy)


def _require_same(connection: libvirt.virConnect, pool_name: str, copy: Copy) -> None:
    try:
        fingerprint = find(connection, pool_name, copy.intent.image).fingerprint
    except ImageNotFound as error:
        raise _changed(copy) from error
    if fingerprint != copy.fingerprint:
        raise _changed(copy)


def _changed(copy: Copy) -> SourceChanged:
    return SourceChanged(
        f"the image {translate.plain(copy.intent.image)} was changed while it was copied: freeze it again"
    )
