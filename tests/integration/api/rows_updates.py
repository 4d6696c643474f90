"""What may change in an object that exists, and what would make it another object."""

from __future__ import annotations

from tests.integration.api.rows import Change, Row
from tests.integration.api.rows_platform import LOCAL, ON_THIS_MACHINE, OVER_TLS, TLS

AGAIN = "; delete this VMClone and create another one"


def _kept(field: str, first: object, other: object, why: str) -> dict[str, Row]:
    """Return the rows of an optional VMClone field that can neither come, go nor change."""
    at = f"spec.{field}"
    says = f"{field} is immutable: {why}{AGAIN}"

    def row(start: Change, refused: Change) -> Row:
        accepted = {**start, "spec.replicas": 2}
        return Row(kind="VMClone", start=start, accepted=accepted, refused=refused, at="spec", says=says)

    return {
        f"{field} is added": row({}, {at: first}),
        f"{field} is dropped": row({at: first}, {}),
        f"{field} is changed": row({at: first}, {at: other}),
    }


LARGER: Change = {"spec.limits": {"maxClones": 7}}
OTHER_KIND = "the kind of a backend is immutable; create another CloneBackend"
UPDATES = {
    **_kept("sessionPrefix", "dev", "test", "sessions keep their names for the life of the VMClone"),
    **_kept("backend", {"name": "lab"}, {"name": "lab2"}, "clones do not move between backends"),
    "mode is added": Row(
        kind="VMClone",
        at="spec",
        start={},
        refused={"spec.mode": "Disk"},
        accepted={"spec.paused": True},
        says=f"mode is immutable: a clone's mode decides what is in it{AGAIN}",
    ),
    "mode is dropped": Row(
        kind="VMClone",
        at="spec",
        start={"spec.mode": "Disk"},
        refused={},
        accepted={"spec.mode": "Disk", "spec.disk.copy": "Linked"},
        says=f"mode is immutable: a clone's mode decides what is in it{AGAIN}",
    ),
    "a VMClone gets another source": Row(
        kind="VMClone",
        at="spec.source",
        start={},
        refused={"spec.source.name": "other"},
        accepted={"spec.replicas": 0},
        says=f"source is immutable: clones belong to one source{AGAIN}",
    ),
    "a replica gets another session": Row(
        kind="VMCloneReplica",
        at="spec",
        start={},
        refused={"spec.session": "dev-9"},
        accepted={"metadata.labels": {"vmclone.dev/ordinal": "1"}},
        says="the spec is immutable; remove this VMCloneReplica to have the replica rebuilt",
    ),
    "a source gets another backend": Row(
        kind="CloneSource",
        at="spec.backend",
        start={},
        refused={"spec.backend.name": "lab2"},
        accepted=LARGER,
        says="backend is immutable; create another CloneSource for another backend",
    ),
    "a source gets another VM": Row(
        kind="CloneSource",
        at="spec.vm",
        start={},
        refused={"spec.vm.name": "other"},
        accepted={"spec.allowedNamespaces": {"from": "All"}},
        says="vm is immutable; create another CloneSource for another VM",
    ),
    "a fake backend becomes libvirt": Row(
        kind="CloneBackend",
        at="spec",
        start={},
        refused=ON_THIS_MACHINE,
        accepted={"spec.fake.bootSeconds": 3},
        says=OTHER_KIND,
    ),
    "a libvirt backend becomes fake": Row(
        kind="CloneBackend",
        at="spec",
        start=ON_THIS_MACHINE,
        refused={},
        accepted={**ON_THIS_MACHINE, "spec.limits.maxInFlight": 3},
        says=OTHER_KIND,
    ),
    "a backend moves to another transport": Row(
        kind="CloneBackend",
        at="spec.libvirt",
        start=ON_THIS_MACHINE,
        refused=OVER_TLS,
        accepted={**ON_THIS_MACHINE, "spec.limits.maxInFlight": 3},
        says="transport and host are immutable: the clones are on that host; create another CloneBackend",
    ),
    "a backend moves to another host": Row(
        kind="CloneBackend",
        at="spec.libvirt",
        start=OVER_TLS,
        refused={**OVER_TLS, "spec.libvirt": {**TLS, "host": "hv2.example"}},
        accepted={**OVER_TLS, "spec.libvirt": {**TLS, "port": 16515}},
        says="transport and host are immutable: the clones are on that host; create another CloneBackend",
    ),
    "a backend gets another pool": Row(
        kind="CloneBackend",
        at="spec.libvirt",
        start=OVER_TLS,
        refused={**OVER_TLS, "spec.libvirt": {**TLS, "pool": "fast"}},
        accepted={**OVER_TLS, "spec.libvirt": {**TLS, "network": "lab"}},
        says="pool is immutable: the clones' disks are in it; create another CloneBackend",
    ),
    "a backend gets a second block": Row(
        kind="CloneBackend",
        at="spec",
        start={},
        refused={"spec.libvirt": LOCAL},
        accepted={"spec.limits.maxInFlight": 3},
        says=OTHER_KIND,
    ),
}
