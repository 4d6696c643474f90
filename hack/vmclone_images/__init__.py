"""Builds container images without a registry: a Debian base made here, our code, one Containerfile for each."""
