"""Which hypervisor a CloneBackend means: one host may have several of them, as for two pools, and its VMs once."""

from __future__ import annotations

from vmclone_operator.engine.objects.cache import Cache
from vmclone_operator.kube.cluster import Document, Key, Kind

_HOST_FIELDS = {"libvirt": "host", "proxmox": "endpoints", "azure": "subscriptionID"}
"""For each block of a CloneBackend that means a host: the field that names it. A new provider adds its own here."""


def endpoint_of(backend: Document) -> str:
    """Return what all CloneBackends of one host share; every pass asks, so it reads no more than it needs."""
    for kind, field in _HOST_FIELDS.items():
        block = backend["spec"].get(kind)
        if block is not None:
            named = block.get(field) or "local"
            # Of a cluster's nodes any may stand first: two that name one of them first are one cluster.
            first = named if isinstance(named, str) else min(map(str.lower, named))
            return f"{kind}/{first.lower()}"
    # A backend without a host of its own, such as the fake, shares nothing with another one.
    return f"own/{backend['metadata']['name']}"


def host_of(cache: Cache, backend: str) -> str:
    """Return the same for a CloneBackend by its name, which stands for itself while it is not there."""
    document = cache.get(Key(Kind.BACKEND, "", backend))
    return backend if document is None else endpoint_of(document)
