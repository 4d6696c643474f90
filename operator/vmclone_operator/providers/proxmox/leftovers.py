"""What of ours nobody has any more: seeds whose clone is gone, frozen points of VMClones that are gone.

A disk whose VM is gone carries nothing but a number that is given again: it is nobody's provably, and is not listed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from vmclone_operator.domain import naming
from vmclone_operator.domain.backend import Leftover, LeftoverKind, Owner
from vmclone_operator.domain.leftovers import as_in_names, belongs_to, volume_leftover
from vmclone_operator.providers.proxmox import marks
from vmclone_operator.providers.proxmox.marks import CloneMark, FrozenMark
from vmclone_operator.providers.proxmox.seeds import Seeds
from vmclone_operator.providers.proxmox.site import Site


async def find(site: Site, seeds: Seeds, instance: str, living: Collection[str]) -> Sequence[Leftover]:
    """Return the leftovers of an installation, by name."""
    alive = as_in_names(living)
    found = [one for one in await _frozen(site, instance) if not belongs_to(one, alive)]
    files = [volume_leftover(instance, volume.rpartition("/")[2]) for volume, _ in await seeds.all()]
    gone = [one for one in files if one is not None and not belongs_to(one, alive)]
    found += [one for one in gone if not await _has_vm(site, one)]
    return sorted(dict.fromkeys(found), key=lambda one: one.name)


async def _frozen(site: Site, instance: str) -> Sequence[Leftover]:
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
        found.append(Leftover(kind=LeftoverKind.FROZEN_POINT, owner=owner, name=name, token=seen.mark.token))
    return found


async def _has_vm(site: Site, leftover: Leftover) -> bool:
    """Tell whether a VM carries the mark of the clone whose seed that is."""
    for row in await site.tagged(marks.incarnation_tag(leftover.owner.incarnation)):
        seen = await site.look(int(row["vmid"]), str(row["node"]))
        mark = seen.mark if seen is not None else None
        if isinstance(mark, CloneMark) and mark.stamp.incarnation == leftover.owner.incarnation:
            return True
    return False
