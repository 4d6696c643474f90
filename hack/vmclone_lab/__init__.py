"""The lab: a real Kubernetes control plane, node and libvirtd on one Debian machine.

Why it exists: the operator is proved on real parts from the first day, on machines without
nested container runtimes, image registries or usable KVM. Standard library only, so that it
runs before anything of ours is installed.
"""
