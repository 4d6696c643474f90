"""A small client clones, makes a template, clones from it and deletes, while replies are lost at every write.

It is what an adapter has to do at least: look before it writes, and after a broken connection look again. The
double has to be stateful enough that looking tells the truth.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import aiohttp
import pytest
from tests.doubles.pve.faults import Faults
from tests.doubles.pve.server import Server
from tests.unit.doubles.pve.clients import NODE, QEMU, TOKEN, Client, cluster

from vmclone_operator.providers.fake.faults import Fault, FaultKind, FaultSchedule, at_index

OURS = "made by this test"
LOOK_SECONDS = 5
WRITES = 9
"""How many writes a life without faults takes; the last test counts them."""


class Life:
    """One way from nothing to a template with two linked clones, and back."""

    def __init__(self, session: aiohttp.ClientSession, port: int, client: Client) -> None:
        self.session = session
        self.base = f"https://127.0.0.1:{port}/api2/json"
        self.client = client

    async def run(self) -> None:
        await self.until(partial(self.made, 101), "POST", f"{QEMU}/100/clone", newid=101, full=1, description=OURS)
        await self.until(partial(self.template, 101), "POST", f"{QEMU}/101/template")
        for vmid in (102, 103):
            await self.until(partial(self.made, vmid), "POST", f"{QEMU}/101/clone", newid=vmid, description=OURS)
            await self.until(partial(self.tagged, vmid), "PUT", f"{QEMU}/{vmid}/config", tags="vmclone")
        for vmid in (102, 103, 101):
            await self.until(partial(self.gone, vmid), "DELETE", f"{QEMU}/{vmid}", purge=1)

    async def until(self, done: Callable[[], Awaitable[bool]], method: str, path: str, **params: Any) -> None:
        """Write until a look says that it is done; a write whose task still runs is not repeated."""
        for _ in range(5):
            if await done():
                return
            with contextlib.suppress(aiohttp.ClientConnectionError):
                await self.send(method, path, **params)
            while await self.busy():
                self.client.clock.advance(LOOK_SECONDS)
        raise AssertionError(f"{method} {path} never came to its end")

    async def send(self, method: str, path: str, **params: Any) -> Any:
        async with self.session.request(method, self.base + path, data=params or None) as response:
            return (await response.json())["data"] if response.status == 200 else None

    async def busy(self) -> bool:
        return bool(await self.send("GET", f"{NODE}/tasks?source=active"))

    async def config(self, vmid: int) -> dict[str, Any]:
        return await self.send("GET", f"{QEMU}/{vmid}/config") or {}

    async def made(self, vmid: int) -> bool:
        config = await self.config(vmid)
        return config.get("description") == OURS and "lock" not in config and "scsi0" in config

    async def template(self, vmid: int) -> bool:
        config = await self.config(vmid)
        return config.get("template") == 1 and "/base-" in config["scsi0"]

    async def tagged(self, vmid: int) -> bool:
        return (await self.config(vmid)).get("tags") == "vmclone"

    async def gone(self, vmid: int) -> bool:
        left = await self.send("GET", f"{NODE}/storage/local/content?vmid={vmid}")
        return not await self.config(vmid) and not left


def lived(client: Client, schedule: FaultSchedule) -> None:
    """Run one life through a server with these faults."""

    async def sleep(seconds: float) -> None:
        client.clock.advance(seconds)

    async def story() -> None:
        async with Server(client.double, sleep=sleep, faults=Faults(schedule)) as server:
            connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=str(server.certificate)))
            headers = {"Authorization": f"PVEAPIToken={TOKEN}=secret"}
            async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
                session._retry_connection = False
                await Life(session, server.port, client).run()

    asyncio.run(story())


def written(client: Client, schedule: FaultSchedule) -> list[int]:
    """Return the numbers of the writes of a life without faults."""
    lived(client, schedule)
    return [point.index for point in schedule.trace if point.writes]


@pytest.fixture(scope="module")
def writes() -> list[int]:
    return written(cluster(), FaultSchedule())


def made_by(client: Client) -> list[str]:
    """Return the clones that were made, by source."""
    return [task.subject for task in client.world.tasks.values() if (task.kind, task.exit_status) == ("qmclone", "OK")]


CASES = [
    *((number, FaultKind.LOSE_REPLY) for number in range(WRITES)),
    (0, FaultKind.FAIL),
    (WRITES - 1, FaultKind.FAIL),
]


@pytest.mark.parametrize(("number", "kind"), CASES)
def test_one_vm_each_and_nothing_left_when_a_reply_is_lost_at_write(
    writes: list[int], number: int, kind: FaultKind
) -> None:
    client = cluster()
    before = set(client.world.storages.volumes)
    schedule = FaultSchedule(at_index(writes[number], Fault(kind=kind)))
    lived(client, schedule)
    assert [fault.kind for _, fault in schedule.struck] == [kind]
    assert made_by(client) == ["100", "101", "101"]
    assert set(client.world.vms) == {100}
    assert set(client.world.storages.volumes) == before


def test_a_life_takes_that_many_writes(writes: list[int]) -> None:
    assert len(writes) == WRITES
