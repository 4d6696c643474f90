"""The small reads beside a VM: HA, replication, firewall, and its cloud-init drive."""

from __future__ import annotations

import re
from typing import Any

from tests.doubles.pve.call import Call, endpoint
from tests.doubles.pve.timeline import Steps

_CLOUD_KEYS = re.compile(r"ci\w+|sshkeys|nameserver|searchdomain")


@endpoint("GET", "/cluster/ha/resources")
def ha_resources(call: Call) -> list[dict[str, Any]]:
    """Return what HA looks after; pve-ha-manager src/PVE/API2/HA/Resources.pm, read."""
    managed = [vm.vmid for vm in call.world.vms.values() if vm.managed]
    return [{"sid": f"vm:{vmid}", "type": "vm", "state": "started", "digest": "0" * 40} for vmid in managed]


@endpoint("GET", "/cluster/replication")
def replication(call: Call) -> list[dict[str, Any]]:
    """Return the replication jobs; pve-manager PVE/API2/ReplicationConfig.pm 14a22df, read."""
    return [
        {"id": f"{vmid}-0", "guest": vmid, "jobnum": 0, "type": "local", "target": target}
        for vmid, target in call.world.replicated.items()
        if call.may(f"/vms/{vmid}", "VM.Audit")
    ]


@endpoint("GET", "/nodes/{node}/qemu/{vmid}/firewall/options")
def firewall(call: Call) -> dict[str, Any]:
    """Return the firewall options of a VM; pve-firewall src/PVE/API2/Firewall/VM.pm, read."""
    return dict(call.world.firewalls.get(call.vm.vmid, {}))


@endpoint("GET", "/nodes/{node}/qemu/{vmid}/cloudinit")
def cloud_init(call: Call) -> list[dict[str, Any]]:
    """Return the cloud-init keys, with those that the drive does not have yet (recordings 02, 20 and 07, 157)."""
    config = call.vm.merged()
    shown = {**config, "cipassword": "**********"} if "cipassword" in config else config
    return [{"key": key, "value": shown[key]} for key in sorted(shown) if _CLOUD_KEYS.fullmatch(key)]


@endpoint("PUT", "/nodes/{node}/qemu/{vmid}/cloudinit")
def regenerate(call: Call) -> Steps[None]:
    """Make the cloud-init drive anew (recording 07, 136)."""
    owner = object()
    yield from call.locked(call.vm.vmid, owner)
    call.vm.check_lock()
    call.vm.cloud_init = call.vm.merged()
    call.world.locks.release_all(owner)
