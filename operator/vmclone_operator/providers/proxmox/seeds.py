"""The NoCloud seed of a clone: an ISO image on a storage, known by its name.

A seed is made anew from the intent at each call. What a session has not uploaded itself it uploads again, for images of
the same size may differ. The name has installation and incarnation; nobody else's file is ever touched.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from vmclone_operator.domain.backend import CloneIntent, Mode, Seed, Stamp
from vmclone_operator.domain.errors import CapabilityMissing
from vmclone_operator.providers.proxmox import answers, marks, translate
from vmclone_operator.providers.proxmox.answers import Row
from vmclone_operator.providers.proxmox.site import Site

_REMEMBER_SECONDS = 30.0
MakeImage = Callable[[Seed, Mode], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Put:
    """Where a seed is, and whether it is whole there."""

    volume: str
    there: bool


class Seeds:
    """The seeds of one session."""

    def __init__(self, site: Site, make: MakeImage, now: Callable[[], float] = time.monotonic) -> None:
        self._site, self._make, self._now = site, make, now
        self._chosen: dict[str, tuple[float, str]] = {}
        """The storage that takes seeds on a node, and when that was so."""
        self._tasks: dict[str, str] = {}
        self._sent: dict[str, bytes] = {}
        """What this session has uploaded: a digest of what each is made from, for no two images have the same bytes."""

    async def begin(self, intent: CloneIntent, node: str) -> None:
        """Begin to upload a clone's seed, for it to be there once the clone is."""
        volume = await self._volume(intent.stamp, node)
        if self._sent.get(volume) != _what(intent):
            await self._upload(intent, node, volume)

    async def put(self, intent: CloneIntent, node: str) -> Put:
        """Upload a clone's seed unless this session did; the upload is a task, so a later call finds it."""
        volume = await self._volume(intent.stamp, node)
        if self._sent.get(volume) == _what(intent):
            if await self._runs(volume):
                return Put(volume=volume, there=False)
            if any(row.get("volid") == volume for row in await self._site.pve.isos(node, volume.partition(":")[0])):
                return Put(volume=volume, there=True)
        await self._upload(intent, node, volume)
        return Put(volume=volume, there=False)

    async def _volume(self, stamp: Stamp, node: str) -> str:
        return f"{await self._storage(node)}:iso/{marks.seed_name(stamp.incarnation, stamp.instance)}"

    async def _upload(self, intent: CloneIntent, node: str, volume: str) -> None:
        storage, _, name = volume.partition(":iso/")
        content = self._make(intent.seed, intent.mode)
        self._tasks[volume] = await self._site.pve.upload_iso(node, storage, name, content)
        self._sent[volume] = _what(intent)

    async def _runs(self, volume: str) -> bool:
        upid = self._tasks.get(volume)
        state = await self._site.pve.task(upid) if upid else None
        if state is not None and state.running:
            return True
        self._tasks.pop(volume, None)
        if state is not None and not state.good:
            self._sent.pop(volume, None)
            raise translate.task_error("uploading a seed", state.exit_status)
        return False

    async def _storage(self, node: str) -> str:
        """Return where seeds go on a node."""
        wanted, (at, found) = self._site.place.seed_storage, self._chosen.get(node, (-_REMEMBER_SECONDS, ""))
        if self._now() - at < _REMEMBER_SECONDS:
            return found
        found = seed_storage(await self._site.pve.storages(node), wanted)
        if not found:
            which = f"storage {wanted} does not take" if wanted else "no storage takes"
            raise CapabilityMissing(
                f"on node {node} {which} ISO images, which seeds are: name another seedStorage in the CloneBackend, or"
                " allow them there (pvesm set STORAGE --content ...,iso)"
            )
        self._chosen[node] = (self._now(), found)
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


def _what(intent: CloneIntent) -> bytes:
    """Return what tells one seed from another: two images of one seed differ in their times."""
    told = json.dumps([intent.mode, asdict(intent.seed)], sort_keys=True, default=str)
    return hashlib.sha256(told.encode()).digest()


def takes_isos(row: Row) -> bool:
    """Tell whether a storage is there and holds ISO images."""
    return answers.flag(row.get("active")) and "iso" in str(row.get("content", "")).split(",")


def seed_storage(rows: Sequence[Row], wanted: str) -> str:
    """Return the storage that takes seeds: the one that is named, or the first by name; empty when none does."""
    return min((str(row["storage"]) for row in rows if takes_isos(row) and wanted in {"", row["storage"]}), default="")
