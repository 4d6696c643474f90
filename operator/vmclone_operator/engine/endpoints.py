"""Which hypervisor a CloneBackend means: one host may have several of them, as for two pools, and its VMs once."""

from __future__ import annotations

from vmclone_operator.engine.cache import Cache
from vmclone_operator.kube.cluster import Document, Key, Kind


def endpoint_of(backend: Document) -> str:
    """Return what all CloneBackends of one host share; every pass asks, so it reads no more than it needs."""
    libvirt = backend["spec"].get("libvirt")
    if libvirt is None:
        return f"fake/{backend['metadata']['name']}"
    return f"libvirt/{(libvirt.get('host') or 'local').lower()}"


def host_of(cache: Cache, backend: str) -> str:
    """Return the same for a CloneBackend by its name, which stands for itself while it is not there."""
    document = cache.get(Key(Kind.BACKEND, "", backend))
    return backend if document is None else endpoint_of(document)
