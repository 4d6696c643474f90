"""`hack/test proxmox`: the Proxmox VE adapter against any server that speaks its API."""
