"""What clones left whose VM is gone: disks, network cards and security groups, found by the stamp in their tags.

For example, somebody deletes the VM dev-1-3f9a2c in the portal, and its VMClone after that with the operator away:
`dev-1-3f9a2c-nic`, `-nsg` and `-disk-0` stay, and the disk is billed. Nobody knows the name any more, so everything is
listed; a list may not yet have what is a minute old, and the next look has it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from vmclone_operator.domain.backend import CloneRef, Leftover, LeftoverKind, OperationState, Owner, Progress
from vmclone_operator.providers.azure.arm import DISK, NIC, NSG, VM, Arm, Json, Kind, state_of
from vmclone_operator.providers.azure.frozen import LOOK_SECONDS
from vmclone_operator.providers.azure.names import MADE, clone_of_part, read_stamp

_ORDER = ((VM,), (NIC, DISK), (NSG,))
"""What is removed before what: Azure refuses to take a card or a disk from a VM, and a group from a card."""


class Remains:
    """The parts of clones in one resource group, whoever made them."""

    def __init__(self, arm: Arm) -> None:
        self._arm = arm

    async def find(self, instance: str, living: Collection[str]) -> Sequence[Leftover]:
        """List the clones of an installation that are gone and left something; one that has a VM is no leftover.

        A VM that never was complete is one: `find_clone` does not show it.
        """
        alive, found = set(living), dict[str, str]()
        for kind in (NIC, NSG, DISK, VM):
            for one in await self._arm.list(kind):
                incarnation = _incarnation(one, instance)
                if incarnation and incarnation not in alive:
                    found[incarnation] = clone_of_part(str(one["name"]))
                if kind is VM and MADE in (one.get("tags") or {}):
                    found.pop(incarnation, None)
        left = [
            Leftover(kind=LeftoverKind.VOLUME, owner=Owner(instance=instance, incarnation=incarnation), name=name)
            for incarnation, name in found.items()
        ]
        return sorted(left, key=lambda leftover: leftover.name)

    async def remove(self, ref: CloneRef) -> Progress:
        """Remove all that has a clone's instance and incarnation one step on; DONE once nothing is left."""
        for kinds in _ORDER:
            left = [(kind, one) for kind in kinds for one in await self._of(kind, ref)]
            for kind, one in left:
                if state_of(one) != "Deleting":
                    await self._arm.delete(kind, str(one["name"]))
            if left:
                return Progress(state=OperationState.RUNNING, again_seconds=LOOK_SECONDS)
        return Progress(state=OperationState.DONE, percent=100)

    async def _of(self, kind: Kind, ref: CloneRef) -> list[Json]:
        """Return what of a kind is the clone's, each looked at again by name: a list may tell what was."""
        found: list[Json] = []
        for one in await self._arm.list(kind):
            if _incarnation(one, ref.stamp.instance) == ref.stamp.incarnation:
                live = await self._arm.get(kind, str(one["name"]))
                is_its = live is not None and _incarnation(live, ref.stamp.instance) == ref.stamp.incarnation
                found += [live] if live is not None and is_its else []
        return found


def _incarnation(resource: Json, instance: str) -> str:
    """Return which clone's a resource is; empty when it is none of this installation's."""
    mark = read_stamp(resource.get("tags"))
    return mark[0].incarnation if mark is not None and mark[0].instance == instance else ""
