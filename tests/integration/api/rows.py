"""What the API server must accept and refuse: one row a promise, each with a manifest for both."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

ABSENT = object()
"""Written as a value: the field is removed."""

Change = Mapping[str, Any]
"""Dotted path below the object -> value."""

RSA = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQC7 me@laptop"
PRIVATE = "-----BEGIN OPENSSH PRIVATE KEY-----"

SMALLEST: dict[str, dict[str, Any]] = {
    "VMClone": {"source": {"name": "golden-dev"}},
    "VMCloneReplica": {"ordinal": 1, "session": "dev-1", "vmCloneUID": "7c2f", "backend": "lab"},
    "CloneSource": {"backend": {"name": "lab"}, "vm": {"name": "golden-dev"}, "modes": ["Disk"]},
    "CloneBackend": {"fake": {}},
}
NAMES = {"VMClone": "dev", "VMCloneReplica": "dev-1"}
"""Names in a namespace; cluster-scoped objects carry the name of the run's namespace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One promise: this is refused at that field with that sentence, and that is accepted."""

    kind: str
    refused: Change
    at: str
    says: str
    accepted: Change = field(default_factory=dict)
    start: Change | None = None
    """For updates: what the object was before; None means that the row creates."""


def changed(kind: str, change: Change, *, namespace: str) -> dict[str, Any]:
    """Return the smallest manifest of a kind with a change."""
    metadata = {"name": NAMES.get(kind, namespace), "namespace": namespace}
    manifest = {"apiVersion": "vmclone.dev/v1alpha1", "kind": kind, "metadata": metadata}
    manifest["spec"] = copy.deepcopy(SMALLEST[kind])
    for path, value in change.items():
        *parents, last = path.split(".")
        place: dict[str, Any] = manifest
        for parent in parents:
            place = place.setdefault(parent, {})
        if value is ABSENT:
            del place[last]
        else:
            place[last] = value
    return manifest


def number(kind: str, at: str, least: int, most: int) -> dict[str, Row]:
    """Return the rows of a number: its bounds are accepted, one beyond is refused."""
    low = Row(kind=kind, accepted={at: least}, refused={at: least - 1}, at=at, says=f"equal to {least}")
    high = Row(kind=kind, accepted={at: most}, refused={at: most + 1}, at=at, says=f"equal to {most}")
    return {f"{at} below {least}": low, f"{at} above {most}": high}


def keys(kind: str, at: str) -> dict[str, Row]:
    """Return the rows of a list of public keys."""

    def row(value: list[str], below: str, says: str) -> Row:
        return Row(kind=kind, accepted={at: [RSA] * 32}, refused={at: value}, at=at + below, says=says)

    return {
        f"a private key in {at}": row([PRIVATE], "[0]", "should match"),
        f"a key with = inside of {at}": row(["ssh-ed25519 AAAA=BBBB"], "[0]", "should match"),
        f"two lines in one key of {at}": row([f"{RSA}\n{RSA}"], "[0]", "should match"),
        f"more than 32 keys in {at}": row([RSA] * 33, "", "must have at most 32 items"),
    }
