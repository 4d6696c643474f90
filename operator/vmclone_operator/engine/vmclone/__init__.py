"""The pass of one VMClone: its replicas, its plan, its sessions and its status."""
