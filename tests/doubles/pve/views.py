"""How nodes and storages look in lists (recordings 02, 34 and 09, 4)."""

from __future__ import annotations

from typing import Any

from tests.doubles.pve.storages import Storage
from tests.doubles.pve.world import Node, World


def node_row(world: World, node: Node, *, figures: bool) -> dict[str, Any]:
    """Return a node's row; without the right to audit it only its name and state."""
    row: dict[str, Any] = {"id": f"node/{node.name}", "type": "node", "node": node.name, "level": ""}
    row["status"] = "online" if node.online else "offline"
    if figures:
        row |= {**node.figures, "cpu": 0, "mem": 0, "disk": 0, "maxdisk": 0, "uptime": int(world.now() - world.booted)}
    return row


def storage_resource(world: World, storage: Storage, node: str) -> dict[str, Any]:
    """Return a storage's row in cluster/resources."""
    used = world.storages.used(storage.name)
    return {
        "id": f"storage/{node}/{storage.name}",
        "type": "storage",
        "storage": storage.name,
        "node": node,
        "plugintype": storage.kind,
        "content": ",".join(storage.content),
        "shared": int(storage.shared),
        "status": "available",
        "disk": used,
        "maxdisk": storage.total,
    }
