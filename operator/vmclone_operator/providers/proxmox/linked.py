"""Linked clones by the names of their volumes: who stands on a template's disks.

    local:110/base-110-disk-0.qcow2/116/vm-116-disk-0.qcow2  ->  VM 116 stands on VM 110

A linked clone on btrfs or LVM-thin does not name its base, and does not need it either: such a template may go.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from vmclone_operator.providers.proxmox import config as configs
from vmclone_operator.providers.proxmox.site import Seen, Site

_LINKED = re.compile(r"[:/]base-(?P<base>\d+)-[^/]*/(\d+/)?vm-(?P<vmid>\d+)-")


def child_of(volume: str, vmid: int) -> int:
    """Return the VM whose linked volume stands on a template of this id; 0 for any other volume."""
    found = _LINKED.search(volume)
    return int(found["vmid"]) if found and int(found["base"]) == vmid else 0


async def standing_on(site: Site, template: Seen) -> frozenset[int]:
    """Return the ids of the VMs that stand on a template's disks."""
    found: set[int] = set()
    for storage in sorted({one.storage for one in configs.disks(template.config) if not one.device}):
        rows = await site.pve.images(template.node, storage)
        found |= {child_of(str(row["volid"]), template.vmid) for row in rows}
    return frozenset(found - {0})


async def names(site: Site, vmids: Collection[int]) -> Sequence[str]:
    """Return what to call these VMs; one that is gone, or that the token may not see, goes by its number."""
    looked = [(vmid, await site.look(vmid)) for vmid in sorted(vmids)]
    return [f"VM {vmid} ({seen.name})" if seen is not None else f"a disk of VM {vmid}" for vmid, seen in looked]
