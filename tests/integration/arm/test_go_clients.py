"""Microsoft's Go clients go through a clone's life on the ARM double: two official clients must read it alike.

The double's clock moves five seconds with each request, so no poller waits; the program is
hack/vmclone_lab/gobuild/armjudge, built once into the cache.
"""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

import pytest
from tests.doubles.arm.call import Answer, Request
from tests.doubles.arm.double import Double
from tests.doubles.arm.refusals import Refusal
from tests.doubles.arm.server import Server
from tests.doubles.arm.site import CLIENT, GROUP, SECRET, SUBNET, furnished
from tests.support.simulation import SimClock

from vmclone_lab.gotools import TOOLS
from vmclone_lab.layout import Layout

VM = "Microsoft.Compute/virtualMachines"
SECONDS_PER_REQUEST = 5
DEADLINE_SECONDS = 120


class Ticking(Double):
    """A double whose clock moves with every request."""

    def __init__(self, clock: SimClock) -> None:
        super().__init__(furnished(clock))
        self._clock = clock

    def answer(self, request: Request) -> Answer:
        self._clock.advance(SECONDS_PER_REQUEST)
        return super().answer(request)


async def judged(double: Ticking) -> list[dict[str, Any]]:
    """Run the Go program against a double; return what it says, step by step."""
    program = Layout.from_environment(os.environ).cache / TOOLS["armjudge"].cache_key() / "armjudge"
    assert program.exists(), "run: hack/lab build armjudge"
    world = double.world
    async with Server(double, sleep=asyncio.sleep) as server:
        base = f"/subscriptions/{world.subscription}/resourceGroups"
        told = {
            "ARM_URL": server.base,
            "ARM_CA": str(server.certificate),
            "ARM_TENANT": world.tenant,
            "ARM_SUBSCRIPTION": world.subscription,
            "ARM_CLIENT": CLIENT,
            "ARM_SECRET": SECRET,
            "ARM_GROUP": GROUP,
            "ARM_LOCATION": world.location,
            "ARM_SUBNET": f"{base}/{SUBNET}",
            "ARM_SOURCE": f"{base}/{GROUP}/providers/{VM}/golden",
        }
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(str(program), env=told, stdout=pipe, stderr=pipe)
        out, err = await asyncio.wait_for(process.communicate(), DEADLINE_SECONDS)
        assert (process.returncode, err.decode()) == (0, "")
        return [json.loads(line) for line in out.splitlines()]


@pytest.fixture(scope="module")
def double() -> Ticking:
    """A double whose machines do not start again once they run: the late failure that the judge asks for."""
    made = Ticking(SimClock())
    made.world.late[VM, "power"] = [Refusal(409, "AllocationFailed", "Allocation failed: no capacity.")]
    return made


def test_microsofts_go_clients_read_the_double_as_the_python_sdk_does(double: Ticking) -> None:
    before = double.world.inventory()
    said = {line["step"]: line["facts"] for line in asyncio.run(judged(double))}
    assert said["card"]["state"] == "Succeeded"
    assert said["machine"] == {"state": "Succeeded", "tag": "go", "disk": "go-disk", "listed": True}
    assert said["run"] == {"state": "Succeeded", "output": "hello\n", "exitCode": 0}
    assert said["point"] == {"mode": "FileSystemConsistent", "dataDisks": 1, "copy": 30}
    assert said["refusals"] == {
        "card in use": "NicInUse",
        "disk in use": "OperationNotAllowed",
        "no such machine": "ResourceNotFound",
        "machine that fails late": "AllocationFailed",
    }
    assert "removed" in said
    assert double.world.inventory() == before
