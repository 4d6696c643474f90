"""What runs inside the VMs, as far as Azure can tell: it boots, its agent reports, it runs scripts, it has addresses.

`Guests` is the protocol; `ModelledGuests` are a few values each, those of `lab_guests.py` really boot. Azure's own
agent runs a script with bash and keeps the last 4 KiB of what it says (Azure/run-command-handler-linux f95dc24,
internal/instanceview and cmds.go).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

BOOT_SECONDS = 45.0
RUN_SECONDS = 20.0
"""The least that a run command takes: "at least 20 seconds" (azure-compute-docs linux/run-command.md, Restrictions)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """What a VM is made of, for its guest."""

    vm: str
    """Its ARM id in lower case."""
    vm_id: str
    """`properties.vmId`: what DMI shows as the system's UUID."""
    name: str
    disks: tuple[str, ...]
    """Disk ids in lower case, the boot disk first."""
    user_data: str
    custom_data: str
    os_profile: dict[str, Any] = field(default_factory=dict)
    cards: tuple[tuple[str, str], ...] = ()
    """MAC and private address of each network interface."""
    connected: bool = True
    """Whether its network security group lets anything in or out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a script said and left."""

    exit_code: int
    stdout: str = ""
    stderr: str = ""
    seconds: float = 0.0

    def look(self) -> Outcome:
        """Return itself: how it ends is known from the beginning."""
        return self


class Started(Protocol):
    """A script that was started."""

    def look(self) -> Outcome | None:
        """Return what it said and left; None while it runs."""


class Guests(Protocol):
    """Whatever is inside the VMs."""

    def boot(self, hardware: Hardware) -> None:
        """A VM was started."""

    def end(self, vm: str) -> None:
        """A VM is off, by whatever way."""

    def relink(self, hardware: Hardware) -> None:
        """What a running VM's network lets through has changed."""

    def copied(self, source: str, target: str) -> None:
        """A disk, snapshot or disk restore point is now a copy of another."""

    def installed(self, image: str, disk: str) -> None:
        """A disk was made from an image."""

    def freed(self, disk: str) -> None:
        """A disk, snapshot or disk restore point is gone."""

    def agent_ready(self, vm: str) -> bool:
        """Whether Azure's agent in the guest reports now."""

    def run(self, vm: str, script: str) -> Started:
        """Start a script as root."""


@dataclass(slots=True, kw_only=True)
class Disk:
    """What a modelled guest keeps: whatever a test puts here is what a copy has too."""

    state: dict[str, Any] = field(default_factory=dict)
    agent: bool = True
    boot_seconds: float = BOOT_SECONDS


@dataclass(slots=True, kw_only=True)
class Machine:
    """A modelled guest that runs."""

    hardware: Hardware
    disk: Disk
    ready_at: float
    now: Callable[[], float]


Program = Callable[[Machine, str], Outcome]


class ModelledGuests:
    """Guests that are a few values each: adapter and crash tests, in milliseconds."""

    def __init__(self, now: Callable[[], float], program: Program | None = None) -> None:
        self._now = now
        self.disks: dict[str, Disk] = {}
        """By id in lower case; a VM whose boot disk is not here runs, and its agent never reports."""
        self.images: dict[str, Disk] = {}
        """By urn (publisher:offer:sku:version) or resource id."""
        self.running: dict[str, Machine] = {}
        self.program: Program = program or _no_program
        self.booted: Callable[[Machine], None] = _nothing
        self.ended: Callable[[Machine], None] = _nothing

    def boot(self, hardware: Hardware) -> None:
        disk = next((self.disks[one] for one in hardware.disks if one in self.disks), None)
        if disk is not None:
            ready = self._now() + disk.boot_seconds
            machine = Machine(hardware=hardware, disk=disk, ready_at=ready, now=self._now)
            self.running[hardware.vm] = machine
            self.booted(machine)

    def end(self, vm: str) -> None:
        machine = self.running.pop(vm, None)
        if machine is not None:
            self.ended(machine)

    def relink(self, hardware: Hardware) -> None:
        if hardware.vm in self.running:
            self.running[hardware.vm].hardware = hardware

    def copied(self, source: str, target: str) -> None:
        if source in self.disks:
            self.disks[target] = copy.deepcopy(self.disks[source])

    def installed(self, image: str, disk: str) -> None:
        if image in self.images:
            self.disks[disk] = copy.deepcopy(self.images[image])

    def freed(self, disk: str) -> None:
        self.disks.pop(disk, None)

    def agent_ready(self, vm: str) -> bool:
        machine = self.running.get(vm)
        return machine is not None and machine.disk.agent and machine.ready_at <= self._now()

    def run(self, vm: str, script: str) -> Outcome:
        return self.program(self.running[vm], script)


def _nothing(_: Machine) -> None:
    """Take no notice."""


def _no_program(_: Machine, script: str) -> Outcome:
    """Know only `echo`."""
    word, __, rest = script.strip().partition(" ")
    if word == "echo":
        return Outcome(exit_code=0, stdout=f"{rest}\n")
    return Outcome(exit_code=127, stderr=f"bash: {word}: command not found\n")
