"""Proxmox VE: clones over its HTTPS API with an API token."""

from vmclone_operator.providers.proxmox.backend import ProxmoxBackend

__all__ = ["ProxmoxBackend"]
