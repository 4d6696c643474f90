"""Sources and images on Azure, as they are now."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from vmclone_operator.domain.backend import DiskInfo, ImageInfo, Power, SourceInfo
from vmclone_operator.domain.errors import ImageNotFound, RetryLater, SourceNotFound
from vmclone_operator.providers.azure.arm import DISK, NIC, VM, Arm, Json, state_of

_GIB = 1 << 30
_ID = re.compile(
    r"/subscriptions/(?P<subscription>[^/]+)/resourceGroups/(?P<group>[^/]+)/providers/(?P<kind>.+)/(?P<name>[^/]+)",
    re.IGNORECASE,
)
_VIRTUAL_MACHINES = "microsoft.compute/virtualmachines"
_URN_PARTS = 4
_OFF = frozenset({"stopped", "deallocated"})
_POWER = "PowerState/"


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenDisk:
    """One managed disk of a source."""

    id: str
    gib: int
    sku: str
    lun: int = -1
    """-1: the boot disk."""
    shared: bool = False
    """Whether several VMs may have it at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A source as one look at it shows it."""

    source_id: str
    name: str
    location: str
    power: Power
    """OFF only when nothing of it runs any more; what Azure does not know counts as on."""
    agent: bool
    going: str = ""
    """`starting`, `stopping`, `deallocating` or `unknown` while it is neither on nor off; else empty."""
    disks: tuple[SeenDisk, ...]
    """The boot disk first."""
    vm: Json

    @property
    def off_since(self) -> str:
        """Return what stays the same while a source is off: when Azure last did something to it; empty when it is on.

        Who was on in between was started by Azure, and that is a later time (instance view, "time" of a status).
        """
        return "" if self.power is Power.ON else last_change(self.vm) or "unknown"

    @property
    def fingerprint(self) -> str:
        """Return what makes it this source: its id and its disks."""
        parts = [self.vm["properties"].get("vmId"), *((disk.id.lower(), disk.gib) for disk in self.disks)]
        return f"sha256:{hashlib.sha256(json.dumps(parts).encode()).hexdigest()}"


class Sources:
    """What may be cloned, in one subscription."""

    def __init__(self, arm: Arm, location: str) -> None:
        self._arm, self._location = arm, location

    async def by_id(self, name: str) -> Seen:
        """Return a source by name (in our resource group) or by its resource id; raises SourceNotFound."""
        group, vm_name = self.place(name)
        arm = self._arm.at(group)
        vm = await arm.get(VM, vm_name, expand="instanceView")
        if vm is None:
            raise SourceNotFound(f"there is no VM {vm_name} in the resource group {group}")
        profile = vm["properties"].get("storageProfile") or {}
        named = [profile.get("osDisk") or {}, *(profile.get("dataDisks") or [])]
        disks = [await self._disk(arm, vm_name, one) for one in named]
        state = power_state(vm)
        return Seen(
            source_id=str(vm["id"]),
            name=vm_name,
            location=str(vm["location"]),
            power=Power.OFF if state in _OFF else Power.ON,
            agent=agent_ready(vm),
            going="" if state in {"running", *_OFF} else state,
            disks=tuple(disks),
            vm=vm,
        )

    async def _disk(self, arm: Arm, vm: str, named: Json) -> SeenDisk:
        disk_id = str((named.get("managedDisk") or {}).get("id", ""))
        found = _ID.fullmatch(disk_id)
        if found is None:
            raise SourceNotFound(
                f"the VM {vm} has a disk that is no managed disk ({named.get('name')}): move it to one"
            )
        disk = await arm.at(found["group"]).get(DISK, found["name"])
        if disk is None:
            raise RetryLater(f"the disk {disk_id} of {vm} is not there just now")
        properties, lun = disk["properties"], int(named.get("lun", -1))
        shared = int(properties.get("maxShares") or 1) > 1
        gib = int(properties["diskSizeGB"])
        return SeenDisk(id=disk_id, gib=gib, sku=str(disk["sku"]["name"]), lun=lun, shared=shared)

    async def describe(self, name: str) -> SourceInfo:
        """Return a source in the contract's words."""
        seen = await self.by_id(name)
        disks = (
            DiskInfo(target=str(number), capacity_bytes=disk.gib * _GIB, allocated_bytes=disk.gib * _GIB, kind=disk.sku)
            for number, disk in enumerate(seen.disks)
        )
        return SourceInfo(
            source_id=seen.source_id,
            name=seen.name,
            power=seen.power,
            agent=seen.agent,
            disks=tuple(disks),
            macs=(),
            fingerprint=seen.fingerprint,
            addresses=await self.addresses(seen.vm),
            size=size_of(seen),
        )

    async def addresses(self, vm: Json) -> tuple[str, ...]:
        """Return a VM's private addresses, as its network interfaces have them."""
        found: list[str] = []
        for one in (vm["properties"].get("networkProfile") or {}).get("networkInterfaces") or []:
            place = _ID.fullmatch(str(one["id"]))
            nic = await self._arm.at(place["group"]).get(NIC, place["name"]) if place else None
            for configuration in (nic or {}).get("properties", {}).get("ipConfigurations") or []:
                address = configuration["properties"].get("privateIPAddress")
                found += [str(address)] if address else []
        return tuple(found)

    async def image(self, reference: str) -> ImageInfo:
        """Resolve publisher:offer:sku:version to a version, which is also its fingerprint; raises ImageNotFound."""
        parts = reference.split(":")
        if len(parts) != _URN_PARTS:
            raise ImageNotFound(f"the image {reference!r} is no publisher:offer:sku:version")
        images: Any = self._arm.operations("compute", "virtual_machine_images")
        found = await self._arm.asked(lambda: images.list(self._location, *parts[:3]))
        listed = [str(one.name) for one in found or ()]
        version = max(listed, key=_numbers, default="") if parts[3] == "latest" else parts[3]
        if version not in listed:
            raise ImageNotFound(f"there is no image {reference} in {self._location}")
        name = ":".join([*parts[:3], version])
        digest = hashlib.sha256(name.encode()).hexdigest()
        return ImageInfo(name=name, fingerprint=f"sha256:{digest}", capacity_bytes=0, allocated_bytes=0)

    def place(self, name: str) -> tuple[str, str]:
        """Return group and name of a VM that is named by its name or its id."""
        found = _ID.fullmatch(name)
        if found is None:
            return self._arm.group, name
        if found["kind"].lower() != _VIRTUAL_MACHINES:
            raise SourceNotFound(f"{name} is not the id of a virtual machine")
        if found["subscription"].lower() != self._arm.subscription.lower():
            raise SourceNotFound(
                f"the source {found['name']} is in the subscription {found['subscription']}, the CloneBackend is of"
                f" {self._arm.subscription}: use a CloneBackend of the source's subscription"
            )
        return found["group"], found["name"]

    def has(self, source_id: str) -> bool:
        """Tell whether a source's id is that of a VM of this subscription; one of another backend's is not."""
        found = _ID.fullmatch(source_id)
        if found is None or found["kind"].lower() != _VIRTUAL_MACHINES:
            return False
        return found["subscription"].lower() == self._arm.subscription.lower()


