"""The double on a port with the adapter's own client in front of it, all on the simulation's clock."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.doubles.pve.faults import Faults
from tests.doubles.pve.server import Server
from tests.unit.doubles.pve.clients import TOKEN
from tests.unit.doubles.pve.clients import Client as World

from vmclone_operator.domain.backend import Fence
from vmclone_operator.providers.fake.faults import FaultSchedule
from vmclone_operator.providers.proxmox.client import Client, Door, Journal


def no_fence() -> None:
    """Let every write through."""


@asynccontextmanager
async def served(world: World, schedule: FaultSchedule | None = None) -> AsyncIterator[Server]:
    """Serve a double; its waiting moves the clock."""

    async def sleep(seconds: float) -> None:
        world.clock.advance(seconds)
        world.world.timeline.settle()

    async with Server(world.double, sleep=sleep, faults=Faults(schedule)) as server:
        yield server


@asynccontextmanager
async def connected(
    world: World,
    server: Server,
    *,
    fence: Fence = no_fence,
    journal: Journal | None = None,
    **door: Any,
) -> AsyncIterator[Client]:
    """Open a client with the double's certificate and token."""

    async def sleep(seconds: float) -> None:
        world.clock.advance(seconds)

    trust = {} if {"ca", "fingerprint"} & set(door) else {"fingerprint": server.fingerprint}
    known = {"endpoints": (f"127.0.0.1:{server.port}",), "token_id": TOKEN, "token_secret": "secret", **trust, **door}
    client = Client(Door(**known), fence=fence, now=world.clock, sleep=sleep, journal=journal)
    try:
        yield client
    finally:
        await client.close()
