"""The simulated hypervisor as tests see it: VMs, files, time and other people; operators come and go."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from vmclone_operator.domain.backend import Power, Stamp
from vmclone_operator.domain.errors import SourceNotFound
from vmclone_operator.providers.fake.faults import FaultSchedule
from vmclone_operator.providers.fake.guest import Guest, host_key
from vmclone_operator.providers.fake.inventory import Inventory, take_inventory
from vmclone_operator.providers.fake.pool import Pool
from vmclone_operator.providers.fake.state import WATCHDOG_SECONDS, Disk, Effects, Machine, State, Volume

if TYPE_CHECKING:
    from vmclone_operator.domain.backend import Wake

_NAMES = uuid.UUID("0b5a6f0e-51f4-5a52-9a35-5a4e3f3c2d11")
_STATE = TypeAdapter(State)
GIB = 1024**3


class World:
    """One hypervisor with everything on it. Sessions come and go; a World stays, in a file when told so."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        faults: FaultSchedule | None = None,
        path: Path | None = None,
        on_demand: bool = False,
    ) -> None:
        self.faults = faults or FaultSchedule()
        self.boot_seconds = 0.0
        """From power-on to an answering agent; a CloneBackend's bootSeconds goes before it."""
        self.settle_seconds = 0.0
        """From an answering agent to a finished boot."""
        self.copy_seconds = 0.0
        """How long the copy of a frozen point takes."""
        self.clone_seconds = 0.0
        """How long a clone stays incomplete."""
        self.dhcp_seconds = 0.0
        """From link up to an address."""
        self._clock, self._path, self._on_demand = clock, path, on_demand
        self._listeners: list[tuple[int, Wake]] = []
        state = _STATE.validate_json(path.read_bytes()) if path is not None and path.exists() else State()
        self._ahead = max(0.0, state.now - clock())
        self.pool = Pool(state)

    @property
    def state(self) -> State:
        """Return everything that is saved."""
        return self.pool.state

    @property
    def effects(self) -> Effects:
        """Return what really happened so far."""
        return self.state.effects

    @property
    def longest_freeze_seconds(self) -> float:
        """Return the longest time that any guest was frozen, as if nobody thawed from now on."""
        sources = self.state.machines.values()
        running = (WATCHDOG_SECONDS for machine in sources if machine.frozen(self.now()))
        return max((*(machine.longest_freeze_seconds for machine in sources), *running), default=0.0)

    def now(self) -> float:
        """Return this world's time in seconds."""
        return self._clock() + self._ahead

    def advance(self, seconds: float) -> None:
        """Let time pass here; nobody really waits."""
        self._ahead += seconds

    def saved(self) -> None:
        """Keep the state in the file, if there is one."""
        if self._path is not None:
            self.state.now = self.now()
            fresh = self._path.with_suffix(".new")
            fresh.write_bytes(_STATE.dump_json(self.state))
            os.replace(fresh, self._path)  # noqa: PTH105  - Path.replace says less about being atomic

    def restart_operator(self) -> None:
        """End the operator process without a word, as SIGKILL does, and let a new one begin."""
        self.faults.restart()
        self._listeners.clear()

    def listen(self, wake: Wake) -> None:
        """Tell this session when a VM changes."""
        self._listeners.append((self.faults.process, wake))

    def unlisten(self, wake: Wake) -> None:
        """Tell this session nothing any more."""
        self._listeners = [entry for entry in self._listeners if entry[1] != wake]

    def changed(self, incarnation: str) -> None:
        """Wake the replica of a VM that changed, at every living operator."""
        for process, wake in tuple(self._listeners):
            if process == self.faults.process and not self.faults.killed:
                wake(incarnation)

    # What other people do.

    def add_source(
        self,
        name: str,
        *,
        disks: tuple[str, ...] = ("vda",),
        power: Power = Power.ON,
        agent: bool = True,
        number: int = 0,
    ) -> Machine:
        """Put a VM here that may be cloned; `number` tells several of one name apart."""
        machine = self._stranger(name, number)
        machine.disks = [Disk(target=target, capacity_bytes=10 * GIB, allocated_bytes=GIB) for target in disks]
        machine.volumes = [f"{machine.uuid}-{target}" for target in disks]
        for target, volume in zip(disks, machine.volumes, strict=True):
            self.state.volumes.setdefault(volume, Volume(name=volume, group="", role=target))
        machine.has_agent = agent
        self.set_power_by_hand(machine, power)
        return machine

    def add_foreign(self, name: str, *, machine_uuid: str = "", stamp: Stamp | None = None) -> Machine:
        """Put somebody else's VM here; with a stamp, one that another operator or incarnation made."""
        return self._stranger(name, 0, machine_uuid=machine_uuid, stamp=stamp)

    def find(self, name: str) -> Machine:
        """Return the one VM of this name or UUID; raises SourceNotFound."""
        found = self.pool.machines_named(name)
        if not found and self._on_demand:
            return self.add_source(name, disks=("vda", "vdb"))
        if len(found) != 1:
            problem = f"{len(found)} VMs are called {name}; use the UUID" if found else f"no VM is called {name}"
            raise SourceNotFound(problem)
        return found[0]

    def set_power_by_hand(self, machine: Machine, power: Power) -> None:
        """Switch a VM on or off; a copy that runs from it is lost."""
        if machine.power is power:
            return
        machine.thaw(self.now())
        machine.power, machine.powered_at = power, self.now()
        if power is Power.OFF:
            machine.guest.power_off(self.now(), machine.machine_id)
        self.lose_copies(machine.uuid)
        self.changed(machine.stamp.incarnation if machine.stamp else "")

    def remove_by_hand(self, machine: Machine) -> None:
        """Take a VM and its files away."""
        self.pool.remove(machine)
        for name in machine.volumes:
            self.pool.delete_volume(name)
        self.lose_copies(machine.uuid)
        self.changed(machine.stamp.incarnation if machine.stamp else "")

    def lose_copies(self, source_id: str = "") -> None:
        """Let the running copies (of one source) die half-made, as a restart of the hypervisor does."""
        for image in self.state.images.values():
            if source_id in ("", image.source_id) and image.running(self.now()):
                image.lost = True

    def address(self, machine: Machine) -> str:
        """Return the guest's address, or an empty text while it has none."""
        up_at = max(machine.linked_at, machine.powered_at + machine.boot_seconds) + self.dhcp_seconds
        if machine.power is not Power.ON or not machine.connected or self.now() < up_at:
            return ""
        number = len(self.state.leases) + 1
        fresh = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        return self.state.leases.setdefault(machine.guest.machine_id, fresh)

    def inventory(self) -> Inventory:
        """Return what is here, free of random tokens and uids: equal after a crash to what it is without one."""
        return take_inventory(self.state, self.now())

    def _stranger(self, name: str, number: int, *, machine_uuid: str = "", stamp: Stamp | None = None) -> Machine:
        identity = machine_uuid or str(uuid.uuid5(_NAMES, f"{name}/{number}"))
        guest = Guest(machine_id=identity.replace("-", ""), hostname=name, host_key=host_key(identity))
        macs = [f"52:54:00:{identity[0:2]}:{identity[2:4]}:{identity[4:6]}"]
        machine = Machine(uuid=identity, name=name, guest=guest, foreign=True, stamp=stamp, macs=macs, connected=True)
        self.pool.insert(machine)
        return machine