def several_disks(seen: Seen) -> str:
    """Return why snapshots of a source that runs are no frozen point, and what to do."""
    return (
        f"the source {seen.name} runs and has {len(seen.disks)} disks, whose snapshots are not of one moment: "
        "set disk.consistency to Quiesced (one restore point of all disks), or stop the source"
    )


def size_of(seen: Seen | None) -> str:
    """Return a source's VM size; empty when there is none to see."""
    profile: Json = {} if seen is None else seen.vm["properties"].get("hardwareProfile") or {}
    return str(profile.get("vmSize") or "")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdigit() else 0 for part in version.split("."))


def power_state(vm: Json) -> str:
    """Return running, stopped, deallocated, or what a VM is on its way to; `unknown` when its view says nothing.

    The states are those of azure-compute-docs articles/virtual-machines/states-billing.md.
    """
    view = vm["properties"].get("instanceView") or {}
    codes = [str(one.get("code", "")) for one in view.get("statuses") or []]
    return next((code.removeprefix(_POWER) for code in codes if code.startswith(_POWER)), "unknown")


def last_change(vm: Json) -> str:
    """Return the time of a VM's last operation, by its instance view; empty when it does not say."""
    statuses = (vm["properties"].get("instanceView") or {}).get("statuses") or []
    ends = (one for one in statuses if str(one.get("code", "")).startswith("ProvisioningState/"))
    return max((str(one.get("time") or "") for one in ends), default="")


def failure_of(vm: Json) -> tuple[str, str]:
    """Return code and text of what failed last at a VM, by its instance view; empty when nothing did."""
    if state_of(vm) != "Failed":
        return "", ""
    for one in (vm["properties"].get("instanceView") or {}).get("statuses") or []:
        _, _, code = str(one.get("code", "")).partition("ProvisioningState/failed/")
        if code:
            return code, str(one.get("message", ""))
    return "", ""


def agent_ready(vm: Json) -> bool:
    """Tell whether Azure's agent in a VM reports."""
    view = (vm["properties"].get("instanceView") or {}).get("vmAgent") or {}
    return any(one.get("code") == "ProvisioningState/succeeded" for one in view.get("statuses") or [])
