"""Proxmox VE: clones over its HTTPS API with an API token."""
