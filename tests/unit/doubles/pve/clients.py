"""Clusters and clients for the double's own tests: state in, state out, without a socket."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.doubles.pve.access import Token
from tests.doubles.pve.double import Answer, Double, Request
from tests.doubles.pve.guests import Disk, ModelledGuests, Program
from tests.doubles.pve.storages import Storage
from tests.doubles.pve.vm import VM
from tests.doubles.pve.world import Node, World
from tests.support.simulation import SimClock
from tests.unit.doubles.pve.lab import adopt

TOKEN = "root@pam!test"
NODE = "/nodes/pve1"
QEMU = f"{NODE}/qemu"
SOURCE: dict[str, Any] = {
    "name": "golden",
    "memory": "256",
    "agent": "1",
    "boot": "order=scsi0",
    "scsi0": "local:100/vm-100-disk-0.qcow2,size=1G",
    "net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0",
    "smbios1": "uuid=11111111-2222-4333-8444-555555555555",
}


@dataclass(slots=True)
class Client:
    """Calls a double as one API token."""

    double: Double
    clock: SimClock
    token: str = TOKEN
    waited: list[float] = field(default_factory=list)
    """Seconds that each call took."""

    @property
    def world(self) -> World:
        """The cluster behind it."""
        return self.double.world

    @property
    def guests(self) -> ModelledGuests:
        """The modelled guests of the cluster."""
        guests = self.world.guests
        assert isinstance(guests, ModelledGuests)
        return guests

    def call(self, method: str, path: str, *, upload: tuple[str, bytes] | None = None, **params: Any) -> Answer:
        """Send a request, letting the clock take whatever time it takes; `upload` is its file."""
        if upload is not None:
            params["filename"] = upload[0]
        named = {name.replace("_", "-"): value for name, value in params.items()}
        secret = self.world.access.tokens[self.token].secret
        request = Request(
            method=method, path=path, params=named, authorization=f"PVEAPIToken={self.token}={secret}", upload=upload
        )
        steps, before = self.double.steps(request), self.clock()
        while True:
            try:
                self.clock.advance(next(steps))
                self.world.timeline.settle()
            except StopIteration as end:
                self.waited.append(self.clock() - before)
                answer: Answer = end.value
                return answer

    def get(self, path: str, **params: Any) -> Any:
        """Return the data of a read that succeeds."""
        answer = self.call("GET", path, **params)
        assert answer.status == 200, answer
        return answer.body["data"]

    def refused(self, method: str, path: str, **params: Any) -> str:
        """Return the text of a refusal with its status."""
        answer = self.call(method, path, **params)
        assert answer.status >= 300, answer
        return f"{answer.status} {answer.reason}"

    def task(self, method: str, path: str, **params: Any) -> str:
        """Begin a task and return its id."""
        answer = self.call(method, path, **params)
        assert answer.status == 200, answer
        return str(answer.body["data"])

    def ended(self, method: str, path: str, *, seconds: float = 60, **params: Any) -> str:
        """Begin a task, wait, and return how it ended."""
        upid = self.task(method, path, **params)
        self.pass_time(seconds)
        return str(self.get(f"{NODE}/tasks/{upid}/status").get("exitstatus", "running"))

    def log(self, upid: str) -> list[str]:
        """Return a task's log."""
        return [line["t"] for line in self.get(f"{NODE}/tasks/{upid}/log", limit=0)]

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and happen what is due."""
        self.clock.advance(seconds)
        self.world.timeline.settle()


def cluster(kind: str = "dir", *, source: bool = True, program: Program | None = None) -> Client:
    """Return a client of a one-node cluster with a storage of this kind and, if wanted, a stopped VM 100."""
    clock = SimClock()
    world = World(clock)
    if program is not None:
        world.guests.program = program  # type: ignore[attr-defined]
    world.nodes["pve1"] = Node("pve1")
    path = "/var/lib/vz" if kind in {"dir", "btrfs", "nfs"} else ""
    world.storages.known["local"] = Storage(name="local", kind=kind, path=path, content=("images", "iso", "import"))
    world.access.tokens[TOKEN] = Token(secret="secret", separated=False)
    client = Client(Double(world), clock)
    if source:
        adopt(world, 100, source_config(kind))
        client.guests.disks[source_volume(kind)] = Disk(files={"/etc/who": b"source"}, boot_seconds=5)
    return client


def source_volume(kind: str) -> str:
    """Return the id of the source's disk on a storage of this kind."""
    form = "raw" if kind == "btrfs" else "qcow2"
    return f"local:100/vm-100-disk-0.{form}" if kind in {"dir", "btrfs", "nfs"} else "local:vm-100-disk-0"


def source_config(kind: str) -> dict[str, Any]:
    """Return the config of the source."""
    return {**SOURCE, "scsi0": f"{source_volume(kind)},size=1G"}


def run(client: Client, vmid: int = 100) -> VM:
    """Switch a VM on and wait until its agent answers."""
    assert client.ended("POST", f"{QEMU}/{vmid}/status/start") == "OK"
    return client.world.vms[vmid]
