"""Objects that tests put into a cluster, as users would write them."""

from __future__ import annotations

from vmclone_operator.kube.cluster import Document


def backend(name: str = "lab", **spec: object) -> Document:
    return {
        "metadata": {"name": name},
        "spec": {"fake": {"bootSeconds": 30}, "allowedNamespaces": {"from": "All"}, **spec},
    }


def source(name: str = "golden-dev", vm: str = "golden-dev", **spec: object) -> Document:
    granted = {"from": "Names", "names": ["team-a", "team-b"]}
    wanted = {"backend": {"name": "lab"}, "vm": {"name": vm}, "modes": ["Disk"], "allowedNamespaces": granted}
    return {"metadata": {"name": name}, "spec": {**wanted, **spec}}


def vmclone(name: str = "dev", namespace: str = "team-a", *, replicas: int = 3, **spec: object) -> Document:
    wanted = {"source": {"name": "golden-dev"}, "replicas": replicas, **spec}
    return {"metadata": {"name": name, "namespace": namespace}, "spec": wanted}
