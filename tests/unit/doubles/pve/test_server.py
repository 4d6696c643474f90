"""The double on a port: TLS, the size of requests, three workers, and what goes wrong between client and server."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from tests.doubles.faults import Sleep
from tests.doubles.pve.faults import Faults, ServerSays
from tests.doubles.pve.server import Server
from tests.unit.doubles.pve.clients import QEMU, TOKEN, Client, cluster, run

from vmclone_operator.providers.fake.faults import Fault, FaultKind, FaultSchedule, at_call

Send = Callable[..., Awaitable[tuple[int, str]]]
CONFIG = "PUT /nodes/{node}/qemu/{vmid}/config"


@asynccontextmanager
async def served(
    client: Client, fault: Fault | None = None, sleep: Sleep | None = None, *, sends_twice: bool = False
) -> AsyncIterator[Send]:
    async def moving(seconds: float) -> None:
        client.clock.advance(seconds)

    schedule = FaultSchedule(at_call(CONFIG, fault)) if fault else FaultSchedule()
    async with Server(client.double, sleep=sleep or moving, faults=Faults(schedule)) as server:
        connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=str(server.certificate)))
        headers = {"Authorization": f"PVEAPIToken={TOKEN}=secret"}
        async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
            session._retry_connection = sends_twice

            async def send(method: str, path: str, **params: Any) -> tuple[int, str]:
                url = f"https://127.0.0.1:{server.port}/api2/json{path}"
                async with session.request(method, url, data=params or None) as response:
                    return response.status, response.reason or ""

            yield send


def test_a_client_that_pins_the_certificate_is_served() -> None:
    async def story() -> None:
        async with served(cluster()) as send:
            assert await send("GET", "/version") == (200, "OK")

    asyncio.run(story())


@pytest.mark.parametrize(("limit", "status"), [(64 * 1024, 501), (512 * 1024, 400)])
def test_a_body_may_be_as_large_as_the_release_takes(limit: int, status: int) -> None:
    client = cluster()
    client.world.release.post_bytes = limit

    async def story() -> None:
        async with served(client) as send:
            answer = await send("PUT", f"{QEMU}/100/config", description="x" * 70_000)
            assert answer[0] == status

    asyncio.run(story())


LOST = [FaultKind.LOSE_REPLY, FaultKind.FAIL, FaultKind.HANG]


@pytest.mark.parametrize("kind", LOST)
def test_a_lost_connection_has_changed_something_only_when_the_reply_was_lost(kind: FaultKind) -> None:
    client = cluster()

    async def story() -> None:
        async with served(client, Fault(kind=kind, delay_seconds=30)) as send:
            with pytest.raises(aiohttp.ClientConnectionError):
                await send("PUT", f"{QEMU}/100/config", description="changed")

    asyncio.run(story())
    done = client.get(f"{QEMU}/100/config").get("description") == "changed"
    assert done == (kind is FaultKind.LOSE_REPLY)
    assert client.clock() == 30


def test_aiohttp_sends_a_change_again_by_itself_unless_told_not_to() -> None:
    """A client that puts a fence before every write must switch this off, as the ADR on Proxmox over aiohttp says."""
    client = cluster()

    async def story() -> None:
        async with served(client, Fault(kind=FaultKind.FAIL), sends_twice=True) as send:
            assert await send("PUT", f"{QEMU}/100/config", description="changed") == (200, "OK")

    asyncio.run(story())


ANSWERED = {
    "a worker that died": (Fault(kind=FaultKind.FAIL, error=ServerSays(596, "Broken pipe")), (596, "Broken pipe")),
    "a throttled call": (Fault(kind=FaultKind.THROTTLE), (503, "Service Unavailable")),
}


@pytest.mark.parametrize("case", ANSWERED)
def test_the_daemon_answers_in_place_of_the_api_for(case: str) -> None:
    fault, expected = ANSWERED[case]
    client = cluster()

    async def story() -> None:
        async with served(client, fault) as send:
            assert await send("PUT", f"{QEMU}/100/config", description="changed") == expected

    asyncio.run(story())
    assert "description" not in client.get(f"{QEMU}/100/config")


def test_a_node_that_is_down_answers_595_and_a_cluster_without_quorum_takes_no_writes() -> None:
    client = cluster()
    client.world.quorate = False
    assert client.refused("POST", f"{QEMU}/100/clone", newid=101) == "500 cluster not ready - no quorum?"
    client.world.nodes["pve1"].online = False
    assert client.refused("GET", f"{QEMU}/100/config") == "595 No route to host"


class HandClock:
    """A clock that a test moves on by hand, for calls that wait beside each other."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.waiting: list[tuple[float, asyncio.Event]] = []
        self.changed = asyncio.Condition()

    async def until_waiting(self, count: int) -> None:
        async with self.changed:
            await self.changed.wait_for(lambda: len(self.waiting) >= count)

    async def sleep(self, seconds: float) -> None:
        event = asyncio.Event()
        self.waiting.append((self.client.clock() + seconds, event))
        async with self.changed:
            self.changed.notify_all()
        await event.wait()

    async def advance(self, seconds: float) -> None:
        self.client.clock.advance(seconds)
        due = [entry for entry in self.waiting if entry[0] <= self.client.clock()]
        self.waiting = [entry for entry in self.waiting if entry not in due]
        for _, event in due:
            event.set()
        await asyncio.sleep(0.05)


def test_three_silent_agents_hold_up_everybody_who_needs_a_worker() -> None:
    client = cluster()
    client.guests.disks.clear()
    run(client)
    clock = HandClock(client)

    async def story() -> None:
        async with served(client, sleep=clock.sleep) as send:
            pings = [asyncio.create_task(_sent(send("POST", f"{QEMU}/100/agent/ping"))) for _ in range(3)]
            await clock.until_waiting(3)
            status = asyncio.create_task(_sent(send("GET", f"{QEMU}/100/status/current")))
            assert await send("GET", f"{QEMU}/100/config") == (200, "OK"), "pveproxy reads configs itself"
            await clock.advance(2.9)
            assert not status.done()
            await clock.advance(0.2)
            assert await status == (200, "OK")
            assert {await ping for ping in pings} == {(500, "QEMU guest agent is not running")}

    asyncio.run(story())


async def _sent(answer: Awaitable[tuple[int, str]]) -> tuple[int, str]:
    return await answer
