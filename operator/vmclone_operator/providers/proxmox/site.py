"""One cluster as a session knows it: where VMs are, what they carry, which ids are free.

A VMID is a place, never an identity: strangers take it, and it is given again after a delete. So every verb looks at
the config that stands there now, and at the mark in it.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from vmclone_operator.domain.errors import CapabilityMissing
from vmclone_operator.providers.proxmox import answers, marks, translate
from vmclone_operator.providers.proxmox import config as configs
from vmclone_operator.providers.proxmox.answers import Row
from vmclone_operator.providers.proxmox.config import Config
from vmclone_operator.providers.proxmox.handles import Handle
from vmclone_operator.providers.proxmox.marks import Mark
from vmclone_operator.providers.proxmox.pve import Pve
from vmclone_operator.providers.proxmox.translate import Kind, Refused

GUEST_SECONDS = 2.0
"""How long a look at a VM is good enough to talk to its guest: a stranger can not take the id and boot in that time."""
_HEAD_LINES = 5
"""Where the line of a clone task's log is that names both VMs."""
_LIST_SECONDS = 1.0
"""How long a list is good enough to choose a free id by: who was faster is told by the server anyhow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where clones go, as the CloneBackend says."""

    first_vmid: int = 9100
    last_vmid: int = 9999
    nodes: tuple[str, ...] = ()
    """Where sources may be; empty: on every node."""
    storage: str = ""
    """Where frozen points, full copies go; empty: where the source's disks are."""
    seed_storage: str = ""
    """Where seeds go as ISO images; empty: the first storage that takes them."""
    pool: str = ""
    """The resource pool that our VMs are put into."""
    bridge: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One VM as it was a moment ago."""

    vmid: int
    node: str
    config: Config
    mark: Mark | None = field(default=None)

    @property
    def name(self) -> str:
        """Its name, for messages."""
        return translate.plain(str(self.config.get("name", f"VM {self.vmid}")))

    @property
    def lock(self) -> str:
        """The lock in its config."""
        return str(self.config.get("lock", ""))

    @property
    def template(self) -> bool:
        """Whether it is a template."""
        return answers.flag(self.config.get("template"))

    @property
    def unnamed(self) -> bool:
        """A copy that has yet to say whose it is: its first disk is not there."""
        return self.lock == "clone" and self.mark is None and "description" not in self.config

    @property
    def digest(self) -> str:
        """What a change of this config must name."""
        return str(self.config.get("digest", ""))


class Site:
    """Looks VMs up; remembers only where they were last."""

    def __init__(self, pve: Pve, place: Place, now: Callable[[], float] = time.monotonic) -> None:
        self.pve, self.place, self._now = pve, place, now
        self._nodes: dict[int, str] = {}
        self._claimed: set[int] = set()
        self._looked: dict[int, tuple[float, Seen]] = {}
        self._listed: tuple[float, Sequence[Row]] = (-_LIST_SECONDS, ())

    async def rows(self) -> Sequence[Row]:
        """Return every guest of the cluster that the token may see."""
        at = self._now()
        found = await self.pve.guests()
        self._listed = (at, found)
        self._nodes.update({int(row["vmid"]): str(row["node"]) for row in found if row.get("type") == "qemu"})
        return found

    async def tagged(self, tag: str, also: Callable[[Row], bool] | None = None) -> list[Row]:
        """Return the VMs that carry a tag, or that look like it; whether they are ours, only their marks say."""
        rows = [row for row in await self.rows() if row.get("type") == "qemu"]
        return [row for row in rows if tag in configs.tags(row) or (also and also(row))]

    async def look(self, vmid: int, node: str = "") -> Seen | None:
        """Return the VM of an id, wherever it is now; None when there is none."""
        first = self._nodes.get(vmid) or node
        if first:
            seen = await self._on(first, vmid)
            if seen is not None:
                return seen
        rows = await self.rows()
        now = next((str(row["node"]) for row in rows if int(row["vmid"]) == vmid and row.get("type") == "qemu"), "")
        if not now:
            self._nodes.pop(vmid, None)
            return None
        return await self._on(now, vmid)

    async def _on(self, node: str, vmid: int) -> Seen | None:
        at = self._now()
        self._looked.pop(vmid, None)
        try:
            config = await self.pve.config(node, vmid)
        except Refused as refused:
            if refused.kind is Kind.NO_VM or (refused.kind is Kind.FORBIDDEN and self._hidden(vmid)):
                return None
            raise
        self._nodes[vmid] = node
        seen = Seen(vmid=vmid, node=node, config=config, mark=marks.read(config, vmid))
        self._looked[vmid] = (at, seen)
        return seen

    def just_seen(self, vmid: int) -> Seen | None:
        """Return the VM of an id if it was looked at a moment ago: enough for its guest, never for a change of it."""
        at, seen = self._looked.get(vmid, (-GUEST_SECONDS, None))
        return seen if self._now() - at < GUEST_SECONDS else None

    def _hidden(self, vmid: int) -> bool:
        """Tell whether an id of ours may be read only once its VM is in our pool: a copy gets there at its end."""
        return bool(self.place.pool) and self.place.first_vmid <= vmid <= self.place.last_vmid

    async def choose(self, seed: str, *, beside: Collection[int] = ()) -> int:
        """Return an id of our range that nobody has and that no call of this session chose; nothing is written.

        Two operators may choose the same one: the server lets one of them have it, and the other chooses again.
        """
        first, last = self.place.first_vmid, self.place.last_vmid
        at, rows = self._listed
        if self._now() - at >= _LIST_SECONDS:
            rows = await self.rows()
        taken = {int(row["vmid"]) for row in rows} | self._claimed | set(beside)
        size = last - first + 1
        begin = zlib.crc32(seed.encode()) % size
        in_turn = (first + (begin + step) % size for step in range(size))
        free = next((vmid for vmid in in_turn if vmid not in taken), 0)
        if not free:
            raise CapabilityMissing(
                f"no VMID is left in {first} to {last}: make vmIDRange of the CloneBackend larger, or remove VMs there"
            )
        self._claimed.add(free)
        return free

    def forget(self, vmid: int) -> None:
        """Let an id be chosen again."""
        self._claimed.discard(vmid)
        self._nodes.pop(vmid, None)

    async def own_task(self, source: Handle, newid: int, *, looks: int = 10) -> Row | None:
        """Return our clone task that made an id from a source: the first line of its log names both."""
        for row in (await self.pve.tasks(source.node, kind="qmclone", vmid=source.vmid))[:looks]:
            log = await self.pve.task_log_from(str(row["upid"]), 0, _HEAD_LINES)
            if any(translate.clone_named(line) == (source.vmid, newid) for line in log):
                return row
        return None

    async def active_task(self, node: str, newid: int) -> str:
        """Return our clone task that makes an id right now, whatever its source; empty when none does."""
        for row in await self.pve.active_clones(node):
            log = await self.pve.task_log_from(str(row["upid"]), 0, _HEAD_LINES)
            named = map(translate.clone_named, log)
            if any(one is not None and one[1] == newid for one in named):
                return str(row["upid"])
        return ""

    async def left_locked(self, seen: Seen) -> bool:
        """Tell whether a copy whose task is over is locked still; asked after the task was, never before."""
        fresh = await self.look(seen.vmid, seen.node)
        return fresh is not None and fresh.lock == "clone"

    async def is_running(self, seen: Seen) -> bool:
        """Return whether a VM runs now; a paused one does."""
        return (await self.pve.current(seen.node, seen.vmid)).get("status") == "running"

    def uuid_of(self, seen: Seen) -> str:
        """Return the VM's SMBIOS UUID."""
        return configs.system_uuid(seen.config)
