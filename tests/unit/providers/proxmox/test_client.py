"""The client against the double: who is trusted, what is sent twice, what is asked of whom, and what errors say."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.doubles.pve.faults import ServerSays
from tests.unit.doubles.pve.clients import QEMU, cluster
from tests.unit.providers.proxmox.servers import connected, served

from vmclone_operator.domain.errors import (
    ActionNeeded,
    BackendUnreachable,
    CredentialsInvalid,
    LeadershipLost,
)
from vmclone_operator.providers.fake.faults import Fault, FaultKind, FaultSchedule, at_call
from vmclone_operator.providers.proxmox.client import Client, Door
from vmclone_operator.providers.proxmox.translate import Kind, Refused

CONFIG = "PUT /nodes/{node}/qemu/{vmid}/config"
READ = "GET /nodes/{node}/qemu/{vmid}/config"


def story(tell: Callable[..., Awaitable[Any]], schedule: FaultSchedule | None = None, **how: Any) -> Any:
    """Run one story with a client of a served one-node cluster."""
    world = cluster()

    async def told() -> Any:
        async with served(world, schedule) as server, connected(world, server, **how) as client:
            return await tell(client, server, world)

    return asyncio.run(told())


def closed_port() -> str:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{one.getsockname()[1]}"


def test_a_pinned_certificate_is_taken_and_another_one_is_not() -> None:
    async def tell(client: Client, server: Any, world: Any) -> None:
        assert (await client.get("/version"))["release"] == "9.2"
        async with connected(world, server, fingerprint="ab" * 32) as stranger:
            with pytest.raises(CredentialsInvalid, match="certificate of 127"):
                await stranger.get("/version")

    story(tell)


def test_an_authority_is_believed_and_the_systems_own_does_not_know_this_server() -> None:
    async def tell(_: Client, server: Any, world: Any) -> None:
        pem = server.certificate.read_text().split("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----\n"
        async with connected(world, server, ca=pem) as client:
            assert (await client.get("/version"))["release"] == "9.2"
        async with connected(world, server, ca="") as client:
            with pytest.raises(CredentialsInvalid):
                await client.get("/version")

    story(tell)


@pytest.mark.parametrize(
    ("door", "names"),
    [
        ({"fingerprint": "12:34"}, "fingerprint"),
        ({"fingerprint": "zz" * 32}, "fingerprint"),
        ({"ca": "no pem"}, "caBundle"),
        ({"endpoints": ()}, "endpoints"),
    ],
)
def test_a_door_that_cannot_be_opened_names_its_field(door: dict[str, Any], names: str) -> None:
    async def told() -> None:
        known = {"endpoints": ("pve1.example",), "token_id": "a@pve!b", "token_secret": "c", **door}
        with pytest.raises(ActionNeeded, match=names):
            Client(Door(**known), fence=lambda: None)

    asyncio.run(told())


def test_the_secret_is_in_no_text_of_a_door() -> None:
    assert "hush" not in repr(Door(endpoints=("a",), token_id="u@pve!t", token_secret="hush"))


def test_a_wrong_secret_is_told_as_the_credentials_fault() -> None:
    async def tell(client: Client, *_: Any) -> Kind:
        with pytest.raises(Refused) as caught:
            await client.get("/version")
        return caught.value.kind

    assert story(tell, token_secret="wrong") is Kind.NOT_KNOWN


def test_the_next_endpoint_is_asked_when_one_is_away_and_the_one_that_answered_is_asked_first_afterwards() -> None:
    seen: list[int] = []

    async def tell(_: Client, server: Any, world: Any) -> None:
        both = (closed_port(), f"127.0.0.1:{server.port}")
        async with connected(world, server, endpoints=both, journal=lambda *told: seen.append(told[-1])) as client:
            await client.get("/version")
            await client.write("PUT", f"{QEMU}/100/config", {"onboot": 0})
            await client.get("/version")

    story(tell)
    assert seen == [0, 200, 200, 200]


def test_a_write_that_nobody_received_goes_to_the_next_endpoint_with_a_fence_before_each() -> None:
    asked: list[str] = []

    async def tell(_: Client, server: Any, world: Any) -> None:
        both = (closed_port(), f"127.0.0.1:{server.port}")
        async with connected(world, server, endpoints=both, fence=lambda: asked.append("fence")) as client:
            await client.write("PUT", f"{QEMU}/100/config", {"onboot": 1})
        assert world.get(f"{QEMU}/100/config")["onboot"] == 1

    story(tell)
    assert asked == ["fence", "fence"]


@pytest.mark.parametrize("kind", [FaultKind.LOSE_REPLY, FaultKind.FAIL, FaultKind.HANG])
def test_a_write_whose_connection_breaks_is_sent_once_whether_or_not_there_is_another_endpoint(kind: FaultKind) -> None:
    schedule = FaultSchedule(at_call(CONFIG, Fault(kind=kind)))

    async def tell(_: Client, server: Any, world: Any) -> list[str]:
        twice = (f"127.0.0.1:{server.port}", f"localhost:{server.port}")
        async with connected(world, server, endpoints=twice) as client:
            with pytest.raises(BackendUnreachable):
                await client.write("PUT", f"{QEMU}/100/config", {"onboot": 1})
        return [call for call in server.calls if call == CONFIG]

    assert len(story(tell, schedule)) == 1


def test_a_read_whose_connection_breaks_is_asked_of_the_next_endpoint() -> None:
    schedule = FaultSchedule(at_call(READ, Fault(kind=FaultKind.FAIL)))

    async def tell(_: Client, server: Any, world: Any) -> Any:
        twice = (f"127.0.0.1:{server.port}", f"localhost:{server.port}")
        async with connected(world, server, endpoints=twice) as client:
            return await client.get(f"{QEMU}/100/config")

    assert story(tell, schedule)["name"] == "golden"


def test_nothing_is_written_once_the_leadership_is_lost_and_a_thaw_still_is() -> None:
    def fence() -> None:
        raise LeadershipLost("another leads")

    async def tell(client: Client, server: Any, _: Any) -> None:
        with pytest.raises(LeadershipLost):
            await client.write("PUT", f"{QEMU}/100/config", {"onboot": 1})
        assert server.calls == []
        await client.write("PUT", f"{QEMU}/100/config", {"onboot": 1}, fenced=False)
        assert server.calls == [CONFIG]

    story(tell, fence=fence)


SAID = {
    "a vm that is not there": ("GET", f"{QEMU}/999/config", Kind.NO_VM),
    "an id that is taken": ("POST", f"{QEMU}/100/clone?newid=100", Kind.TAKEN),
    "a digest of another state": ("PUT", f"{QEMU}/100/config?digest=aa&onboot=1", Kind.CHANGED),
    "a parameter that no release knows": ("PUT", f"{QEMU}/100/config?nosuch=1", Kind.WRONG),
    "an agent of a vm that is off": ("POST", f"{QEMU}/100/agent/ping", Kind.NOT_RUNNING),
    "a task that never was": (
        "GET",
        "/nodes/pve1/tasks/UPID:pve1:00000001:00000001:00000001:a:1:u@pve:/status",
        Kind.NO_TASK,
    ),
}


@pytest.mark.parametrize("case", SAID)
def test_a_refusal_is_read_from_the_reason_phrase_and_the_named_parameters(case: str) -> None:
    method, path, expected = SAID[case]
    base, _, query = path.partition("?")
    parameters = dict(pair.split("=") for pair in query.split("&") if pair)

    async def tell(client: Client, *_: Any) -> Refused:
        with pytest.raises(Refused) as caught:
            await (client.get(base) if method == "GET" else client.write(method, base, parameters))
        return caught.value

    refused = story(tell)
    assert refused.kind is expected
    assert "\n" not in refused.words


def test_a_reply_that_is_no_api_is_a_backend_that_is_away() -> None:
    schedule = FaultSchedule(at_call(READ, Fault(kind=FaultKind.FAIL, error=ServerSays(200, "OK"))))

    async def tell(client: Client, *_: Any) -> None:
        with pytest.raises(BackendUnreachable, match="proxy"):
            await client.get(f"{QEMU}/100/config")

    story(tell, schedule)


def test_a_throttled_read_is_a_backend_that_is_away() -> None:
    schedule = FaultSchedule(at_call(READ, Fault(kind=FaultKind.THROTTLE)))

    async def tell(client: Client, *_: Any) -> None:
        with pytest.raises(BackendUnreachable, match="503"):
            await client.get(f"{QEMU}/100/config")

    story(tell, schedule)


def test_an_iso_is_uploaded_in_the_order_of_fields_that_the_server_wants() -> None:
    async def tell(client: Client, _: Any, world: Any) -> None:
        await client.write(
            "POST", "/nodes/pve1/storage/local/upload", {"content": "iso"}, upload=("a-seed.iso", b"\0" * 70_000)
        )
        world.pass_time(5)
        assert world.world.storages.volumes["local:iso/a-seed.iso"].size == 70_000

    story(tell)
