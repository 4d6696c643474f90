"""The Proxmox adapter's way to the double without a socket: the same answers, on the simulation's clock."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from urllib.parse import unquote

from tests.doubles.pve.access import Token
from tests.doubles.pve.double import Double, Request
from tests.doubles.pve.guests import Machine, ModelledGuests, Run
from tests.doubles.pve.storages import Storage
from tests.doubles.pve.wire import Reply, written
from tests.doubles.pve.world import Node, World
from tests.support.simulation import SimClock
from tests.unit.doubles.pve.clients import SOURCE, TOKEN
from tests.unit.doubles.pve.lab import adopt, boots, see

from vmclone_operator.domain.backend import BackendConfig, Fence, Mode, Seed, Wake
from vmclone_operator.domain.errors import BackendUnreachable
from vmclone_operator.domain.guest_parts import _SCRIPT as _PART
from vmclone_operator.providers.fake.faults import FaultSchedule
from vmclone_operator.providers.proxmox.client import Parameters, _data
from vmclone_operator.providers.proxmox.session import ProxmoxSession
from vmclone_operator.providers.proxmox.site import Place


class DirectClient:
    """Stands for `client.Client`: what is asked is answered by the double in this process."""

    def __init__(self, cluster: Cluster, fence: Fence) -> None:
        self._cluster, self._fence, self._schedule = cluster, fence, cluster.schedule
        self._authorization = f"PVEAPIToken={TOKEN}=secret"
        self._open, self._process = True, cluster.schedule.process

    async def close(self) -> None:
        """Answer nothing any more."""
        self._open = False

    async def get(self, path: str, parameters: Parameters | None = None) -> Any:
        """Read."""
        return self._sent("GET", path, parameters, None)

    async def write(
        self,
        method: str,
        path: str,
        parameters: Parameters | None = None,
        *,
        upload: tuple[str, bytes] | None = None,
        fenced: bool = True,
    ) -> Any:
        """Write, once."""
        if fenced:
            self._fence()
        return self._sent(method, path, parameters, upload)

    def _sent(self, method: str, path: str, parameters: Parameters | None, upload: tuple[str, bytes] | None) -> Any:
        self._schedule.check_alive(self._process)
        if not self._open:
            raise BackendUnreachable("this session was closed")
        call = f"{method} {path}"
        self._cluster.clock.advance(self._cluster.seconds_per_call)
        self._cluster.world.timeline.settle()
        self._cluster.calls[re.sub(r"/UPID[^/]+|/\d+", "/*", call)] += 1
        params = {name: value if isinstance(value, list) else str(value) for name, value in (parameters or {}).items()}
        if upload is not None:
            params["filename"] = upload[0]
        request = Request(method=method, path=path, params=params, authorization=self._authorization, upload=upload)
        clock, writes = self._cluster.clock, method != "GET"
        effect = partial(self._cluster.answer, request)
        reply = self._schedule.run("pve", call, path, effect, advance=clock.advance, writes=writes)
        return _data(unquote(call), reply.status, reply.reason, reply.body)


class Cluster:
    """A one-node cluster with one source, as a kind of backend: its sessions speak to the double."""

    def __init__(self, schedule: FaultSchedule | None = None, *, seconds_per_call: float = 0) -> None:
        self.schedule, self.seconds_per_call = schedule or FaultSchedule(), seconds_per_call
        self.calls: Counter[str] = Counter()
        self.dialect: Callable[[Reply], Reply] = lambda reply: reply
        """Says an answer in another way."""

    def place(self, clock: SimClock) -> None:
        """Make the cluster on a clock."""
        self.clock = clock
        self.world = World(clock)
        self.world.nodes["pve1"] = Node("pve1")
        content = ("images", "iso", "import")
        self.world.storages.known["local"] = Storage(name="local", path="/var/lib/vz", content=content)
        self.world.access.tokens[TOKEN] = Token(secret="secret", separated=False)
        self.double = Double(self.world)
        adopt(self.world, 100, {**SOURCE, "scsi0": "local:100/vm-100-disk-0.qcow2,size=1G"})

    @property
    def guests(self) -> ModelledGuests:
        """What is inside the VMs."""
        guests = self.world.guests
        assert isinstance(guests, ModelledGuests)
        return guests

    async def open(self, config: BackendConfig, *, wake: Wake, fence: Fence) -> ProxmoxSession:  # noqa: ARG002
        """Open a session, as `ProxmoxBackend` does."""

        async def sleep(seconds: float) -> None:
            self.clock.advance(seconds)

        client = DirectClient(self, fence)
        place = Place(first_vmid=9100, last_vmid=9199)
        session = ProxmoxSession(client, place, make_seed=_seed, now=self.clock, sleep=sleep)  # type: ignore[arg-type]
        await session.check()
        return session

    def answer(self, request: Request) -> Reply:
        """Answer a request, letting the clock take whatever time it takes."""
        steps = self.double.steps(request)
        try:
            while True:
                self.clock.advance(next(steps))
                self.world.timeline.settle()
        except StopIteration as end:
            return self.dialect(written(end.value, for_extjs=False))

    def switch_on(self, vmid: int) -> None:
        """Let a VM run, its guest up."""
        vm = self.world.vms[vmid]
        vm.running, vm.started = True, self.world.now()
        boots(self.world, vm)
        see(self.world, vm)

    def remove_by_hand(self, vmid: int) -> None:
        """Take a VM away with its volumes."""
        vm = self.world.vms.pop(vmid)
        self.guests.end(vmid)
        for volume in vm.volumes():
            self.world.storages.volumes.pop(volume, None)

    def volumes(self) -> set[str]:
        """Return every volume's id."""
        return set(self.world.storages.volumes)

    def template(self) -> int:
        """Return the id of the only frozen point."""
        found = [vm.vmid for vm in self.world.vms.values() if vm.template and vm.name.startswith("vmclone-base-")]
        assert len(found) == 1
        return found[0]

    def good_clones(self) -> dict[int, int]:
        """Return how many copies succeeded, by what they are of."""
        tasks = self.world.tasks.values()
        done = [task for task in tasks if task.kind == "qmclone" and task.exit_status.startswith(("OK", "WARN"))]
        return dict(Counter(int(task.subject) for task in done))

    def writes(self) -> int:
        """Return how many requests changed something."""
        return sum(count for call, count in self.calls.items() if not call.startswith("GET "))

    def reads(self) -> int:
        """Return how many requests only looked."""
        return sum(count for call, count in self.calls.items() if call.startswith("GET "))


