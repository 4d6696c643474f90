"""What runs inside the VMs of the double, behind one protocol.

The server of the double knows nothing of guests but this: a VM that starts boots its disks, its agent answers
after a while or never, commands run or do not. `ModelledGuests` is the cheapest make; a namespaced host with a
real sshd and a QEMU guest (`lab_guests.py`) can stand behind the same protocol.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

BOOT_SECONDS = 12.0
"""From the start to an agent that answers (recording 03-power-agent, 57-67)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A network device as the guest sees it."""

    address: str
    bridge: str
    up: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """What a VM is made of, for its guest."""

    vmid: int
    uuid: str
    disks: tuple[str, ...]
    """Volume ids, the boot disk first."""
    cards: tuple[Card, ...]
    memory_mib: int = 512


@dataclass(slots=True, kw_only=True)
class Run:
    """One command in a guest."""

    done_at: float
    exit_code: int = 0
    signal: int = 0
    out: bytes = b""
    err: bytes = b""

    def look(self) -> None:
        """Look how it stands, where nobody knew at its start when it would end; raises AgentError."""


class AgentError(Exception):
    """The guest agent answered with an error."""


class MissingBinary(AgentError):  # noqa: N818  - named for what happened
    """What was to run is not in the guest; the server turns this into a broken connection (recording 03, 98-99)."""


class Guests(Protocol):
    """Whatever is inside the VMs."""

    def boot(self, hardware: Hardware) -> None:
        """A VM was started."""

    def end(self, vmid: int) -> None:
        """A VM is off, by whatever way."""

    def relink(self, hardware: Hardware) -> None:
        """A running VM's network devices changed."""

    def copied(self, source: str, target: str) -> None:
        """A disk is now a copy of another, as that one is at this moment."""

    def freed(self, volume: str) -> None:
        """A disk is gone."""

    def agent_answers(self, vmid: int) -> bool:
        """Whether the agent in the guest answers now."""

    def shuts_down(self, vmid: int) -> bool:
        """Whether the guest obeys a shutdown."""

    def execute(self, vmid: int, command: Sequence[str], stdin: bytes) -> Run:
        """Start a command; raises AgentError or MissingBinary."""

    def read(self, vmid: int, path: str) -> bytes:
        """Read a file; raises AgentError."""

    def write(self, vmid: int, path: str, content: bytes) -> None:
        """Write a file; raises AgentError."""

    def interfaces(self, vmid: int) -> list[dict[str, Any]]:
        """Return the guest's network as its agent tells it."""

    def os_info(self, vmid: int) -> dict[str, Any]:
        """Return what system the guest says it is."""

    def freeze(self, vmid: int, *, frozen: bool) -> int:
        """Freeze or thaw the file systems; return how many."""

    def frozen(self, vmid: int) -> bool:
        """Whether the file systems are frozen."""


Program = Callable[["Machine", Sequence[str], bytes], Run]
"""Does what a command does in a modelled guest."""


@dataclass(slots=True, kw_only=True)
class Disk:
    """What a modelled guest keeps: whatever a test puts here is what a copy has too."""

    files: dict[str, bytes] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)
    agent: bool = True
    """Whether an agent is installed."""
    obeys: bool = True
    """Whether it shuts down when asked."""
    boot_seconds: float = BOOT_SECONDS


@dataclass(slots=True, kw_only=True)
class Machine:
    """A modelled guest that runs."""

    hardware: Hardware
    disk: Disk
    ready_at: float
    now: Callable[[], float]
    frozen: bool = False


