"""The NoCloud seed of a clone: an ISO image on a storage, known by its name, whole by its size.

A seed is made anew from the intent at each call, so its bytes say whether what lies there is this clone's. The name has
installation and incarnation; nobody else's file is ever touched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vmclone_operator.domain.backend import CloneIntent, Mode, Seed, Stamp
from vmclone_operator.domain.errors import CapabilityMissing
from vmclone_operator.providers.proxmox import marks, translate
from vmclone_operator.providers.proxmox.pve import Row
from vmclone_operator.providers.proxmox.site import Seen, Site

MakeImage = Callable[[Seed, Mode], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Put:
    """Where a seed is, and whether it is whole there."""

    volume: str
    there: bool


class Seeds:
    """The seeds of one session."""

    def __init__(self, site: Site, make: MakeImage) -> None:
        self._site, self._make = site, make
        self._tasks: dict[str, str] = {}

    async def put(self, intent: CloneIntent, seen: Seen) -> Put:
        """Upload a clone's seed unless it is there; the upload is a task, so the next call finds it."""
        storage = await self._storage(seen.node)
        name = marks.seed_name(intent.stamp.incarnation, intent.stamp.instance)
        volume, content = f"{storage}:iso/{name}", self._make(intent.seed, intent.mode)
        held = [row for row in await self._site.pve.isos(seen.node, storage) if row.get("volid") == volume]
        if held and int(held[0].get("size", 0)) == len(content) and not await self._runs(volume):
            return Put(volume=volume, there=True)
        if not await self._runs(volume):
            self._tasks[volume] = await self._site.pve.upload_iso(seen.node, storage, name, content)
        return Put(volume=volume, there=False)

    async def _runs(self, volume: str) -> bool:
        upid = self._tasks.get(volume)
        state = await self._site.pve.task(upid) if upid else None
        if state is not None and state.running:
            return True
        self._tasks.pop(volume, None)
        if state is not None and not state.good:
            raise translate.task_error("uploading a seed", state.exit_status)
        return False

    async def _storage(self, node: str) -> str:
        """Return where seeds go on a node."""
        wanted = self._site.place.seed_storage
        found = seed_storage(await self._site.pve.storages(node), wanted)
        if not found:
            which = f"storage {wanted} does not take" if wanted else "no storage takes"
            raise CapabilityMissing(
                f"on node {node} {which} ISO images, which seeds are: name another seedStorage in the CloneBackend, or"
                " allow them there (pvesm set STORAGE --content ...,iso)"
            )
        return found

    async def remove(self, stamp: Stamp, node: str) -> bool:
        """Remove a clone's seed from wherever it is; return whether it is gone. The VM is gone by then."""
        name = marks.seed_name(stamp.incarnation, stamp.instance)
        found = [volume for volume, where in await self.all(node) if volume.endswith(f":iso/{name}")]
        for volume in found:
            await self._site.pve.free(await self._node(node), volume)
        return not found

    async def all(self, node: str = "") -> Sequence[tuple[str, str]]:
        """Return every seed that bears our form of name, with its storage."""
        where = await self._node(node)
        found: list[tuple[str, str]] = []
        for row in await self._site.pve.storages(where):
            if takes_isos(row):
                storage = str(row["storage"])
                held = await self._site.pve.isos(where, storage)
                found += [(str(one["volid"]), storage) for one in held if ":iso/vmclone-" in str(one["volid"])]
        return found

    async def _node(self, node: str) -> str:
        """Return the node, or any that has VMs: seeds lie on storages that it can see."""
        if node:
            return node
        rows = await self._site.rows()
        return next((str(row["node"]) for row in rows), "")


def takes_isos(row: Row) -> bool:
    """Tell whether a storage is there and holds ISO images."""
    return bool(row.get("active")) and "iso" in str(row.get("content", "")).split(",")


def seed_storage(rows: Sequence[Row], wanted: str) -> str:
    """Return the storage that takes seeds: the one that is named, or the first by name; empty when none does."""
    return min((str(row["storage"]) for row in rows if takes_isos(row) and wanted in {"", row["storage"]}), default="")
