"""Resource pools (recordings 06, 1-8 and 09, 42-44)."""

from __future__ import annotations

from typing import Any

from tests.doubles.pve.call import Call, endpoint
from tests.doubles.pve.refusals import Refused
from tests.doubles.pve.rows import resource
from tests.doubles.pve.world import Pool


@endpoint("GET", "/pools")
def pools(call: Call) -> list[dict[str, Any]]:
    """Return the pools that the caller may audit."""
    seen = [pool for pool in call.world.pools.values() if call.may(f"/pool/{pool.name}", "Pool.Audit")]
    wanted = [pool for pool in seen if call.params.get("poolid", pool.name) == pool.name]
    return [{"poolid": pool.name, **({"comment": pool.comment} if pool.comment else {})} for pool in wanted]


@endpoint("POST", "/pools")
def make(call: Call) -> None:
    """Make a pool."""
    name = call.params["poolid"]
    if name in call.world.pools:
        raise Refused(f"create pool failed: pool '{name}' already exists")
    call.world.pools[name] = Pool(name, call.params.get("comment", ""))


@endpoint("GET", "/pools/{poolid}")
def pool(call: Call) -> dict[str, Any]:
    """Return a pool with its members, who look as in the last status round."""
    found = call.world.pools.get(call.params["poolid"])
    if found is None:
        raise Refused(f"pool '{call.params['poolid']}' does not exist")
    members = [resource(call.world.vms[vmid], live=False) for vmid in sorted(found.vms)]
    return {"poolid": found.name, "members": members, **({"comment": found.comment} if found.comment else {})}
