"""The libvirt backend: overlays on, or full copies of, our own frozen points of a source or a golden image."""

from vmclone_operator.providers.libvirt.session import LibvirtBackend

__all__ = ["LibvirtBackend"]
