"""What a region offers and what is left of it: sizes and quotas, and what a caller may do.

azure-docs REST "Resource Skus - List" (filter by location) and "Usage - List"; the shapes are the SDK's models.
"""

from __future__ import annotations

import re
from typing import Any

from tests.doubles.arm.call import ENDPOINTS, Answer, Call, Endpoint, endpoint
from tests.doubles.arm.sdk import Route
from tests.doubles.arm.vms import cores_used
from tests.doubles.arm.world import Size


@endpoint("compute", "resource_skus_list")
def skus(call: Call) -> Answer:
    """List the sizes, of one region when the filter says so."""
    wanted = call.request.query.get("$filter", "")
    found = [_sku(call, name, size) for name, size in call.world.sizes.items()]
    return Answer(status=200, body={"value": found if not wanted or call.world.location in wanted else []})


def _sku(call: Call, name: str, size: Size) -> dict[str, Any]:
    location = call.world.location
    capabilities = {
        "vCPUs": size.cores,
        "MemoryGB": size.memory_mib / 1024,
        "CpuArchitectureType": size.architecture,
        "AcceleratedNetworkingEnabled": True,
        "HyperVGenerations": "V1,V2",
    }
    shown: dict[str, Any] = {
        "resourceType": "virtualMachines",
        "name": name,
        "family": size.family,
        "locations": [location],
        "locationInfo": [{"location": location, "zones": list(size.zones)}],
        "capabilities": [{"name": one, "value": str(value)} for one, value in capabilities.items()],
        "restrictions": [],
    }
    if size.restricted:
        shown["restrictions"] = [
            {
                "type": "Location",
                "values": [location],
                "restrictionInfo": {"locations": [location]},
                "reasonCode": size.restricted,
            }
        ]
    return shown


def permissions(call: Call) -> Answer:
    """List what the caller may do; every role of the double holds everywhere.

    azure-docs REST "Permissions - List For Resource Group" and "- List For Resource", as azure-mgmt-authorization
    4.0.0 asks for them, which the adapter does without.
    """
    shown = {"actions": sorted(call.client.rights), "notActions": [], "dataActions": [], "notDataActions": []}
    return Answer(status=200, body={"value": [shown]})


_SCOPE = r"/subscriptions/(?P<subscription_id>[^/]+)/resourcegroups/(?P<resource_group_name>[^/]+)(/providers/.+)?"
ENDPOINTS.append(
    Endpoint(
        service="authorization",
        route=Route(
            name="permissions_list_for_resource",
            method="GET",
            pattern=re.compile(f"{_SCOPE}/providers/Microsoft.Authorization/permissions", re.IGNORECASE),
            version="2022-04-01",
        ),
        handler=permissions,
        body="",
        policy=lambda _: ("", ""),
    )
)


@endpoint("compute", "usage_list")
def usages(call: Call) -> Answer:
    """List the quotas of a region with what is used of them."""
    found = []
    for name, limit in call.world.quotas.items():
        used = cores_used(call.world, "" if name == "cores" else name)
        title = "Total Regional vCPUs" if name == "cores" else f"{name} vCPUs"
        entry = {"value": name, "localizedValue": title}
        found.append({"unit": "Count", "currentValue": used, "limit": limit, "name": entry})
    return Answer(status=200, body={"value": found})
