"""Storages and their volumes: what each type can do, and how volumes are named.

| type | a disk | a template's disk | a linked clone of it |
| --- | --- | --- | --- |
| dir, nfs | `s:110/vm-110-disk-0.qcow2` | `s:110/base-110-disk-0.qcow2` | base, then `/116/vm-116-disk-0.qcow2` |
| btrfs | the same | the same | `s:116/vm-116-disk-0.raw`, and the template may go |
| lvmthin | `s:vm-110-disk-0` | `s:base-110-disk-0` | `s:vm-116-disk-0` |
| zfspool, rbd | `s:vm-110-disk-0` | `s:base-110-disk-0` | `s:base-110-disk-0/vm-116-disk-0` |
| lvm (thick) | `s:vm-110-disk-0` | stays `s:vm-110-disk-0`: no templates, no linked clones | none |

Recordings 06-clone-stopped-template and 10-storage for dir and btrfs; the rest read in pve-storage 0c56bad.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from tests.doubles.pve.refusals import Refused

CONTENT_FOLDERS = {"iso": "template/iso", "vztmpl": "template/cache", "snippets": "snippets", "import": "import"}


@cache
def _types() -> dict[str, dict[str, Any]]:
    read: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "tables" / "storages.json").read_text())[
        "types"
    ]
    return read


@dataclass(slots=True, kw_only=True)
class Storage:
    """One entry of storage.cfg."""

    name: str
    kind: str = "dir"
    content: tuple[str, ...] = ("images",)
    path: str = ""
    preallocation: str = "metadata"
    nodes: tuple[str, ...] = ()
    """Where it is; empty: on every node."""
    disabled: bool = False
    shared: bool = False
    total: int = 256 * 1024**3
    used: int = 0
    """Without the volumes that the double knows."""

    @property
    def rules(self) -> dict[str, Any]:
        """Return what this type of storage can do."""
        return _types()[self.kind]

    @property
    def files(self) -> bool:
        """Tell whether volumes are files below a folder per VM."""
        return bool(self.rules["layout"] == "files")

    def on(self, node: str) -> bool:
        """Tell whether the node has this storage."""
        return not self.nodes or node in self.nodes

    def active(self, node: str) -> bool:
        """Tell whether the node can use it now."""
        return self.on(node) and not self.disabled

    def file_of(self, volume: str) -> str:
        """Return where a volume's file is, as logs name it."""
        last = volume.rsplit("/", 2)
        if not self.files:
            return f"/dev/{self.name}/{last[-1]}"
        if volume.split("/", maxsplit=1)[0] in CONTENT_FOLDERS:
            return f"{self.path}/{CONTENT_FOLDERS[volume.split('/', maxsplit=1)[0]]}/{last[-1]}"
        return f"{self.path}/images/{'/'.join(last[-2:])}"


@dataclass(slots=True, kw_only=True)
class Volume:
    """One volume; `name` is what stands behind the colon of its id."""

    storage: str
    name: str
    format: str
    size: int
    made: float
    vmid: int = 0
    content: str = "images"
    parent: str = ""
    used: int = 0
    data: bytes = b""
    missing: bool = False
    """Its file was taken away behind the server's back."""

    @property
    def id(self) -> str:
        """Return the volume id."""
        return f"{self.storage}:{self.name}"

    @property
    def sectors_size(self) -> int:
        """Return the size as qemu-img sees it: whole sectors (recording 10, 57-62)."""
        return -(-self.size // 512) * 512

    @property
    def base(self) -> bool:
        """Tell whether it belongs to a template."""
        return self.own_name.startswith("base-")

    @property
    def own_name(self) -> str:
        """Return the last part of its name."""
        return self.name.rsplit("/", 1)[-1]


@dataclass(slots=True)
class Storages:
    """Every storage of a cluster with what is on it."""

    known: dict[str, Storage] = field(default_factory=dict)
    volumes: dict[str, Volume] = field(default_factory=dict)

    def get(self, name: str) -> Storage:
        """Return a storage, or refuse its name."""
        if name not in self.known:
            raise Refused(f"storage '{name}' does not exist")
        return self.known[name]

    def usable(self, name: str, node: str) -> Storage:
        """Return a storage that the node can use; recording 06-clone-stopped-template, 13-15."""
        found = self.get(name)
        if found.disabled:
            raise Refused(f"storage '{name}' is disabled")
        if not found.on(node):
            raise Refused(f"storage '{name}' is not available on node '{node}'")
        return found

    def used(self, name: str) -> int:
        """Return how many bytes are taken."""
        return self.known[name].used + sum(v.used for v in self.volumes.values() if v.storage == name)

    def find(self, volid: str) -> Volume:
        """Return a volume, or say that it is not there."""
        found = self.volumes.get(volid)
        if found is None or found.missing:
            raise Refused(f"volume '{volid}' does not exist")
        return found

    def owned_by(self, vmid: int) -> list[Volume]:
        """Return the volumes that carry a VM's id, on every storage."""
        return [volume for volume in self.volumes.values() if volume.vmid == vmid]

    def free_name(self, storage: Storage, vmid: int, form: str, *, cloud_init: bool = False) -> str:
        """Return the name of a VM's next volume: the numbers count per storage (recording 06, 7)."""
        taken = {_stem(v.own_name) for v in self.volumes.values() if v.storage == storage.name and v.vmid == vmid}
        number = next(n for n in range(1000) if not {f"vm-{vmid}-disk-{n}", f"base-{vmid}-disk-{n}"} & taken)
        stem = f"vm-{vmid}-cloudinit" if cloud_init else f"vm-{vmid}-disk-{number}"
        return f"{vmid}/{stem}.{form}" if storage.files else stem

    def add(self, volume: Volume) -> Volume:
        """Put a volume where it belongs."""
        self.volumes[volume.id] = volume
        return volume

    def children(self, volume: Volume) -> list[Volume]:
        """Return the linked clones whose data is partly in this volume."""
        if self.known[volume.storage].rules["linked_id"] != "base":
            return []
        start = f"{volume.name}/"
        return [v for v in self.volumes.values() if v.storage == volume.storage and v.name.startswith(start)]

    def can(self, what: str, volid: str, *, snapshot: bool = False) -> bool:
        """Tell whether a volume's storage can do that: copy, linked, template or snapshot."""
        volume = self.find(volid)
        rules = self.known[volume.storage].rules
        if what == "copy":
            return not snapshot or volume.format in rules["snapshot_copy"]
        if what == "linked" and snapshot:
            return volume.format in rules.get("linked_snapshot", [])
        if what == "linked":
            current = rules["linked"] if volume.base else rules.get("linked_current", [])
            return volume.format in current
        return volume.format in rules[what]


def _stem(name: str) -> str:
    return re.sub(r"\.(qcow2|raw|vmdk|subvol)$", "", name)
