"""What a CloneBackend may say of a Proxmox VE cluster."""

from __future__ import annotations

from tests.integration.api.rows import ABSENT, Change, Row

CLUSTER: Change = {"endpoints": ["pve1.example:8006"]}
TOKEN: Change = {"spec.credentials": {"secretRef": {"name": "pve-token"}}}
ON_A_CLUSTER: Change = {"spec.fake": ABSENT, "spec.proxmox": CLUSTER, **TOKEN}
RANGE = {"start": 9100, "end": 9999}


def _row(more: Change, says: str, accepted: Change, at: str = "spec.proxmox") -> Row:
    """Return the row of a block with something more in it."""
    return Row(
        kind="CloneBackend",
        accepted={**ON_A_CLUSTER, "spec.proxmox": {**CLUSTER, **accepted}},
        refused={**ON_A_CLUSTER, "spec.proxmox": {**CLUSTER, **more}},
        at=at,
        says=says,
    )


PROXMOX = {
    "proxmox without a token": Row(
        kind="CloneBackend",
        accepted=ON_A_CLUSTER,
        refused={"spec.fake": ABSENT, "spec.proxmox": CLUSTER},
        at="spec",
        says="proxmox needs credentials.secretRef: a Secret with token-id and token-secret",
    ),
    "proxmox beside another block": Row(
        kind="CloneBackend",
        accepted=ON_A_CLUSTER,
        refused={**TOKEN, "spec.proxmox": CLUSTER},
        at="spec",
        says="a backend needs exactly one block: libvirt, proxmox, azure or fake",
    ),
    "no endpoint": _row(
        {"endpoints": []}, "at least 1 items", {"endpoints": ["10.0.0.1", "10.0.0.2:443"]}, "spec.proxmox.endpoints"
    ),
    "a URL as endpoint": _row(
        {"endpoints": ["https://pve1/"]}, "should match", {"endpoints": ["pve1"]}, "spec.proxmox.endpoints[0]"
    ),
    "an authority and a fingerprint": _row(
        {"caBundle": "PEM", "fingerprint": ":".join(["AB"] * 32)},
        "write caBundle or fingerprint, not both: a fingerprint takes one certificate, whoever signed it",
        {"fingerprint": ":".join(["AB"] * 32)},
    ),
    "a short fingerprint": _row(
        {"fingerprint": "AB:CD"}, "should match", {"fingerprint": "ab" * 32}, "spec.proxmox.fingerprint"
    ),
    "a range that ends before it starts": _row(
        {"vmIDRange": {"start": 9200, "end": 9100}},
        "vmIDRange needs start and end in this order, for example start: 9100, end: 9999",
        {"vmIDRange": {"start": 9100, "end": 9100}},
        "spec.proxmox.vmIDRange",
    ),
    "an id that Proxmox VE keeps for itself": _row(
        {"vmIDRange": {"start": 99, "end": 9100}},
        "greater than or equal to 100",
        {"vmIDRange": {"start": 100, "end": 9100}},
        "spec.proxmox.vmIDRange.start",
    ),
    "a storage with a path": _row(
        {"storage": "../x"}, "should match", {"storage": "local-zfs"}, "spec.proxmox.storage"
    ),
    "no requests at all": _row(
        {"requestsPerSecond": 0},
        "greater than or equal to 1",
        {"requestsPerSecond": 100},
        "spec.proxmox.requestsPerSecond",
    ),
}


def _kept(first: Change, other: Change, allowed: Change, says: str) -> Row:
    def block(more: Change) -> Change:
        return {**ON_A_CLUSTER, "spec.proxmox": {**CLUSTER, **more}}

    return Row(
        kind="CloneBackend",
        at="spec.proxmox",
        start=block(first),
        refused=block(other),
        accepted=block(allowed),
        says=says,
    )


PROXMOX_UPDATES = {
    "a range of ids shrinks": _kept(
        {"vmIDRange": RANGE},
        {"vmIDRange": {"start": 9100, "end": 9500}},
        {"vmIDRange": {"start": 9000, "end": 9999}},
        "vmIDRange may only grow: clones have ids of it; create another CloneBackend",
    ),
    "a range of ids leaves the default": _kept(
        {},
        {"vmIDRange": {"start": 200, "end": 300}},
        {"vmIDRange": {"start": 200, "end": 20000}},
        "vmIDRange may only grow: clones have ids of it; create another CloneBackend",
    ),
    "the pool of a cluster changes": _kept(
        {"pool": "a"},
        {"pool": "b"},
        {"pool": "a", "nodes": ["pve1"]},
        "pool is immutable: the clones are in it; create another CloneBackend",
    ),
}