def join_parts(guests: ModelledGuests) -> None:
    """Let guests put a command together that came in parts, as part.sh does, and hand it to what runs commands."""
    program, held = guests.program, dict[tuple[int, str], dict[str, str]]()

    def run(machine: Machine, command: Sequence[str], stdin: bytes) -> Run:
        if list(command) != ["/bin/sh", "-c", _PART]:
            return program(machine, command, stdin)
        line, _, text = stdin.decode().partition("\n")
        digest, kind, number, scripts, inputs = line.split()
        parts = held.setdefault((machine.hardware.vmid, digest), {})
        parts[f"{kind}.{number}"] = text.strip()
        if f"{kind}.{number}" != f"input.{inputs}":
            return Run(done_at=machine.now())
        script, whole = (
            _large("".join(parts[f"{name}.{at}"] for at in range(1, int(count) + 1)))
            for name, count in (("script", scripts), ("input", inputs))
        )
        return program(machine, ["/bin/sh", "-c", script], whole.encode())

    guests.program = run


def _large(text: str) -> str:
    return gzip.decompress(base64.b64decode(text)).decode()


def _seed(seed: Seed, mode: Mode) -> bytes:
    told = {"mode": mode, "hostname": seed.hostname, "host_key": seed.host_public_key}
    return json.dumps(told).encode().ljust(512)
