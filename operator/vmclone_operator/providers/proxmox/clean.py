"""Mode Clean: what a clone of an administrator's template has of its source: CPUs, memory, cards, and room on its disk.

    template golden-image: 2 cores, 2 GiB disk, net0 on vmbr0     source dev: 8 cores, 64 GiB disk, net0 on vmbr1
    its clone for dev:     8 cores, 64 GiB disk, net0 on vmbr1, a MAC of its own

A source that is gone by then, or on another cluster, costs nothing but that: the clone is as the template is. A VMID is
given again, and every cluster has its own VM 100: only a VM that is still called as the CloneSource says is the source.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from vmclone_operator.domain.backend import CloneIntent, Mode, Progress, Shape
from vmclone_operator.domain.errors import SourceNotFound
from vmclone_operator.providers.proxmox import config as configs
from vmclone_operator.providers.proxmox import translate
from vmclone_operator.providers.proxmox.config import Card, Config, Drive
from vmclone_operator.providers.proxmox.copying import running
from vmclone_operator.providers.proxmox.handles import Handle
from vmclone_operator.providers.proxmox.site import Seen, Site
from vmclone_operator.providers.proxmox.source import Sources, is_called
from vmclone_operator.providers.proxmox.translate import Kind, Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Likeness:
    """What is taken from the source."""

    shape: Shape
    cards: tuple[Card, ...]
    disk_bytes: int


def likeness(source: Config, wish: Shape) -> Likeness:
    """Return what a clone has of its source where nothing else is asked for."""
    shape = replace(
        wish,
        cpus=wish.cpus or configs.cpus(source),
        memory_bytes=wish.memory_bytes or configs.memory_bytes(source),
    )
    disk = system_disk(source)
    return Likeness(shape=shape, cards=configs.cards(source), disk_bytes=disk.bytes if disk is not None else 0)


def system_disk(config: Config) -> Drive | None:
    """Return the disk that a VM boots from: the first of its boot order, else its first; firmware's are none."""
    held = {one.key: one for one in configs.disks(config) if one.key not in {"efidisk0", "tpmstate0"}}
    ordered = [held[key] for key in configs.boot_order(config) if key in held]
    return next(iter([*ordered, *held.values()]), None)


@dataclass(slots=True)
class Clean:
    """Clean clones of one session."""

    site: Site
    sources: Sources
    _growing: dict[int, str] = field(default_factory=dict)

    async def likeness(self, intent: CloneIntent) -> Likeness | None:
        """Return what is taken from the source; None in mode Disk, and where the source is gone or elsewhere."""
        if intent.mode is not Mode.CLEAN or not intent.source_name:
            return None
        try:
            source = await self.sources.by_id(intent.source_id)
        except SourceNotFound:
            return None
        except Refused as refused:
            if refused.kind is not Kind.FORBIDDEN:
                raise
            return None  # so is a VM answered that is gone, where the token has no right on its id
        return likeness(source.config, intent.shape) if is_called(source, intent.source_name) else None

    async def grow(self, like: Likeness | None, seen: Seen, handle: Handle) -> Progress | None:
        """Take the system disk one step on to its source's size; None when it has that. A disk is never made smaller.

        Raises what the task failed with, once.
        """
        disk = system_disk(seen.config)
        if like is None or disk is None or disk.bytes >= like.disk_bytes:
            return None
        upid = self._growing.pop(seen.vmid, "")
        state = await self.site.pve.task(upid) if upid else None
        if state is not None and not state.running and not state.good:
            raise translate.task_error(f"growing {disk.key} of VM {seen.vmid}", state.exit_status)
        if state is None or not state.running:
            size = -(-like.disk_bytes // 1024)
            asked = {"disk": disk.key, "size": f"{size}K", "digest": seen.digest}
            upid = await self.site.pve.resize(seen.node, seen.vmid, asked)
        self._growing[seen.vmid] = upid
        return running(handle, f"{disk.key} grows to its source's size")
