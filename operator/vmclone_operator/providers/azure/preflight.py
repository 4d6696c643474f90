"""What is known to be in the way of clones before anything is copied. Pure: what was seen and what is wanted in.

What Azure copies of a disk: azure-compute-docs articles/virtual-machines/concepts-restore-points.md (ephemeral, shared
and confidential ones not) and disks-types.md (Ultra and Premium SSD v2 disks are in a zone where a region has zones).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from vmclone_operator.domain.backend import Consistency, Finding, PlanWish, Power
from vmclone_operator.domain.errors import CapabilityMissing, GuestAgentMissing
from vmclone_operator.providers.azure.bodies import NO_SIZE
from vmclone_operator.providers.azure.clones import Place
from vmclone_operator.providers.azure.names import colliding_tags, is_refused_as_tag
from vmclone_operator.providers.azure.sources import Seen, several_disks

_POOL = "leave disk.pool out: on Azure a copy has the kind of its source's disk"
_SHAPE = "leave template.cpus and template.memory out: on Azure a VM has a size; set template.size"
_MOST_LABELS = 50 - 12
"""Of the 50 tags that a resource may have (azure-docs articles/azure-resource-manager/management/tag-resources.md), a
clone's stamp and what else we write down take up to twelve."""
_NO_ACCOUNT = re.compile(
    r"1|123|a|actuser|adm|admin[12]?|administrator|aspnet|backup|console|david|guest|john|owner|root|server|sql"
    r"|support|support_388945a0|sys|test[1-3]?|user[1-5]?",
    re.IGNORECASE,
)
"""What Azure refuses as the account of a new VM (azure-mgmt-compute 39.0.0, `OSProfile.admin_username`)."""
_ZONAL = frozenset({"UltraSSD_LRS", "PremiumV2_LRS"})
_NETWORKS = "leave template.networks out: on Azure clones hang on azure.subnetID of the CloneBackend"


def findings(seen: Seen | None, wish: PlanWish, place: Place) -> Iterator[Finding]:
    """Return every reason why this source cannot be cloned so; None: it is at another backend, and an image is used."""
    refused = sorted(label for label in wish.labels if is_refused_as_tag(label))
    twice = colliding_tags(wish.labels)
    wrong = [
        (bool(wish.pool), _POOL),
        (bool(wish.shape.cpus or wish.shape.memory_bytes), _SHAPE),
        (bool(wish.shape.networks), _NETWORKS),
        (
            bool(refused),
            f"the labels {', '.join(refused)} can be no tags on Azure, where those names are taken: rename them",
        ),
        (
            bool(twice),
            f"the labels {', '.join(twice)} would be one tag on Azure, which knows no / and no case: rename one",
        ),
        (
            len(wish.labels) > _MOST_LABELS,
            f"template.labels has {len(wish.labels)} labels: on Azure {_MOST_LABELS} fit beside the clone's own tags",
        ),
        (
            bool(wish.image and is_no_account(wish.user)),
            f"Azure makes no account {wish.user!r}: set home.user of the CloneSource to another one, or use mode Disk",
        ),
        (seen is None and not place.size_of_clone(wish.shape, ""), NO_SIZE),
    ]
    wrong += [] if seen is None else _of_source(seen, place)
    wrong += [] if seen is None or wish.image else _of_disks(seen, wish)
    for is_so, sentence in wrong:
        if is_so:
            yield Finding(reason=CapabilityMissing.reason, message=sentence)
    if seen is not None and wish.agent and not wish.image and seen.power is Power.ON and not seen.agent:
        told = (
            f"Azure's agent in {seen.name} does not report: install walinuxagent in it; a clone is reached by it alone"
        )
        yield Finding(reason=GuestAgentMissing.reason, message=told)


def _of_source(seen: Seen, place: Place) -> list[tuple[bool, str]]:
    return [
        (_region(seen.location) != _region(place.location), _elsewhere(seen, place)),
        (_is_windows(seen), f"the source {seen.name} runs Windows: only Linux guests get an identity of their own"),
    ]


def _of_disks(seen: Seen, wish: PlanWish) -> list[tuple[bool, str]]:
    """Return why a source's disks can not be copied; in mode Clean they are not."""
    properties = seen.vm["properties"]
    boot = (properties.get("storageProfile") or {}).get("osDisk") or {}
    security = str((properties.get("securityProfile") or {}).get("securityType", ""))
    zonal = sorted({disk.sku for disk in seen.disks if disk.sku in _ZONAL}) if seen.vm.get("zones") else []
    crash = wish.consistency is Consistency.CRASH_CONSISTENT and seen.power is Power.ON and len(seen.disks) > 1
    clean = "use mode Clean"
    return [
        (crash, several_disks(seen)),
        ("diffDiskSettings" in boot, f"the boot disk of {seen.name} is ephemeral, and Azure copies none: {clean}"),
        (security == "ConfidentialVM", f"{seen.name} is a confidential VM, and Azure copies none: {clean}"),
        (
            any(disk.shared for disk in seen.disks),
            f"{seen.name} has a disk that several VMs may share (maxShares), and Azure copies none: {clean}",
        ),
        (
            bool(zonal),
            f"{seen.name} has disks of the kind {', '.join(zonal)} in a zone, and clones are in none: {clean}",
        ),
    ]


def _elsewhere(seen: Seen, place: Place) -> str:
    return (
        f"the source {seen.name} is in {seen.location}, the CloneBackend's clones go to {place.location}: use a"
        " CloneBackend of the source's region"
    )


def is_no_account(user: str) -> bool:
    """Tell whether Azure makes no account of this name."""
    return _NO_ACCOUNT.fullmatch(user) is not None


def _region(name: str) -> str:
    """Return a region as it is compared: `West Europe` and `westeurope` are one."""
    return name.replace(" ", "").lower()


def _is_windows(seen: Seen) -> bool:
    boot = (seen.vm["properties"].get("storageProfile") or {}).get("osDisk") or {}
    return str(boot.get("osType", "Linux")).lower() == "windows"
