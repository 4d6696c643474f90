"""Everything that speaks against cloning a source here, found before anything is copied and told all at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vmclone_operator.domain.backend import Finding, PlanWish, SourceInfo
from vmclone_operator.domain.errors import (
    CapabilityMissing,
    CloneError,
    InsufficientSpace,
    NotAuthorized,
    SourceLocked,
)
from vmclone_operator.providers.proxmox import answers, rights, safe, storages, translate
from vmclone_operator.providers.proxmox import config as configs
from vmclone_operator.providers.proxmox.answers import Row
from vmclone_operator.providers.proxmox.seeds import seed_storage
from vmclone_operator.providers.proxmox.site import Seen, Site
from vmclone_operator.providers.proxmox.source import Sources, boot_problems
from vmclone_operator.providers.proxmox.translate import Kind, Refused

MARGIN_PERCENT = 115
PER_CLONE_BYTES = 64 << 20
"""What a fresh linked clone is expected to take until its identity is done."""
_LONGEST_NAME = 63


class Preflight:
    """Looks before anything is done."""

    def __init__(self, site: Site, sources: Sources) -> None:
        self._site, self._sources = site, sources

    async def findings(self, info: SourceInfo, wish: PlanWish) -> Sequence[Finding]:
        """Return every reason why this source cannot be cloned so."""
        try:
            seen = await (self._sources.image_vm(wish.image) if wish.image else self._sources.by_id(info.source_id))
        except CloneError as error:
            return [Finding(reason=error.reason, message=str(error))]
        found = [Finding(message=sentence) for sentence in _of_vm(seen, clean=bool(wish.image))]
        if not seen.template:
            found += await self._of_source(seen, info, wish)
        rows = await self._site.pve.storages(seen.node)
        found += await self._of_storages(seen, wish, rows)
        found += await self._of_ids(seen, wish)
        found += await self._of_rights(seen, wish, rows)
        return [*found, *await self._of_cluster()]

    async def _of_source(self, seen: Seen, info: SourceInfo, wish: PlanWish) -> list[Finding]:
        """Return what speaks against the one full copy of a VM."""
        found = []
        on = await self._site.is_running(seen)
        if seen.lock:
            words = (
                f"the source is locked: {translate.plain(seen.lock)}; wait for that job, or see `qm unlock {seen.vmid}`"
            )
            found.append(Finding(reason=SourceLocked.reason, message=words))
        if on and "tpmstate0" in seen.config:
            found.append(
                Finding(
                    message=f"VM {seen.vmid} has a TPM and runs: Proxmox VE copies a TPM's state of a stopped VM only;"
                    " switch it off, or set spec.source.power to StopForClone"
                )
            )
        if wish.agent and not configs.agent_configured(seen.config):
            found.append(
                Finding(
                    message=f"VM {seen.vmid} has no guest agent: qm set {seen.vmid} --agent 1, and install"
                    " qemu-guest-agent in it"
                )
            )
        elif wish.agent and on and not info.agent:
            found.append(Finding(message="the source's guest agent does not answer: install and start it in the guest"))
        return found

    async def _of_storages(self, seen: Seen, wish: PlanWish, rows: Sequence[Row]) -> list[Finding]:
        """Return what speaks against the storages: each must be there, able, and have room with 15 % to spare."""
        found = []
        needs = await self._needs(seen, wish)
        for storage, needed in sorted(needs.items()):
            if problem := storages.usable(rows, storage):
                found.append(Finding(message=problem))
                continue
            wanted, free = needed * MARGIN_PERCENT // 100, storages.room(rows, storage)
            if wanted > free:
                words = (
                    f"the storage {storage} has {_gib(free)} free, and {_gib(wanted)} are needed, 15 % margin included"
                )
                found.append(Finding(reason=InsufficientSpace.reason, message=words))
        if not wish.full:
            found += [
                Finding(reason=CapabilityMissing.reason, message=sentence)
                for sentence in self._not_linked(seen, wish, rows)
            ]
        if not seed_storage(rows, self._site.place.seed_storage):
            found.append(
                Finding(message=f"no storage of node {seen.node} takes ISO images, which the clones' seeds are")
            )
        return found

    async def _needs(self, seen: Seen, wish: PlanWish) -> dict[str, int]:
        """Return how many bytes go where."""
        sizes = await self._sources.sizes(seen)
        needs: dict[str, int] = {}
        for one in configs.disks(seen.config):
            size = sizes.get(one.volume, one.bytes)
            home = one.storage if seen.template else self._site.place.storage or one.storage
            needs[home] = needs.get(home, 0) + (0 if seen.template else size)
            target = (wish.pool or self._site.place.storage or one.storage) if wish.full else home
            each = size if wish.full else PER_CLONE_BYTES
            needs[target] = needs.get(target, 0) + wish.replicas * each
        return needs

    def _not_linked(self, seen: Seen, wish: PlanWish, rows: Sequence[Row]) -> Iterator[str]:
        own = self._site.place.storage
        held = {one.storage for one in configs.disks(seen.config)}
        homes = {own} if own and not seen.template else held
        for storage in sorted(homes):
            if not storages.links(rows, storage) and not storages.usable(rows, storage):
                yield f"the storage {storage} cannot make linked clones; write disk.copy: Full, or use another storage"
        if wish.pool and homes != {wish.pool}:
            yield (
                f"linked clones lie where their template is ({', '.join(sorted(homes))}), not on {wish.pool}: write"
                " disk.copy: Full, or leave disk.pool out"
            )

    async def _of_ids(self, seen: Seen, wish: PlanWish) -> list[Finding]:
        place = self._site.place
        taken = [row for row in await self._site.rows() if place.first_vmid <= int(row["vmid"]) <= place.last_vmid]
        left = place.last_vmid - place.first_vmid + 1 - len(taken)
        needed = wish.replicas + (0 if seen.template else 1)
        if needed <= left:
            return []
        words = f"{needed} VMIDs are needed, and {left} of {place.first_vmid} to {place.last_vmid} are free"
        return [Finding(message=f"{words}: make vmIDRange of the CloneBackend larger")]

    async def _of_rights(self, seen: Seen, wish: PlanWish, rows: Sequence[Row]) -> list[Finding]:
        networks = wish.shape.networks or tuple(one.network for one in configs.cards(seen.config))
        disks = sorted((await self._needs(seen, wish)).keys() & {str(row["storage"]) for row in rows})
        needs = [
            *rights.of_source(seen.vmid),
            *rights.of_storages(disks, seed_storage(rows, self._site.place.seed_storage)),
            *rights.of_bridges(networks),
        ]
        lacking = await rights.missing(self._site.pve, needs)
        return [Finding(reason=NotAuthorized.reason, message=sentence) for sentence in lacking]

    async def _of_cluster(self) -> list[Finding]:
        return [] if await quorate(self._site) else [Finding(message="the cluster has no quorum: it takes no changes")]


def _of_vm(seen: Seen, *, clean: bool) -> Iterator[str]:
    if not configs.disks(seen.config):
        yield f"VM {seen.vmid} ({seen.name}) has no disk that can be copied"
    yield from boot_problems(seen)
    yield from safe.refusals(seen.config)
    if clean and len(configs.disks(seen.config)) > len(_firmware(seen)) + 1:
        yield f"the image VM {seen.vmid} has several disks; mode Clean takes a template with one"


def _firmware(seen: Seen) -> list[str]:
    return [key for key in ("efidisk0", "tpmstate0") if key in seen.config]


async def quorate(site: Site) -> bool:
    """Tell whether the cluster takes changes; true where we may not ask (Sys.Audit on /) or can not: a write tells."""
    try:
        rows = await site.pve.cluster_status()
    except Refused as refused:
        if refused.kind is Kind.FORBIDDEN or refused.not_there:
            return True
        raise
    return all(answers.flag(row.get("quorate", 1)) for row in rows if row.get("type") == "cluster")


def _gib(count: int) -> str:
    return f"{count / (1 << 30):.1f} GiB"
