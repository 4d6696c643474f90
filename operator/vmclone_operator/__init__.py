"""vmclone: a Kubernetes operator that keeps N identified clones of a virtual machine."""

__version__ = "0.1.0"
