"""What the simulated hypervisor holds: plain data, so that it can be saved to a file and read back.

Everything here outlives the operator; nothing here belongs to a session.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from vmclone_operator.domain.backend import Consistency, Power, Shape, Stamp
from vmclone_operator.providers.fake.guest import Guest
from vmclone_operator.providers.fake.tasks import Tasks

GIB = 1024**3
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
    capacity_bytes: int = 0
    """What a guest sees; known of clone disks only."""
    pool: str = ""
    """Empty: the backend's own pool."""
    copied_from: str = ""
    """Full: the base whose content goes into it."""
    busy_until: float = 0
    """Until then a copy writes to it; it goes on when the operator is killed, as one in libvirtd does."""
    recorded: bool = False
    """Full: true once a start_clone call named it as finished."""
    serial: int = 0
    """The how many-th file of all it is."""


@dataclass(slots=True, kw_only=True)
class GoldenImage:
    """An image that mode Clean may start from."""

    name: str
    capacity_bytes: int
    allocated_bytes: int
    has_agent: bool = True
    replaced: int = 0
    """How often another one was put in its place."""

    @property
    def fingerprint(self) -> str:
        """Return what changes when it is replaced."""
        text = f"{self.name}/{self.capacity_bytes}/{self.allocated_bytes}/{self.replaced}"
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


@dataclass(slots=True, kw_only=True)
class FirstBoot:
    """What a fresh guest's cloud-init takes from the seed, once."""

    hostname: str
    host_key: str
    user: str
    authorized_keys: list[str]

    def apply(self, guest: Guest) -> None:
        """Make the guest what the seed says."""
        guest.hostname, guest.host_key = self.hostname, self.host_key
        if self.user:
            guest.authorized_keys[self.user] = list(self.authorized_keys)


@dataclass(slots=True, kw_only=True)
class Disk:
    """A disk of a VM."""

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
    made_from: str = ""
    disks: list[Disk] = field(default_factory=list)
    volumes: list[str] = field(default_factory=list)
    macs: list[str] = field(default_factory=list)
    cpus: int = 1
    memory_bytes: int = GIB
    networks: list[str] = field(default_factory=lambda: ["default"])
    tasks: Tasks = field(default_factory=Tasks)
    first_boot: FirstBoot | None = None
    """Mode Clean: what cloud-init has yet to do."""
    power: Power = Power.OFF
    connected: bool = False
    has_agent: bool = True
    has_console: bool = True
    """Whether it has a serial port that somebody may listen to."""
    boot_seconds: float = 0
    powered_at: float = 0
    off_at: float = 0
    """When the guest will have shut down, as it was asked to."""
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
    def shape(self) -> Shape:
        """Return what it has beside its disks."""
        return Shape(cpus=self.cpus, memory_bytes=self.memory_bytes, networks=tuple(self.networks))

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
        return self.has_agent and self.up(now)

    def up(self, now: float) -> bool:
        """Return whether its boot has come to a login."""
        return self.power is Power.ON and not self.guest.boot_error and now >= self.powered_at + self.boot_seconds

    def console(self, now: float) -> str:
        """Return what its serial console showed since it was switched on."""
        if self.power is not Power.ON or not self.has_console:
            return ""
        told = [f"\x1b[2J\x1b[1;1HBooting {self.name} from disk", "[    0.000000] Linux version 6.1.0-fake"]
        if self.guest.boot_error:
            told.append(self.guest.boot_error)
        elif self.up(now):
            told.append(f"\x1b[0;32m{self.guest.hostname} login: ")
        return "\r\n".join(told)

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
    golden: str = ""
    """Mode Clean: the golden image that is copied; the source has no part in it."""
    why_lost: str = ""
    """What the operator process that copies is told, once."""
    has_agent: bool = True
    """Whether a guest with this disk answers."""

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
    """Copies of a source's disks or of an image begun, by VMClone uid."""
    disk_copies: dict[str, int] = field(default_factory=dict)
    """Full: copies of one clone's disk begun, by its file's name without the attempt."""
    finished_copied_again: list[str] = field(default_factory=list)
    """Full: disks that start_clone was told are finished and that a later attempt removed: must stay empty."""
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
    golden_images: dict[str, GoldenImage] = field(default_factory=dict)
    """By name."""
    pools: list[str] = field(default_factory=list)
    """Names of the places for disks beside the backend's own."""
    files_made: int = 0
    jobs: dict[str, str] = field(default_factory=dict)
    """By source UUID: the token of the latest copy."""
    leases: dict[str, str] = field(default_factory=dict)
    """Addresses by machine-id: two guests with the same one get the same address, as in real life."""
    effects: Effects = field(default_factory=Effects)
    now: float = 0
    """When it was saved; time never runs backwards over a restart."""
