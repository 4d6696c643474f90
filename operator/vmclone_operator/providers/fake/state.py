"""What the simulated hypervisor holds: plain data, so that it can be saved to a file and read back.

Everything here outlives the operator; nothing here belongs to a session.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from vmclone_operator.domain.backend import Consistency, Power, Stamp
from vmclone_operator.providers.fake.guest import Guest

WATCHDOG_SECONDS = 4.0
"""What the in-guest watchdog allows, as the libvirt adapter's does."""


@dataclass(slots=True, kw_only=True)
class Volume:
    """A file in the pool."""

    name: str
    group: str
    """What the names of the same owner's files begin with; empty for foreign files."""
    role: str
    """The disk's target, or `seed`."""
    token: str = ""
    backing: str = ""
    allocated_bytes: int = 0


@dataclass(slots=True, kw_only=True)
class Disk:
    """A disk of a source."""

    target: str
    capacity_bytes: int
    allocated_bytes: int
    shared: bool = False


@dataclass(slots=True, kw_only=True)
class Machine:
    """A VM: a source, a clone of ours, or anybody else's."""

    uuid: str
    name: str
    guest: Guest
    stamp: Stamp | None = None
    """None for sources and everybody else's VMs."""
    foreign: bool = False
    """True for what tests put here: touching it is a mistake."""
    token: str = ""
    disks: list[Disk] = field(default_factory=list)
    volumes: list[str] = field(default_factory=list)
    macs: list[str] = field(default_factory=list)
    power: Power = Power.OFF
    connected: bool = False
    has_agent: bool = True
    boot_seconds: float = 0
    powered_at: float = 0
    linked_at: float = 0
    defined_at: float = 0
    complete_at: float = 0
    frozen_since: float | None = None
    longest_freeze_seconds: float = 0

    @property
    def machine_id(self) -> str:
        """Return what systemd makes of this VM's UUID."""
        return self.uuid.replace("-", "")

    @property
    def fingerprint(self) -> str:
        """Return what makes this source this source: id, disks, sizes; not its data."""
        parts = [self.uuid, *(f"{disk.target}:{disk.capacity_bytes}:{disk.shared}" for disk in self.disks)]
        return "sha256:" + hashlib.sha256("/".join(parts).encode()).hexdigest()

    @property
    def own_disks(self) -> list[Disk]:
        """Return the disks that are copied; shared ones are not."""
        return [disk for disk in self.disks if not disk.shared]

    def agent(self, now: float) -> bool:
        """Return whether the guest agent answers."""
        return self.power is Power.ON and self.has_agent and now >= self.powered_at + self.boot_seconds

    def frozen(self, now: float) -> bool:
        """Return whether the file systems are frozen; the watchdog thaws them in time, operator or not."""
        if self.frozen_since is not None and now - self.frozen_since >= WATCHDOG_SECONDS:
            self._thawed(WATCHDOG_SECONDS)
        return self.frozen_since is not None

    def thaw(self, now: float) -> bool:
        """Thaw the file systems; return whether they still were frozen."""
        if not self.frozen(now) or self.frozen_since is None:
            return False
        self._thawed(now - self.frozen_since)
        return True

    def _thawed(self, after_seconds: float) -> None:
        self.longest_freeze_seconds = max(self.longest_freeze_seconds, after_seconds)
        self.frozen_since = None


@dataclass(slots=True, kw_only=True)
class Image:
    """A frozen point whose copy was begun: the job, and what is in its volumes."""

    token: str
    instance: str
    vmclone_uid: str
    source_id: str
    fingerprint: str
    consistency: Consistency
    guest: Guest
    """Who the source was at the point in time."""
    volumes: list[str]
    started_at: float
    copy_seconds: float
    lost: bool = False
    """True when the job died before it was done."""

    def running(self, now: float) -> bool:
        """Return whether the copy still runs."""
        return not self.lost and now < self.started_at + self.copy_seconds

    def percent(self, now: float) -> int:
        """Return how far the copy is."""
        return 100 if not self.running(now) else int(100 * (now - self.started_at) / self.copy_seconds)


@dataclass(slots=True, kw_only=True)
class Effects:
    """What really happened, however often it was asked for."""

    writes: int = 0
    creates: dict[str, int] = field(default_factory=dict)
    """Clones defined, by incarnation."""
    boots: dict[str, int] = field(default_factory=dict)
    """Times a clone was switched on, by incarnation."""
    deletes: dict[str, int] = field(default_factory=dict)
    """Clones undefined, by incarnation."""
    copies: dict[str, int] = field(default_factory=dict)
    """Copies of a source's disks begun, by VMClone uid."""
    foreign_touched: list[str] = field(default_factory=list)
    """Objects that are not ours and were changed all the same: must stay empty."""

    @staticmethod
    def count(counter: dict[str, int], key: str) -> None:
        """Add one."""
        counter[key] = counter.get(key, 0) + 1


@dataclass(slots=True, kw_only=True)
class State:
    """The whole hypervisor."""

    machines: dict[str, Machine] = field(default_factory=dict)
    """By UUID."""
    volumes: dict[str, Volume] = field(default_factory=dict)
    """By name."""
    images: dict[str, Image] = field(default_factory=dict)
    """Begun copies by the attempt's token."""
    jobs: dict[str, str] = field(default_factory=dict)
    """By source UUID: the token of the latest copy."""
    leases: dict[str, str] = field(default_factory=dict)
    """Addresses by machine-id: two guests with the same one get the same address, as in real life."""
    effects: Effects = field(default_factory=Effects)
    now: float = 0
    """When it was saved; time never runs backwards over a restart."""
