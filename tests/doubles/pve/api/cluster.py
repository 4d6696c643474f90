"""The cluster and its nodes: ids, resources, quorum (recordings 02-create-config and 09-permissions)."""

from __future__ import annotations

from typing import Any

from tests.doubles.pve.call import Call, endpoint
from tests.doubles.pve.refusals import wrong
from tests.doubles.pve.rows import resource
from tests.doubles.pve.views import node_row, storage_resource


@endpoint("GET", "/cluster/nextid")
def next_id(call: Call) -> str:
    """Return the lowest free id, as text; it reserves nothing (recording 02, 5-7 and 30-31)."""
    wanted = call.params.get("vmid")
    if wanted is None:
        return str(next(vmid for vmid in range(100, 10**9) if vmid not in call.world.vms))
    if wanted in call.world.vms:
        raise wrong("vmid", f"VM {wanted} already exists")
    return str(wanted)


@endpoint("GET", "/cluster/resources")
def resources(call: Call) -> list[dict[str, Any]]:
    """Return what there is, as far as the caller may know of it."""
    kind = call.params.get("type", "")
    rows: list[dict[str, Any]] = []
    if kind in {"", "vm"}:
        seen = [vm for vm in call.world.vms.values() if call.may(f"/vms/{vm.vmid}", "VM.Audit")]
        rows += [resource(vm, pool=call.world.pool_of(vm.vmid)) for vm in seen]
    if kind in {"", "node"}:
        rows += [{**row, "cgroup-mode": 1} for row in _nodes(call)]
    if kind in {"", "storage"}:
        rows += _storages(call)
    zone = "/sdn/zones/localnetwork"
    if not kind and call.may(zone, "SDN.Audit"):
        rows += [_zone(name) for name in call.world.nodes]
    return rows


def _nodes(call: Call) -> list[dict[str, Any]]:
    nodes = call.world.nodes.values()
    return [node_row(call.world, one, figures=call.may(f"/nodes/{one.name}", "Sys.Audit")) for one in nodes]


def _storages(call: Call) -> list[dict[str, Any]]:
    return [
        storage_resource(call.world, storage, node)
        for storage in call.world.storages.known.values()
        for node in call.world.nodes
        if storage.active(node) and call.may(f"/storage/{storage.name}", "Datastore.Audit")
    ]


def _zone(node: str) -> dict[str, Any]:
    named = {"network": "localnetwork", "network-type": "zone", "node": node, "status": "ok", "type": "network"}
    return {"id": f"network/{node}/zone/localnetwork", **named}


@endpoint("GET", "/cluster/status")
def status(call: Call) -> list[dict[str, Any]]:
    """Return the nodes, and with more than one the cluster with its quorum; pve-manager PVE/API2/Cluster.pm 14a22df."""
    nodes = list(call.world.nodes.values())
    rows: list[dict[str, Any]] = []
    if len(nodes) > 1:
        held = {"nodes": len(nodes), "version": 2, "quorate": int(call.world.quorate)}
        rows.append({"type": "cluster", "id": "cluster", "name": "double", **held})
    for number, one in enumerate(nodes):
        place = number + 1 if len(nodes) > 1 else 0
        named = {"type": "node", "id": f"node/{one.name}", "name": one.name, "level": ""}
        rows.append({**named, "nodeid": place, "ip": one.address, "local": int(not number), "online": int(one.online)})
    return rows


@endpoint("GET", "/nodes")
def nodes(call: Call) -> list[dict[str, Any]]:
    """Return the nodes (recording 02, 2)."""
    return [{**row, "ssl_fingerprint": ":".join(["AB"] * 32)} for row in _nodes(call)]
