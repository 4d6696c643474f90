"""What a backend says of the VMs and images that may be cloned: frozen values, the same for every provider."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Power(StrEnum):
    """Whether a VM runs, in the user's words."""

    ON = "On"
    OFF = "Off"


class Consistency(StrEnum):
    """What a frozen point promises about the file systems in it, weakest first."""

    CRASH_CONSISTENT = "CrashConsistent"
    QUIESCED = "Quiesced"
    POWERED_OFF = "PoweredOff"

    def satisfies(self, wanted: Consistency) -> bool:
        """Return whether this consistency is at least the wanted one."""
        order = list(Consistency)
        return order.index(self) >= order.index(wanted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that speaks against a plan, found before anything is changed."""

    reason: str = "Blocked"
    """The condition reason, where there is one of its own."""
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """What each clone is made of at a backend that bills it: `count` of one kind and size."""

    kind: str
    """In the backend's word, for example Disk."""
    size: str = ""
    """For example Standard_D2s_v5, or Premium_LRS 32 GiB; empty where the kind has none or it is not known yet."""
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskInfo:
    """One disk of a source; `capacity_bytes` is what the guest sees, `allocated_bytes` what is stored."""

    target: str
    capacity_bytes: int
    allocated_bytes: int
    shared: bool = False
    """True for cdrom, read-only and shareable disks: attached to the clone or left out, never copied."""
    kind: str = ""
    """What it is billed as, at a backend that bills: Premium_LRS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a VM has beside its disks' content; 0 and empty mean: as the source."""

    cpus: int = 0
    memory_bytes: int = 0
    networks: tuple[str, ...] = ()
    """Names of networks at the backend, one for each NIC."""
    size: str = ""
    """The name of a VM size, at a backend that has sizes; it is wished, and never read back."""


AS_THE_SOURCE = Shape()
"""Nothing differs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageInfo:
    """A golden image that mode Clean may start from, as it is now."""

    name: str
    fingerprint: str
    """`sha256:...` over what changes when the image is replaced: place, size, time of its last write."""
    capacity_bytes: int
    allocated_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceInfo:
    """A VM that may be cloned, as it is now."""

    source_id: str
    """The backend's own id, which survives a rename (libvirt: the domain's UUID)."""
    name: str
    power: Power
    agent: bool
    """True when the guest agent's channel is connected."""
    disks: tuple[DiskInfo, ...]
    macs: tuple[str, ...]
    fingerprint: str
    """`sha256:...` over what makes this source this source: id, disks, sizes. Not over its data."""
    addresses: tuple[str, ...] = ()
    """The guest's own addresses, if it runs and tells: a clone that has one of them is not let through."""
    shape: Shape = AS_THE_SOURCE
    """What it has itself."""
    size: str = ""
    """Its VM size, at a backend that has sizes."""
