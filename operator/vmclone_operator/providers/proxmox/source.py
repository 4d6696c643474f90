"""Sources and templates: found by name or number, described, and compared when they change."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Sequence

from vmclone_operator.domain.backend import DiskInfo, ImageInfo, Power, Shape, SourceInfo
from vmclone_operator.domain.errors import AgentNotReady, GuestAgentMissing, ImageNotFound, SourceNotFound
from vmclone_operator.providers.proxmox import answers, translate
from vmclone_operator.providers.proxmox import config as configs
from vmclone_operator.providers.proxmox.answers import Row
from vmclone_operator.providers.proxmox.guest import Guests
from vmclone_operator.providers.proxmox.site import Seen, Site
from vmclone_operator.providers.proxmox.translate import Kind, Refused

REMEMBER_SECONDS = 30.0
"""How long sizes and a guest's addresses are taken as they were: each asks a storage, or a guest for three seconds."""
_NAMED = re.compile(r"(?:(?P<node>[A-Za-z0-9][A-Za-z0-9.-]*)/)?(?P<vmid>[1-9]\d{2,8})")


class Sources:
    """VMs that may be cloned."""

    def __init__(self, site: Site, guests: Guests, now: Callable[[], float] = time.monotonic) -> None:
        self._site, self._guests, self._now = site, guests, now
        self._sizes: dict[int, tuple[float, dict[str, int]]] = {}
        self._told: dict[int, tuple[float, bool, tuple[str, ...]]] = {}

    async def find(self, name: str) -> Seen:
        """Return the VM of a name, of `vmid` or of `node/vmid`; raises SourceNotFound, also when two match."""
        rows = [row for row in await self._site.rows() if row.get("type") == "qemu" and self._may_be_on(row)]
        named = [row for row in rows if row.get("name") == name]
        if len(named) > 1:
            where = ", ".join(f"{row['node']}/{row['vmid']}" for row in named)
            raise SourceNotFound(f"{len(named)} VMs are named {name}: {where}; name one of these instead")
        found = _NAMED.fullmatch(name)
        if not named and found:
            named = [row for row in rows if str(row["vmid"]) == found["vmid"]]
            other = named and found["node"] and named[0]["node"] != found["node"]
            if other:
                raise SourceNotFound(f"VM {found['vmid']} is on node {named[0]['node']} now, not on {found['node']}")
        seen = await self._site.look(int(named[0]["vmid"]), str(named[0]["node"])) if named else None
        if seen is None:
            raise SourceNotFound(f"there is no VM {name} that the token may see: it needs VM.Audit on /vms/VMID")
        return seen

    def _may_be_on(self, row: Row) -> bool:
        return not self._site.place.nodes or row.get("node") in self._site.place.nodes

    async def by_id(self, source_id: str) -> Seen:
        """Return a source by the id that `describe` gave."""
        number = answers.digits(source_id)
        seen = await self._site.look(number) if number else None
        if seen is None:
            raise SourceNotFound(f"there is no VM {source_id} (any more)")
        return seen

    async def describe(self, name: str) -> SourceInfo:
        """Return a VM as it is now."""
        seen = await self.find(name)
        power = Power.ON if not seen.template and await self._site.is_running(seen) else Power.OFF
        agent, addresses = await self._told_by_guest(seen) if power is Power.ON else (False, ())
        return SourceInfo(
            source_id=str(seen.vmid),
            name=str(seen.config.get("name", f"VM {seen.vmid}")),
            power=power,
            agent=agent,
            disks=await self._disk_infos(seen),
            macs=tuple(one.mac.lower() for one in configs.cards(seen.config)),
            fingerprint=fingerprint(seen),
            addresses=addresses,
            shape=shape(seen),
        )

    async def image(self, name: str) -> ImageInfo:
        """Return a template that mode Clean may start from; raises ImageNotFound."""
        seen = await self.image_vm(name)
        infos = await self._disk_infos(seen)
        return ImageInfo(
            name=name,
            fingerprint=fingerprint(seen),
            capacity_bytes=sum(one.capacity_bytes for one in infos),
            allocated_bytes=sum(one.allocated_bytes for one in infos),
        )

    async def image_vm(self, name: str) -> Seen:
        """Return the VM of a golden image."""
        try:
            seen = await self.find(name)
        except SourceNotFound as error:
            raise ImageNotFound(str(error)) from error
        if not seen.template:
            raise ImageNotFound(f"VM {seen.vmid} ({seen.name}) is no template: qm template {seen.vmid} makes it one")
        return seen

    async def _told_by_guest(self, seen: Seen) -> tuple[bool, tuple[str, ...]]:
        """Return whether the agent answers, and the guest's addresses; not asked again for half a minute."""
        if not configs.agent_configured(seen.config):
            return False, ()
        at, agent, addresses = self._told.get(seen.vmid, (-REMEMBER_SECONDS, False, ()))
        if self._now() - at < REMEMBER_SECONDS and agent:
            return agent, addresses
        try:
            agent, addresses = True, tuple(await self._guests.addresses(seen))
        except (AgentNotReady, GuestAgentMissing):
            agent, addresses = False, ()
        except Refused as refused:
            if refused.kind is not Kind.FORBIDDEN:
                raise
            agent, addresses = False, ()  # who may not ask the guest is told so by `check`
        self._told[seen.vmid] = (self._now(), agent, addresses)
        return agent, addresses

    async def _disk_infos(self, seen: Seen) -> tuple[DiskInfo, ...]:
        sizes = await self.sizes(seen)
        infos = [
            DiskInfo(target=one.key, capacity_bytes=one.bytes, allocated_bytes=sizes.get(one.volume, one.bytes))
            for one in configs.disks(seen.config)
        ]
        shared = [one for one in configs.drives(seen.config) if not one.disk]
        infos += [DiskInfo(target=one.key, capacity_bytes=0, allocated_bytes=0, shared=True) for one in shared]
        return tuple(infos)

    async def sizes(self, seen: Seen) -> dict[str, int]:
        """Return what each volume takes on its storage: what is used where that is told, else its size."""
        at, sizes = self._sizes.get(seen.vmid, (-REMEMBER_SECONDS, {}))
        if self._now() - at < REMEMBER_SECONDS:
            return sizes
        rows: list[Row] = []
        for storage in sorted({one.storage for one in configs.disks(seen.config) if not one.device}):
            try:
                rows += await self._site.pve.images(seen.node, storage, seen.vmid)
            except Refused as refused:
                if refused.kind not in {Kind.FORBIDDEN, Kind.STORAGE}:
                    raise
        sizes = {str(row["volid"]): answers.number(row.get("used")) or answers.number(row.get("size")) for row in rows}
        self._sizes[seen.vmid] = (self._now(), sizes)
        return sizes


