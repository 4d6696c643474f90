"""A Proxmox VE cluster as the double holds it: nodes, storages, VMs, pools, tasks, rights, and its clock.

    world = World(clock=SimClock())
    world.nodes["pve1"] = Node("pve1")
    world.storages.known["local"] = Storage(name="local", path="/var/lib/vz", content=("images", "iso"))

Nothing here speaks HTTP: `double.Double` answers calls from this state, `server` puts it on a port.
"""

from __future__ import annotations

import random
import uuid
from dataclasses import dataclass, field
from typing import Any

from tests.doubles.pve.access import Access
from tests.doubles.pve.guests import Guests, ModelledGuests, Run
from tests.doubles.pve.locks import Locks
from tests.doubles.pve.refusals import Refused
from tests.doubles.pve.rows import sight
from tests.doubles.pve.storages import Storages
from tests.doubles.pve.tasks import Task
from tests.doubles.pve.timeline import Clock, Steps, Timeline
from tests.doubles.pve.vm import VM

EPOCH = 1_796_000_000.0
ROUND_SECONDS = 10.0
"""How often the status daemon looks at every VM (recordings 02, 34 and 04, 10)."""


@dataclass(slots=True)
class Node:
    """One node of the cluster."""

    name: str
    address: str = "192.0.2.10"
    online: bool = True
    figures: dict[str, Any] = field(default_factory=lambda: {"maxcpu": 2, "maxmem": 25276059648})
    """What nobody should trust: memory, CPU, disk."""


@dataclass(slots=True)
class Pool:
    """A resource pool."""

    name: str
    comment: str = ""
    vms: set[int] = field(default_factory=set)


@dataclass(slots=True, kw_only=True)
class Timing:
    """How long this cluster takes for things, in seconds; measured in the recordings, one node under TCG."""

    fork: float = 0.03
    """From the answer with a task's id to the worker's first step: who looks in between finds nothing yet."""
    task: float = 0.3
    """A task that only writes a config, or refuses."""
    disk: float = 0.1
    """A new volume, whatever its size."""
    start: float = 2.5
    stop: float = 0.6
    clone_bytes: float = 512 * 1024**2
    """Bytes a second of a copy without a limit."""
    next_task: float | None = None
    """Seconds that the next task takes in place of its own; for replays."""


@dataclass(slots=True, kw_only=True)
class Release:
    """Which release this cluster says it is."""

    version: str = "9.2.11"
    release: str = "9.2"
    repoid: str = "14a22df3"
    post_bytes: int = 512 * 1024
    """The largest request body; 64 KiB before libpve-http-server-perl 5.2.1."""


class World:
    """The state of a cluster."""

    def __init__(
        self,
        clock: Clock,
        *,
        epoch: float = EPOCH,
        seed: int = 1,
        guests: Guests | None = None,
        first_round: float = ROUND_SECONDS,
    ) -> None:
        self.timeline = Timeline(clock, epoch)
        self.guests = guests or ModelledGuests(self.timeline.now)
        self.release = Release()
        self.timing = Timing()
        self.access = Access()
        self.storages = Storages()
        self.locks = Locks()
        self.nodes: dict[str, Node] = {}
        self.vms: dict[int, VM] = {}
        self.pools: dict[str, Pool] = {}
        self.bridges = {"vmbr0", "vmbr1"}
        self.tasks: dict[str, Task] = {}
        self.runs: dict[tuple[int, int], Run] = {}
        """Commands in guests, by VM and process id, until their end was asked for."""
        self.replicated: dict[int, str] = {}
        """By VM, the node it is replicated to."""
        self.firewalls: dict[int, dict[str, Any]] = {}
        self.quorate = True
        self.freeze_fails = False
        """The agent's file system freeze fails inside a clone; the task only warns."""
        self.busy_devices: set[tuple[int, str]] = set()
        """Devices, by VM and config key, that the guest does not give back the next time."""
        self.start_failures: dict[int, str] = {}
        """By VM, why its next start fails."""
        self.stuck_volumes: set[str] = set()
        """Volumes that a delete can not free; it only warns."""
        self.booted = self.timeline.now() - 3600
        self._random = random.Random(seed)  # noqa: S311 - repeatable on purpose, nothing secret
        self._pids = 1000
        self.timeline.later(first_round, self._round)

    def now(self) -> float:
        """Return the moment, as seconds since 1970."""
        return self.timeline.now()

    def new_uuid(self) -> str:
        """Return a UUID that nobody else has."""
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def new_address(self) -> str:
        """Return a MAC address of the server's own range."""
        tail = [self._random.randrange(256) for _ in range(3)]
        return "BC:24:11:" + ":".join(f"{byte:02X}" for byte in tail)

    def vm(self, vmid: int, node: str) -> VM:
        """Return a VM of a node, or say that its config is not there (recording 02-create-config, 107)."""
        found = self.vms.get(vmid)
        if found is None or found.node != node:
            raise Refused(f"Configuration file 'nodes/{node}/qemu-server/{vmid}.conf' does not exist")
        return found

    def pool_of(self, vmid: int) -> str:
        """Return the pool that a VM is in."""
        return next((pool.name for pool in self.pools.values() if vmid in pool.vms), "")

    def check_quorum(self) -> None:
        """Refuse a write without quorum; pve-cluster src/PVE/Cluster.pm check_cfs_quorum, 9.1.6."""
        if not self.quorate:
            raise Refused("cluster not ready - no quorum?")

    def new_pid(self) -> int:
        """Return the next process id."""
        self._pids += 3
        return self._pids

    def begin(self, kind: str, subject: str | int, user: str, node: str) -> Task:
        """Make a task; `work` gives it something to do."""
        now = self.now()
        ticks = int((now - self.booted) * 100)
        task = Task(
            node=node, pid=self.new_pid(), pstart=ticks, started=now, kind=kind, subject=str(subject), user=user
        )
        self.tasks[task.upid] = task
        return task

    def work(self, task: Task, body: Steps[None]) -> str:
        """Let a task do its work from now on, and return its id."""
        task.body = body
        self.timeline.later(self.timing.fork, lambda: self._step(task))
        return task.upid

    def pace(self, seconds: float) -> float:
        """Return how long a task takes: that many seconds, unless a replay says otherwise."""
        said, self.timing.next_task = self.timing.next_task, None
        return seconds if said is None else said

    def stop_task(self, task: Task) -> None:
        """Send a worker the signal to end."""
        if task.running:
            self._after_step(task, task.stop(self.now()))

    def kill_task(self, upid: str) -> None:
        """Let a worker die on the spot: a crash, an OOM kill, a lost node."""
        task = self.tasks[upid]
        task.kill(self.now())
        self.locks.release_all(task)

    def _step(self, task: Task) -> None:
        if task.running:
            self._after_step(task, task.run(self.now()))

    def _after_step(self, task: Task, wait: float | None) -> None:
        if wait is None:
            self.locks.release_all(task)
        else:
            self.timeline.later(wait, lambda: self._step(task))

    def _round(self) -> None:
        """Look at every VM, as the status daemon does every ten seconds."""
        for vm in self.vms.values():
            vm.seen = sight(vm, self.now())
        self.timeline.later(ROUND_SECONDS, self._round)
