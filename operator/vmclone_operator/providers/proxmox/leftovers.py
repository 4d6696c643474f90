"""What of ours nobody has any more: seeds whose clone is gone, frozen points of VMClones that are gone.

A seed in the drive of any VM is somebody's, whosever that VM is: a clone that was given away boots with it. So seeds
are listed only to a token that sees every VM: a right on a pool does not show a clone that has left the pool. A disk
whose VM is gone carries nothing but a number that is given again: it is nobody's provably, and is not listed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from vmclone_operator.domain import naming
from vmclone_operator.domain.backend import Leftover, LeftoverKind, Owner
from vmclone_operator.domain.leftovers import as_in_names, belongs_to, volume_leftover
from vmclone_operator.providers.proxmox import config as configs
from vmclone_operator.providers.proxmox import linked, marks, rights
from vmclone_operator.providers.proxmox.marks import FrozenMark
from vmclone_operator.providers.proxmox.seeds import Seeds
from vmclone_operator.providers.proxmox.site import Site


async def find(site: Site, seeds: Seeds, instance: str, living: Collection[str]) -> Sequence[Leftover]:
    """Return the leftovers of an installation, by name."""
    alive = as_in_names(living)
    found = await _frozen(site, instance, alive)
    held = {volume: volume_leftover(instance, volume.rpartition("/")[2]) for volume, _ in await seeds.all()}
    gone = {volume: one for volume, one in held.items() if one is not None and not belongs_to(one, alive)}
    if gone and await rights.sees_every_vm(site.pve):
        used = await _in_drives(site)
        found += [one for volume, one in gone.items() if volume not in used]
    return sorted(dict.fromkeys(found), key=lambda one: one.name)


async def _frozen(site: Site, instance: str, alive: frozenset[str]) -> list[Leftover]:
    """Return the frozen points of nobody alive that no linked clone stands on."""
    found = []
    rows = await site.tagged(
        marks.frozen_tag(instance), lambda row: str(row.get("name", "")).startswith(marks.ANY_FROZEN_NAME)
    )
    for row in rows:
        seen = await site.look(int(row["vmid"]), str(row["node"]))
        if seen is None or not isinstance(seen.mark, FrozenMark) or seen.mark.instance != instance:
            continue
        owner = Owner(instance=instance, vmclone_uid=seen.mark.vmclone_uid)
        name = f"{naming.frozen_prefix(instance, owner.vmclone_uid)}{seen.mark.token}"
        one = Leftover(kind=LeftoverKind.FROZEN_POINT, owner=owner, name=name, token=seen.mark.token)
        if not belongs_to(one, alive) and not await linked.standing_on(site, seen):
            found.append(one)
    return found


async def _in_drives(site: Site) -> frozenset[str]:
    """Return what lies in the drives of all VMs: a clone that was given away keeps its seed, and bears no mark."""
    used: set[str] = set()
    for row in await site.rows():
        if row.get("type") == "qemu" and (seen := await site.look(int(row["vmid"]), str(row["node"]))):
            used |= {one.volume for one in configs.drives(seen.config)}
    return frozenset(used)