class ModelledGuests:
    """Guests that are a few values each: contract and crash tests, in milliseconds."""

    def __init__(self, now: Callable[[], float], program: Program | None = None) -> None:
        self._now = now
        self.disks: dict[str, Disk] = {}
        """By volume id; a volume that is not here boots nothing."""
        self.running: dict[int, Machine] = {}
        self.program = program or unknown_program
        self.booted: Callable[[Machine], None] = _nothing
        self.ended: Callable[[Machine], None] = _nothing
        """Called when a guest has come up or gone down, whatever way."""

    def boot(self, hardware: Hardware) -> None:
        disk = next((self.disks[volume] for volume in hardware.disks if volume in self.disks), None)
        if disk is not None:
            ready = self._now() + disk.boot_seconds
            machine = Machine(hardware=hardware, disk=disk, ready_at=ready, now=self._now)
            self.running[hardware.vmid] = machine
            self.booted(machine)

    def end(self, vmid: int) -> None:
        machine = self.running.pop(vmid, None)
        if machine is not None:
            self.ended(machine)

    def relink(self, hardware: Hardware) -> None:
        if hardware.vmid in self.running:
            self.running[hardware.vmid].hardware = hardware

    def copied(self, source: str, target: str) -> None:
        found = self.disks.get(source)
        if found is not None:
            self.disks[target] = copy.deepcopy(found)

    def freed(self, volume: str) -> None:
        self.disks.pop(volume, None)

    def agent_answers(self, vmid: int) -> bool:
        machine = self.running.get(vmid)
        return machine is not None and machine.disk.agent and machine.ready_at <= self._now()

    def shuts_down(self, vmid: int) -> bool:
        machine = self.running.get(vmid)
        return machine is not None and machine.disk.obeys and machine.ready_at <= self._now()

    def execute(self, vmid: int, command: Sequence[str], stdin: bytes) -> Run:
        return self.program(self.running[vmid], command, stdin)

    def read(self, vmid: int, path: str) -> bytes:
        files = self.running[vmid].disk.files
        if path not in files and any(name.startswith(f"{path}/") for name in files):
            raise AgentError("failed to read file: Is a directory")
        if path not in files:
            raise AgentError(f"failed to open file '{path}' (mode: 'r'): No such file or directory")
        return files[path]

    def write(self, vmid: int, path: str, content: bytes) -> None:
        disk = self.running[vmid].disk
        folder = path.rsplit("/", 1)[0]
        if folder not in {"", "/tmp"} and not any(name.startswith(f"{folder}/") for name in disk.files):  # noqa: S108
            raise AgentError(f"failed to open file '{path}' (mode: 'wb'): No such file or directory")
        disk.files[path] = content

    def interfaces(self, vmid: int) -> list[dict[str, Any]]:
        machine = self.running[vmid]
        told: list[dict[str, Any]] | None = machine.disk.state.get("interfaces")
        return (
            told
            if told is not None
            else [_LOOPBACK, *(_interface(number, card) for number, card in enumerate(machine.hardware.cards))]
        )

    def os_info(self, vmid: int) -> dict[str, Any]:
        return {"id": "double", "name": "Modelled Guest", **self.running[vmid].disk.state.get("os", {})}

    def freeze(self, vmid: int, *, frozen: bool) -> int:
        self.running[vmid].frozen = frozen
        return 0

    def frozen(self, vmid: int) -> bool:
        return self.running[vmid].frozen


def _nothing(_: Machine) -> None:
    """Take no notice."""


def unknown_program(_: Machine, command: Sequence[str], __: bytes) -> Run:
    """Know no command."""
    raise MissingBinary(f"Guest agent command failed, error was 'Failed to execute child process {command[0]}'")


_LOOPBACK = {
    "name": "lo",
    "hardware-address": "00:00:00:00:00:00",
    "ip-addresses": [
        {"ip-address-type": "ipv4", "ip-address": "127.0.0.1", "prefix": 8},
        {"ip-address-type": "ipv6", "ip-address": "::1", "prefix": 128},
    ],
}


def _interface(number: int, card: Card) -> dict[str, Any]:
    """Return a card with the address that DHCP gives it: made from its MAC, so that no two are alike."""
    low = [int(part, 16) for part in card.address.split(":")[-2:]]
    given = [{"ip-address-type": "ipv4", "ip-address": f"10.7.{low[0]}.{low[1]}", "prefix": 16}] if card.up else []
    return {"name": f"eth{number}", "hardware-address": card.address.lower(), "ip-addresses": given}
