"""Which rights the application lacks for what is asked for, all of them at once, each with its scope.

For example, a role without `Microsoft.Compute/disks/write` lets a restore point be taken, and the clone is refused
after it. What the application may do is read before anything is made: "Permissions - List For Resource Group" and
"List For Resource" (learn.microsoft.com/rest/api/authorization, 2022-04-01), which tell of inherited roles, too. Who
may not read that (`Microsoft.Authorization/permissions/read`) is told by each step that Azure refuses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from vmclone_operator.domain.backend import Consistency, Finding, PlanWish, Power
from vmclone_operator.domain.errors import NotAuthorized
from vmclone_operator.providers.azure.arm import Arm, Json
from vmclone_operator.providers.azure.clones import Place
from vmclone_operator.providers.azure.remembered import Remembered
from vmclone_operator.providers.azure.sources import Seen

_VERSION = "2022-04-01"
_FRESH_SECONDS = 60
_NAMED = 10
"""So many a message names: it has 1,000 characters."""
_EACH = (
    "Microsoft.Compute/disks/delete",
    "Microsoft.Compute/disks/read",
    "Microsoft.Compute/disks/write",
    "Microsoft.Compute/virtualMachines/deallocate/action",
    "Microsoft.Compute/virtualMachines/delete",
    "Microsoft.Compute/virtualMachines/read",
    "Microsoft.Compute/virtualMachines/runCommands/delete",
    "Microsoft.Compute/virtualMachines/runCommands/read",
    "Microsoft.Compute/virtualMachines/runCommands/write",
    "Microsoft.Compute/virtualMachines/start/action",
    "Microsoft.Compute/virtualMachines/write",
    "Microsoft.Network/networkInterfaces/delete",
    "Microsoft.Network/networkInterfaces/join/action",
    "Microsoft.Network/networkInterfaces/read",
    "Microsoft.Network/networkInterfaces/write",
    "Microsoft.Network/networkSecurityGroups/read",
)
"""What every clone's life asks for in the resource group of the CloneBackend."""
_QUARANTINE = (
    "Microsoft.Network/networkSecurityGroups/delete",
    "Microsoft.Network/networkSecurityGroups/join/action",
    "Microsoft.Network/networkSecurityGroups/write",
)
_POINT = (
    "Microsoft.Compute/restorePointCollections/delete",
    "Microsoft.Compute/restorePointCollections/read",
    "Microsoft.Compute/restorePointCollections/restorePoints/read",
    "Microsoft.Compute/restorePointCollections/restorePoints/write",
    "Microsoft.Compute/restorePointCollections/write",
)
_SNAPSHOTS = (
    "Microsoft.Compute/snapshots/delete",
    "Microsoft.Compute/snapshots/read",
    "Microsoft.Compute/snapshots/write",
)
_SUBNET = ("Microsoft.Network/virtualNetworks/subnets/join/action",)
_GROUP = ("Microsoft.Network/networkSecurityGroups/join/action",)


def needed(seen: Seen | None, wish: PlanWish, group: str, place: Place) -> Mapping[str, Sequence[str]]:
    """Return what is asked for on each scope: the resource group, the subnet, and a security group that is named."""
    in_group = list(_EACH)
    if not wish.image:
        quiesced = wish.consistency is Consistency.QUIESCED and seen is not None and seen.power is Power.ON
        in_group += [*_QUARANTINE, *(_POINT if quiesced else _SNAPSHOTS)]
    scopes: dict[str, Sequence[str]] = {group: in_group, place.subnet_id: _SUBNET}
    if place.group_id:
        scopes[place.group_id] = _GROUP
    return scopes


def lacking(actions: Sequence[str], permissions: Sequence[Json]) -> Iterator[str]:
    """Return the actions that no role gives: one that a role leaves out (notActions) may be in another role."""
    for action in actions:
        given = (
            _among(action, one.get("actions")) and not _among(action, one.get("notActions")) for one in permissions
        )
        if not any(given):
            yield action


def _among(action: str, patterns: Sequence[str] | None) -> bool:
    """Tell whether an action is one of those that a role names: no case, and `*` stands for anything."""
    return any(_pattern(one).fullmatch(action) for one in patterns or ())


def _pattern(written: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, written.split("*"))), re.IGNORECASE)


class Rights:
    """What one application may do, remembered for a while."""

    def __init__(self, arm: Arm, place: Place) -> None:
        self._arm, self._place = arm, place
        self._known = Remembered[Sequence[Json] | None](_FRESH_SECONDS)

    async def findings(self, seen: Seen | None, wish: PlanWish) -> Sequence[Finding]:
        """Return which rights lack on which scope; nothing where we may not look."""
        group = f"/subscriptions/{self._arm.subscription}/resourceGroups/{self._arm.group}"
        found = []
        for scope, actions in needed(seen, wish, group, self._place).items():
            permissions = await self._known.get(scope, self._permissions)
            left = [] if permissions is None else sorted(lacking(actions, permissions))
            if left:
                more = f" and {len(left) - _NAMED} more" if len(left) > _NAMED else ""
                told = (
                    f"the application lacks {', '.join(left[:_NAMED])}{more} on {scope}: add to its role what lacks"
                    " (examples/azure-role.json has all), or assign the role on that scope"
                )
                found.append(Finding(reason=NotAuthorized.reason, message=told))
        return tuple(found)

    async def _permissions(self, scope: str) -> Sequence[Json] | None:
        """Return the roles' parts that hold on a scope; None where we may not look, or where nothing is."""
        try:
            return await self._arm.pages(f"{scope}/providers/Microsoft.Authorization/permissions", _VERSION)
        except NotAuthorized:
            return None