def is_called(seen: Seen, name: str) -> bool:
    """Tell whether `find` may mean this VM by a name: its own, `vmid`, or `node/vmid` wherever it is now."""
    number = _NAMED.fullmatch(name)
    return seen.config.get("name") == name or (number is not None and number["vmid"] == str(seen.vmid))


def shape(seen: Seen) -> Shape:
    """Return what a VM has beside its disks."""
    networks = tuple(one.network for one in configs.cards(seen.config))
    return Shape(cpus=configs.cpus(seen.config), memory_bytes=configs.memory_bytes(seen.config), networks=networks)


def fingerprint(seen: Seen) -> str:
    """Return what makes this VM this VM: its id, its SMBIOS UUID, its disks and their sizes. Not its data."""
    disks = [[one.key, one.volume, one.options.get("size", "")] for one in configs.disks(seen.config)]
    text = json.dumps([seen.vmid, configs.system_uuid(seen.config), disks])
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def boot_problems(seen: Seen) -> Sequence[str]:
    """Say which devices the VM boots from are not there, with the way to mend it."""
    order = configs.boot_order(seen.config)
    held = {one.key for one in configs.disks(seen.config)}
    gone = [key for key in order if key not in seen.config]
    named = translate.plain(", ".join(gone))
    vmid = seen.vmid
    if gone:
        told = (
            f"missing boot disk - the VM may be corrupted: {named} is in the boot order of VM {vmid} and not in its"
            f" config; look at the storage (qm rescan --vmid {vmid}), attach the disk again, or correct the order:"
            f" qm set {vmid} --boot order=DISK"
        )
        return [told]
    bootable = [key for key in order if key in held or key.startswith("net")]
    if order and not bootable:
        return [f"VM {vmid} boots from no disk of its own ({', '.join(order)}): qm set {vmid} --boot order=DISK"]
    return []
