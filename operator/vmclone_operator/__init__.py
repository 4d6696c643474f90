"""vmclone: a Kubernetes operator that keeps N identified clones of a virtual machine."""
