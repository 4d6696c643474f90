"""Builds container images without a registry: a Debian base made here, the lock's wheels, one Containerfile."""
