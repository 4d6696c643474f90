"""What a type of storage can do with a template's disks; pve-storage 0c56bad, volume_has_feature of each plugin.

| type | template | linked clones | what a disk takes is told |
| --- | --- | --- | --- |
| dir, nfs, cifs, btrfs | yes | yes | yes |
| lvmthin, zfspool, rbd | yes | yes | no, its whole size counts |
| lvm | no: `template` passes its disks over in silence | no | no |
| others (iscsi, iscsidirect, zfs, esxi ...) | not known to us | refused: Full is taken | no |
"""

from __future__ import annotations

from collections.abc import Sequence

from vmclone_operator.providers.proxmox import answers
from vmclone_operator.providers.proxmox.answers import Row

_LINKED = frozenset({"dir", "nfs", "cifs", "btrfs", "lvmthin", "zfspool", "rbd", "cephfs"})


def links(rows: Sequence[Row], storage: str) -> bool:
    """Tell whether linked clones can stand on templates there."""
    return any(row.get("storage") == storage and str(row.get("type")) in _LINKED for row in rows)


def usable(rows: Sequence[Row], storage: str) -> str:
    """Say why no disk can be made on a storage; empty when one can."""
    row = next((row for row in rows if row.get("storage") == storage), None)
    if row is None:
        return f"there is no storage {storage} that the token may use: it needs Datastore.AllocateSpace on it"
    if not answers.flag(row.get("enabled", 1)) or not answers.flag(row.get("active")):
        return f"the storage {storage} is disabled, or is not on this node"
    if "images" not in str(row.get("content", "")).split(","):
        return f"the storage {storage} takes no VM disks: pvesm set {storage} --content ...,images"
    return ""


def room(rows: Sequence[Row], storage: str) -> int:
    """Return how many bytes are free there."""
    return next((answers.number(row.get("avail")) for row in rows if row.get("storage") == storage), 0)
