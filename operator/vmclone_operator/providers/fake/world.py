"""The simulated hypervisor as tests see it: VMs, files, time and other people; operators come and go."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from vmclone_operator.domain.backend import Capabilities, Power, Stamp
from vmclone_operator.domain.errors import CloneFailed, ImageNotFound, SourceNotFound
from vmclone_operator.providers.fake.faults import FaultSchedule
from vmclone_operator.providers.fake.guest import Guest, host_key
from vmclone_operator.providers.fake.inventory import Inventory, take_inventory
from vmclone_operator.providers.fake.pool import Pool
from vmclone_operator.providers.fake.profiles import LIBVIRT, Ids, Profile, Reads
from vmclone_operator.providers.fake.state import (
    GIB,
    WATCHDOG_SECONDS,
    Disk,
    Effects,
    GoldenImage,
    Machine,
    State,
    Volume,
)

if TYPE_CHECKING:
    from vmclone_operator.domain.backend import Wake

_NAMES = uuid.UUID("0b5a6f0e-51f4-5a52-9a35-5a4e3f3c2d11")
_STATE = TypeAdapter(State)


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
        """How long a linked clone stays incomplete; how long a full one's disks take to copy, all together."""
        self.dhcp_seconds = 0.0
        """From link up to an address."""
        self.shutdown_seconds = 0.0
        """From a source that is asked to shut down to one that is off."""
        self.capabilities = Capabilities()
        """What it can do; a session tells once."""
        self.profile = LIBVIRT
        self.ids, self.reads = Ids(), Reads()
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

    def become(self, profile: Profile) -> None:
        """Behave as another kind of backend from now on."""
        self.profile, self.capabilities = profile, profile.capabilities
        self.boot_seconds, self.settle_seconds = profile.boot_seconds, profile.settle_seconds
        self.copy_seconds, self.clone_seconds = profile.copy_seconds, profile.clone_seconds

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
        self._listeners = [entry for entry in self._listeners if self.faults.lives(entry[0])]

    def listen(self, wake: Wake) -> None:
        """Tell this session when a VM changes."""
        self._listeners.append((self.faults.process, wake))

    def unlisten(self, wake: Wake) -> None:
        """Tell this session nothing any more."""
        self._listeners = [entry for entry in self._listeners if entry[1] != wake]

    def changed(self, incarnation: str) -> None:
        """Wake the replica of a VM that changed, at every living operator."""
        for process, wake in tuple(self._listeners):
            if self.faults.lives(process):
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
            self.pool.insert_volume(Volume(name=volume, group="", role=target))
        machine.has_agent = agent
        self.set_power_by_hand(machine, power)
        return machine

    def add_foreign(self, name: str, *, machine_uuid: str = "", stamp: Stamp | None = None) -> Machine:
        """Put somebody else's VM here; with a stamp, one that another operator or incarnation made."""
        return self._stranger(name, 0, machine_uuid=machine_uuid, stamp=stamp)

    def add_image(
        self, name: str, *, capacity_bytes: int = 4 * GIB, allocated_bytes: int = GIB, agent: bool = True
    ) -> GoldenImage:
        """Put a golden image here that mode Clean may start from."""
        image = GoldenImage(name=name, capacity_bytes=capacity_bytes, allocated_bytes=allocated_bytes, has_agent=agent)
        return self.state.golden_images.setdefault(name, image)

    def replace_image(self, name: str) -> None:
        """Put another image in its place; a copy that is being made of it is worth nothing."""
        self.find_image(name).replaced += 1
        for copy in self.state.images.values():
            if copy.golden == name and copy.running(self.now()):
                copy.lost, copy.why_lost = True, f"the golden image {name} was replaced while it was copied"

    def find_image(self, name: str) -> GoldenImage:
        """Return the golden image of this name; raises ImageNotFound."""
        found = self.state.golden_images.get(name)
        if found is None and self._on_demand:
            return self.add_image(name)
        if found is None:
            raise ImageNotFound(f"there is no golden image {name} here: put it there, or name another one")
        return found

    def add_pool(self, name: str) -> None:
        """Make a second place for disks."""
        if name not in self.state.pools:
            self.state.pools.append(name)

    def require_pool(self, name: str) -> None:
        """Raise CloneFailed for a place that does not exist."""
        if name and name not in self.state.pools and not self._on_demand:
            raise CloneFailed(f"there is no storage pool {name} here")

    def find(self, name: str) -> Machine:
        """Return the one VM of this name or UUID; raises SourceNotFound."""
        found = self.pool.machines_named(name)
        if not found and self._on_demand and not _is_uuid(name):
            return self.add_source(name, disks=("vda", "vdb"))
        if len(found) != 1:
            problem = f"{len(found)} VMs are called {name}; use the UUID" if found else f"no VM is called {name}"
            raise SourceNotFound(problem)
        if 0 < found[0].off_at <= self.now():
            self.set_power_by_hand(found[0], Power.OFF)
        return found[0]

    def shut_down(self, machine: Machine) -> None:
        """Ask a guest to shut down; once asked, nobody can call it back."""
        if not self.shutdown_seconds:
            self.set_power_by_hand(machine, Power.OFF)
        machine.off_at = machine.off_at or (self.now() + self.shutdown_seconds if self.shutdown_seconds else 0)

    def reconfigure_by_hand(
        self, machine: Machine, *, cpus: int = 0, memory_bytes: int = 0, networks: tuple[str, ...] = ()
    ) -> None:
        """Change a VM's shape; 0 and empty leave a value as it is."""
        machine.cpus = cpus or machine.cpus
        machine.memory_bytes = memory_bytes or machine.memory_bytes
        machine.networks = list(networks) or machine.networks
        self.changed(machine.stamp.incarnation if machine.stamp else "")

    def booted(self, machine: Machine) -> bool:
        """Return whether its start jobs and cloud-init are done; a fresh guest then is who its seed says."""
        ready_at = machine.powered_at + machine.boot_seconds + self.settle_seconds
        done = machine.power is Power.ON and self.now() >= ready_at
        if done and machine.first_boot is not None:
            machine.first_boot.apply(machine.guest)
            machine.first_boot = None
        return done

    def set_power_by_hand(self, machine: Machine, power: Power) -> None:
        """Switch a VM on or off; a copy that runs from it is lost."""
        if machine.power is power:
            return
        machine.thaw(self.now())
        self.booted(machine)
        machine.power, machine.powered_at, machine.off_at = power, self.now(), 0
        if power is Power.ON:
            machine.guest.machine_id = machine.guest.machine_id or machine.machine_id
        else:
            machine.guest.power_off(self.now(), machine.machine_id)
        self.lose_copies(machine.uuid)
        self.changed(machine.stamp.incarnation if machine.stamp else "")

    def remove_by_hand(self, machine: Machine) -> None:
        """Take a VM and its files away."""
        self.pool.remove(machine)
        for name in machine.volumes:
            self.pool.lose_volume(name)
        self.lose_copies(machine.uuid)
        self.changed(machine.stamp.incarnation if machine.stamp else "")

    def lose_copies(self, source_id: str = "") -> None:
        """Let the running copies (of one source) die half-made, as a restart of the hypervisor does."""
        for image in self.state.images.values():
            of_source = source_id == image.source_id and not image.golden
            if (of_source or not source_id) and image.running(self.now()):
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
        for machine in self.state.machines.values():
            self.booted(machine)
        return take_inventory(self.state, self.now())

    def _stranger(self, name: str, number: int, *, machine_uuid: str = "", stamp: Stamp | None = None) -> Machine:
        identity = machine_uuid or str(uuid.uuid5(_NAMES, f"{name}/{number}"))
        guest = Guest(machine_id=identity.replace("-", ""), hostname=name, host_key=host_key(identity))
        macs = [f"52:54:00:{identity[0:2]}:{identity[2:4]}:{identity[4:6]}"]
        machine = Machine(uuid=identity, name=name, guest=guest, foreign=True, stamp=stamp, macs=macs, connected=True)
        self.pool.insert(machine)
        return machine


def _is_uuid(name: str) -> bool:
    try:
        uuid.UUID(name)
    except ValueError:
        return False
    return True
