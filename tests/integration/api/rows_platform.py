"""What CloneSource and CloneBackend must accept and refuse when they are created."""

from __future__ import annotations

from tests.integration.api.rows import ABSENT, Change, Row, number
from tests.integration.api.rows_namespaces import allowed_namespaces

TLS: Change = {"transport": "tls", "host": "hv1.example"}
LOCAL: Change = {"transport": "local"}
SECRET: Change = {"secretRef": {"name": "hv1-tls"}}
OVER_TLS: Change = {"spec.fake": ABSENT, "spec.libvirt": TLS, "spec.credentials": SECRET}
ON_THIS_MACHINE: Change = {"spec.fake": ABSENT, "spec.libvirt": LOCAL}


def _refused(kind: str, field: str, value: object, says: str, accepted: object) -> Row:
    return Row(kind=kind, accepted={field: accepted}, refused={field: value}, at=field, says=says)


def _libvirt(below: str, value: object, says: str, accepted: object) -> Row:
    """Return the row of a field of the libvirt block."""
    field = f"spec.libvirt.{below}"
    return Row(
        kind="CloneBackend",
        accepted={**OVER_TLS, "spec.libvirt": {**TLS, below: accepted}},
        refused={**OVER_TLS, "spec.libvirt": {**TLS, below: value}},
        at=field,
        says=says,
    )


SOURCE = {
    **allowed_namespaces("CloneSource"),
    **number("CloneSource", "spec.limits.maxClones", 0, 10_000),
    **number("CloneSource", "spec.limits.maxReplicasPerClone", 0, 100),
    "no mode": _refused("CloneSource", "spec.modes", [], "should have at least 1 items", ["Disk"]),
    "an unknown mode": Row(
        kind="CloneSource", refused={"spec.modes": ["Magic"]}, at="spec.modes[0]", says='supported values: "Disk"'
    ),
    "a source without VM": _refused("CloneSource", "spec.vm.name", "", "at least 1 chars long", "golden vm (2)"),
    "a source without backend": Row(
        kind="CloneSource", refused={"spec.backend": ABSENT}, at="spec.backend", says="Required value"
    ),
    "a home of nobody": Row(
        kind="CloneSource",
        accepted={"spec.home": {"user": "_dev-1"}},
        refused={"spec.home": {}},
        at="spec.home.user",
        says="Required value",
    ),
    "a user that is an option": _refused("CloneSource", "spec.home.user", "-dev", "should match", "dev"),
    "more than 32 keys of the owner": Row(
        kind="CloneSource",
        refused={"spec.home": {"user": "dev", "authorizedKeys": ["ssh-ed25519 AAAAC3Nza"] * 33}},
        at="spec.home.authorizedKeys",
        says="must have at most 32 items",
    ),
    "a private key of the owner": Row(
        kind="CloneSource",
        refused={"spec.home": {"user": "dev", "authorizedKeys": ["-----BEGIN OPENSSH PRIVATE KEY-----"]}},
        at="spec.home.authorizedKeys[0]",
        says="should match",
    ),
}
BACKEND = {
    **allowed_namespaces("CloneBackend"),
    **number("CloneBackend", "spec.limits.maxInFlight", 1, 1000),
    **number("CloneBackend", "spec.fake.bootSeconds", 0, 3600),
    "no backend block": Row(
        kind="CloneBackend",
        accepted=ON_THIS_MACHINE,
        refused={"spec.fake": ABSENT},
        at="spec",
        says="a backend needs exactly one block: libvirt or fake",
    ),
    "two backend blocks": Row(
        kind="CloneBackend",
        refused={"spec.libvirt": LOCAL},
        at="spec",
        says="a backend needs exactly one block: libvirt or fake",
    ),
    "tls without credentials": Row(
        kind="CloneBackend",
        accepted=OVER_TLS,
        refused={"spec.fake": ABSENT, "spec.libvirt": TLS},
        at="spec",
        says="transport tls needs credentials.secretRef: a Secret with tls.crt, tls.key and ca.crt",
    ),
    "tls without host": Row(
        kind="CloneBackend",
        accepted=OVER_TLS,
        refused={**OVER_TLS, "spec.libvirt": {"transport": "tls"}},
        at="spec.libvirt",
        says="transport tls needs a host, for example host: hv1.example; transport local takes none",
    ),
    "local with host": Row(
        kind="CloneBackend",
        accepted=ON_THIS_MACHINE,
        refused={**ON_THIS_MACHINE, "spec.libvirt": {**TLS, "transport": "local"}},
        at="spec.libvirt",
        says="transport tls needs a host, for example host: hv1.example; transport local takes none",
    ),
    "an unknown transport": _libvirt("transport", "ssh", 'supported values: "tls", "local"', "tls"),
    "a URI as host": _libvirt("host", "qemu://hv1/?command=x", "should match", "fd00::1"),
    "port 0": _libvirt("port", 0, "greater than or equal to 1", 1),
    "port 65536": _libvirt("port", 65536, "less than or equal to 65535", 65535),
    "a path as pool": _libvirt("pool", "../images", "should match", "images-2.fast"),
    "a pool of 65 characters": _libvirt("pool", "a" * 65, "may not be more than 64", "a" * 64),
    "credentials that name no Secret": _refused(
        "CloneBackend", "spec.credentials.secretRef.name", "", "at least 1 chars long", "hv1-tls"
    ),
}
