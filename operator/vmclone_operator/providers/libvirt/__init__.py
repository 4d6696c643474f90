"""The libvirt backend: Disk clones as overlays on our own frozen points, over a local socket or TLS."""

from vmclone_operator.providers.libvirt.session import LibvirtBackend

__all__ = ["LibvirtBackend"]
