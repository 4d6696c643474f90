"""Whether a region offers the size that clones get, and whether the subscription's quota holds so many of them.

For example, three clones of Standard_D2s_v5 need 6 vCPUs, of the quota `standardDSv5Family` and of the region's own,
`cores`. What Azure would refuse VM by VM, after a freeze and a copy, is told before anything is made.

Sizes: "Resource Skus - List"; quotas: "Usage - List" (learn.microsoft.com/rest/api/compute). Both are read at the
subscription. An application whose role ends at a resource group may not: then Azure's refusal of a VM tells.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vmclone_operator.domain.backend import Finding
from vmclone_operator.domain.errors import CapabilityMissing, InsufficientSpace, NotAuthorized
from vmclone_operator.providers.azure.arm import Arm, Json, Sdk
from vmclone_operator.providers.azure.remembered import Remembered

_SIZES_FRESH_SECONDS, _QUOTAS_FRESH_SECONDS = 3600, 60
_REGION = "cores"
"""The quota of all vCPUs of a region."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """One VM size in one region."""

    name: str
    family: str
    """The quota that its vCPUs count in, beside the region's."""
    vcpus: int
    refused: str = ""
    """Why this subscription does not get it there, in Azure's word; empty when it does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """What a subscription may have of something in a region."""

    name: str
    used: int
    limit: int


def sizes_of(skus: Sequence[Json]) -> dict[str, Size]:
    """Return VM sizes by their lower-case names, from what Azure lists of one region."""
    found = [_size(sku) for sku in skus if str(sku.get("resourceType", "")).lower() == "virtualmachines"]
    return {size.name.lower(): size for size in found}


def _size(sku: Json) -> Size:
    values = {str(one.get("name")): str(one.get("value")) for one in sku.get("capabilities") or []}
    whole = [one for one in sku.get("restrictions") or [] if one.get("type") == "Location"]
    vcpus = values.get("vCPUsAvailable") or values.get("vCPUs") or "0"
    return Size(
        name=str(sku["name"]),
        family=str(sku.get("family", "")),
        vcpus=int(vcpus),
        refused=str(whole[0].get("reasonCode", "")) if whole else "",
    )


def quotas_of(usages: Sequence[Json]) -> dict[str, Quota]:
    """Return quotas by their lower-case names."""
    found = [
        Quota(name=str(one["name"]["value"]), used=int(one["currentValue"]), limit=int(one["limit"])) for one in usages
    ]
    return {quota.name.lower(): quota for quota in found}


def of_size(name: str, sizes: dict[str, Size], region: str) -> Iterator[Finding]:
    """Return why VMs of a size can not be had in a region."""
    size = sizes.get(name.lower())
    if size is None:
        told = (
            f"Azure has no VM size {name} in {region}: set template.size, or azure.size in the CloneBackend, to one"
            " that it has there"
        )
        yield Finding(reason=CapabilityMissing.reason, message=told)
    elif size.refused:
        told = (
            f"Azure does not give this subscription the VM size {size.name} in {region} ({size.refused}): ask Azure for"
            " it, or set template.size, or azure.size in the CloneBackend, to another one"
        )
        yield Finding(reason=CapabilityMissing.reason, message=told)


def of_quota(size: Size, quotas: dict[str, Quota], replicas: int, region: str) -> Iterator[Finding]:
    """Return which quotas do not hold so many VMs of a size."""
    needed = size.vcpus * replicas
    for name in (_REGION, size.family):
        quota = quotas.get(name.lower())
        if quota is None or quota.used + needed <= quota.limit:
            continue
        told = (
            f"{replicas} VMs of the size {size.name} need {needed} vCPUs, and the quota {quota.name} in {region} has"
            f" {max(0, quota.limit - quota.used)} of {quota.limit} left: ask Azure for a higher quota, lower"
            " spec.replicas, or set template.size to a size of another family"
        )
        yield Finding(reason=InsufficientSpace.reason, message=told)


class Capacity:
    """Sizes and quotas of one region, remembered for a while: the list of sizes is long."""

    def __init__(self, arm: Arm, region: str) -> None:
        self._arm, self._region = arm, region
        self._sizes = Remembered[dict[str, Size]](_SIZES_FRESH_SECONDS)
        self._quotas = Remembered[dict[str, Quota]](_QUOTAS_FRESH_SECONDS)

    async def findings(self, size: str, replicas: int) -> Sequence[Finding]:
        """Return why so many VMs of a size can not be had; nothing where we may not look."""
        try:
            sizes = await self._sizes.get(self._region, self._list_sizes)
            found = tuple(of_size(size, sizes, self._region))
            if found:
                return found
            quotas = await self._quotas.get(self._region, self._list_quotas)
        except NotAuthorized:
            return ()
        return tuple(of_quota(sizes[size.lower()], quotas, replicas, self._region))

    async def _list_sizes(self, region: str) -> dict[str, Size]:
        skus: Sdk = self._arm.operations("compute", "resource_skus")
        return sizes_of(await self._arm.listed(lambda: skus.list(filter=f"location eq '{region}'")))

    async def _list_quotas(self, region: str) -> dict[str, Quota]:
        usage: Sdk = self._arm.operations("compute", "usage")
        return quotas_of(await self._arm.listed(lambda: usage.list(region)))
