"""Our files on a libvirt host that no VM uses. Looked for by name first: only what has no living owner costs more."""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING

import libvirt

from vmclone_operator.domain import naming
from vmclone_operator.domain.leftovers import (
    Leftover,
    LeftoverKind,
    as_in_names,
    belongs_to,
    frozen_leftover,
    volume_leftover,
)
from vmclone_operator.providers.libvirt import domain_xml, freeze, translate, volumes
from vmclone_operator.providers.libvirt.frozen_names import parse_name

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_PREFIX = "vmclone-"


def find(connection: libvirt.virConnect, pool: str, instance: str, living: Collection[str]) -> Sequence[Leftover]:
    """Return the volumes of clones, in any pool, and the frozen points of this pool, that nobody has or uses."""
    volumes.open_pool(connection, pool)
    alive = as_in_names(living)
    found: defaultdict[Leftover, set[str]] = defaultdict(set)
    for holder, names in volumes.names_everywhere(connection, _PREFIX):
        for name in names:
            leftover = _leftover(instance, name, own=holder.name() == pool)
            if leftover is not None and not belongs_to(leftover, alive):
                found[leftover].add(_path(holder, name))
    if not found:
        return ()
    used = _used(connection)
    unused = [leftover for leftover, paths in found.items() if not paths & used and not _has_vm(connection, leftover)]
    return sorted(unused, key=lambda leftover: leftover.name)


def _leftover(instance: str, name: str, *, own: bool) -> Leftover | None:
    volume = volume_leftover(instance, name)
    frozen = parse_name(name) if own and volume is None else None
    return volume if frozen is None else frozen_leftover(instance, name, frozen.token)


def _path(pool: libvirt.virStoragePool, name: str) -> str:
    volume = volumes.find_volume(pool, name)
    return "" if volume is None else str(volume.path())


def _has_vm(connection: libvirt.virConnect, leftover: Leftover) -> bool:
    """Return whether a VM has the UUID of a clone whose files these are, whatever it carries."""
    if leftover.kind is not LeftoverKind.VOLUME:
        return False
    uuid = naming.clone_uuid(leftover.owner.incarnation)
    found = translate.found(lambda: connection.lookupByUUIDString(uuid), libvirt.VIR_ERR_NO_DOMAIN)
    return found is not None


def _used(connection: libvirt.virConnect) -> set[str]:
    """Return every file that a VM has attached or is backed up into, and every file below another one."""
    used: set[str] = set()
    for domain in connection.listAllDomains():
        text = translate.found(domain.XMLDesc, libvirt.VIR_ERR_NO_DOMAIN)
        if text is not None:
            used |= domain_xml.file_paths(domain_xml.parsed(text)) | (freeze.running_backup(domain) or frozenset())
    for pool in volumes.directory_pools(connection):
        used |= _below(pool)
    return used


def _below(pool: libvirt.virStoragePool) -> set[str]:
    """Return the backing files of a pool's volumes. Fails where one cannot be read: it may be what uses a base."""
    infos = (
        translate.found(partial(volumes.describe, one), libvirt.VIR_ERR_NO_STORAGE_VOL) for one in pool.listAllVolumes()
    )
    return {info.backing for info in infos if info is not None and info.backing}
