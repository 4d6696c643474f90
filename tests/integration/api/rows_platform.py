"""What CloneSource and CloneBackend must accept and refuse when they are created."""

from __future__ import annotations

from tests.integration.api.rows import ABSENT, Change, Row, number
from tests.integration.api.rows_namespaces import allowed_namespaces

TLS: Change = {"transport": "tls", "host": "hv1.example"}
HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKVp3F75mFxsHowsOXndFRLW"
SSH: Change = {"transport": "ssh", "host": "hv1.example", "user": "root", "knownHosts": [HOST_KEY]}
SSH_NEEDS = (
    "transport ssh needs user and knownHosts: all public keys of the host as ssh-keyscan shows them, without the "
    "host's name; other transports take neither"
)
LOCAL: Change = {"transport": "local"}
SECRET: Change = {"secretRef": {"name": "hv1-tls"}}
OVER_TLS: Change = {"spec.fake": ABSENT, "spec.libvirt": TLS, "spec.credentials": SECRET}
OVER_SSH: Change = {"spec.fake": ABSENT, "spec.libvirt": SSH, "spec.credentials": SECRET}
HOME_KEY: Change = {"user": "dev", "sshKeySecretRef": {"name": "golden-home"}}
NO_PORT = "an address is a host name or an IP address; write a port into port"
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


def _address(accepted: str, refused: str, says: str) -> Row:
    """Return the row of where a home's sshd is reached."""
    good, bad = ({"user": "dev", "address": address} for address in (accepted, refused))
    at = "spec.home"
    return Row(kind="CloneSource", accepted={at: good}, refused={at: bad}, at=f"{at}.address", says=says)


def _over_ssh(block: Change, at: str, says: str) -> Row:
    """Return the row of a libvirt block that one for ssh would have to be."""
    return Row(kind="CloneBackend", accepted=OVER_SSH, refused={**OVER_SSH, "spec.libvirt": block}, at=at, says=says)


SOURCE = {
    **allowed_namespaces("CloneSource"),
    **number("CloneSource", "spec.limits.maxClones", 0, 10_000),
    **number("CloneSource", "spec.limits.maxReplicasPerClone", 0, 100),
    "clones of clones as a word": _refused(
        "CloneSource", "spec.cloneOfClones", "yes", 'must be of type boolean: "string"', True
    ),
    "no mode": _refused("CloneSource", "spec.modes", [], "should have at least 1 items", ["Disk"]),
    "mode Clean without an image": Row(
        kind="CloneSource",
        accepted={"spec.modes": ["Clean"], "spec.images": [{"backend": "lab", "volume": "golden.qcow2"}]},
        refused={"spec.modes": ["Clean"]},
        at="spec",
        says="mode Clean needs images: write what it starts from, for example {backend: lab, volume: golden.qcow2}",
    ),
    "a key for a home whose host is not known": Row(
        kind="CloneSource",
        accepted={"spec.home": {**HOME_KEY, "knownHosts": [HOST_KEY]}},
        refused={"spec.home": HOME_KEY},
        at="spec.home",
        says="sshKeySecretRef needs knownHosts: write the source's public host key, for example as ssh-keyscan -t "
        "ed25519 shows it, without the host's name",
    ),
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
    "an address with a port": _address("10.0.0.7", "10.0.0.7:22", NO_PORT),
    "a host with a port": _address("vm-1.example", "vm-1.example:22", NO_PORT),
    "an IPv6 address in brackets": _address("fd00::7", "[fd00::7]", "should match"),
    "an IPv6 address that is none": _address("::1", "fd00::7::1", NO_PORT),
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
    "an interval of drift without a unit": _refused("CloneBackend", "spec.drift.interval", "300", "should match", "5m"),
    "an unknown action on drift": _refused(
        "CloneBackend", "spec.drift.action", "Repair", 'supported values: "Report", "Recreate"', "Recreate"
    ),
    "no backend block": Row(
        kind="CloneBackend",
        accepted=ON_THIS_MACHINE,
        refused={"spec.fake": ABSENT},
        at="spec",
        says="a backend needs exactly one block: libvirt, proxmox, azure or fake",
    ),
    "two backend blocks": Row(
        kind="CloneBackend",
        refused={"spec.libvirt": LOCAL},
        at="spec",
        says="a backend needs exactly one block: libvirt, proxmox, azure or fake",
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
        says="transports tls and ssh need a host, for example host: hv1.example; transport local takes none",
    ),
    "local with host": Row(
        kind="CloneBackend",
        accepted=ON_THIS_MACHINE,
        refused={**ON_THIS_MACHINE, "spec.libvirt": {**TLS, "transport": "local"}},
        at="spec.libvirt",
        says="transports tls and ssh need a host, for example host: hv1.example; transport local takes none",
    ),
    "an unknown transport": _libvirt("transport", "ext", 'supported values: "tls", "ssh", "local"', "tls"),
    "ssh without credentials": Row(
        kind="CloneBackend",
        accepted=OVER_SSH,
        refused={"spec.fake": ABSENT, "spec.libvirt": SSH},
        at="spec",
        says="transport ssh needs credentials.secretRef: a Secret with ssh-privatekey",
    ),
    "ssh without user": _over_ssh(
        {"transport": "ssh", "host": "hv1.example", "knownHosts": [HOST_KEY]}, "spec.libvirt", SSH_NEEDS
    ),
    "ssh without host keys": _over_ssh({**SSH, "knownHosts": []}, "spec.libvirt", SSH_NEEDS),
    "tls with a user": _over_ssh({**TLS, "user": "root"}, "spec.libvirt", SSH_NEEDS),
    "a user that is an option over ssh": _over_ssh({**SSH, "user": "-l"}, "spec.libvirt.user", "should match"),
    "a host key with a host's name": _over_ssh(
        {**SSH, "knownHosts": [f"hv1 {HOST_KEY}"]}, "spec.libvirt.knownHosts[0]", "should match"
    ),
    "a URI as host": _libvirt("host", "qemu://hv1/?command=x", "should match", "fd00::1"),
    "port 0": _libvirt("port", 0, "greater than or equal to 1", 1),
    "port 65536": _libvirt("port", 65536, "less than or equal to 65535", 65535),
    "a path as pool": _libvirt("pool", "../images", "should match", "images-2.fast"),
    "a pool of 65 characters": _libvirt("pool", "a" * 65, "may not be more than 64", "a" * 64),
    "a network with a slash": _libvirt("network", "../lan", "should match", "br0.12"),
    "a network of 64 characters": _libvirt("network", "a" * 64, "may not be more than 63", "a" * 63),
    "credentials that name no Secret": _refused(
        "CloneBackend", "spec.credentials.secretRef.name", "", "at least 1 chars long", "hv1-tls"
    ),
}
