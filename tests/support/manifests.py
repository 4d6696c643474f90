"""Objects that tests put into a cluster, as users would write them."""

from __future__ import annotations

import base64

from vmclone_operator.kube.cluster import Document

HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBrwWh4ph63ffHIm34829InQtTHpY9Peqbi7JNeSfqGi"
HOME = {"user": "dev", "sshKeySecretRef": {"name": "home-key"}, "knownHosts": [HOST_KEY]}


def backend(name: str = "lab", **spec: object) -> Document:
    return {
        "metadata": {"name": name},
        "spec": {"fake": {"bootSeconds": 30}, "allowedNamespaces": {"from": "All"}, **spec},
    }


def source(name: str = "golden-dev", vm: str = "golden-dev", **spec: object) -> Document:
    granted = {"from": "Names", "names": ["team-a", "team-b"]}
    wanted = {"backend": {"name": "lab"}, "vm": {"name": vm}, "modes": ["Disk"], "allowedNamespaces": granted}
    wanted |= {"allowedSourcePower": ["StartForCopy", "StopForClone"]}
    return {"metadata": {"name": name}, "spec": {**wanted, **spec}}


def clean_source(name: str = "golden-dev", vm: str = "golden-dev", **spec: object) -> Document:
    """Return a source that only mode Clean may use, with access to its home."""
    clean = {"modes": ["Clean"], "images": [{"backend": "lab", "volume": "golden"}], "home": HOME}
    return source(name, vm, **{**clean, **spec})


def home_key(name: str = "home-key", **files: str) -> Document:
    """Return the Secret that opens a source's home."""
    data = files or {"ssh-privatekey": "PRIVATE"}
    encoded = {key: base64.b64encode(text.encode()).decode() for key, text in data.items()}
    return {"metadata": {"name": name, "namespace": "vmclone-system"}, "type": "Opaque", "data": encoded}


def vmclone(name: str = "dev", namespace: str = "team-a", *, replicas: int = 3, **spec: object) -> Document:
    wanted = {"source": {"name": "golden-dev"}, "replicas": replicas, **spec}
    return {"metadata": {"name": name, "namespace": namespace}, "spec": wanted}
