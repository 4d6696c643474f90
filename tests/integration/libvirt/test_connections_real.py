"""Connections on real sockets: SSH with pinned keys, a libvirtd that goes and comes, and hosts that never answer."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import ssl
import threading
import time
import uuid
from collections.abc import Callable, Iterator

import pytest
from tests.contract.libvirt_backend import LibvirtFacts, open_libvirt
from tests.integration.libvirt import shapes
from tests.integration.libvirt.second_libvirtd import PKI, SecondLibvirtd, credentials, open_other
from tests.integration.libvirt.steps import INSTANCE, begun, ended, freeze_intent, gone, stamp_of
from tests.support.refs import is_gone

from vmclone_operator.domain.backend import BackendSession, OperationState, Owner
from vmclone_operator.domain.errors import BackendUnreachable, RetryLater
from vmclone_operator.providers.libvirt import access, connection

pytestmark = pytest.mark.libvirt
OTHERS_SECONDS = 2.0
"""How long a call to a healthy host may take while another host hangs."""


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait as in production, but shorter."""
    monkeypatch.setattr(access, "KNOCK_SECONDS", 1.0)
    monkeypatch.setattr(connection, "OPEN_SECONDS", 1.0)
    monkeypatch.setattr(connection, "FAILED_SECONDS", 1.0)
    monkeypatch.setattr(connection, "KEEPALIVE_SECONDS", 1)
    monkeypatch.setattr(connection, "KEEPALIVE_COUNT", 2)


def _over_tls(port: int, pool: str = "default") -> dict[str, object]:
    return {"transport": "tls", "host": "127.0.0.1", "port": port, "pool": pool}


@contextlib.contextmanager
def _a_source(daemon: SecondLibvirtd) -> Iterator[LibvirtFacts]:
    """Make a pool and a powered-off source on the second libvirtd, with a disk that takes a while to copy."""
    pool_path = daemon.folder / "pool"
    pool_path.mkdir()
    with daemon.connected() as other:
        pool = f"<pool type='dir'><name>own</name><target><path>{pool_path}</path></target></pool>"
        other.storagePoolCreateXML(pool)
        with (pool_path / "src.raw").open("wb") as file:
            for _ in range(300):
                file.write(bytes(range(1, 256)) * 4096)
        facts = LibvirtFacts(
            source_name="", source_id="", pool_name="own", pool_path=pool_path, spare_path=pool_path, connection=other
        )
        facts.pool.refresh()
        yield shapes.define(facts, shapes.DiskSpec(path=pool_path / "src.raw", format="raw"))


async def _until(act: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not act():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def _recovered(session: BackendSession) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            await session.check()
        except RetryLater:
            assert time.monotonic() < deadline, "the session did not recover"
            await asyncio.sleep(0.1)
        else:
            return


@pytest.mark.usefixtures("short_waits")
def test_a_libvirtd_that_restarts_in_the_middle_of_a_copy_costs_that_copy_only(second: SecondLibvirtd) -> None:
    async def scenario(facts: LibvirtFacts) -> None:
        stamp = stamp_of(str(uuid.uuid4()))
        async with open_other(_over_tls(second.port, "own"), credentials()) as session:
            first = await begun(session, freeze_intent(facts, stamp.vmclone_uid, "f1"))
            await _until(lambda: any(facts.pool_path.glob("vmclone-base-*")))
            second.kill()
            with pytest.raises(RetryLater):
                await session.check()
            second.start()
            await _recovered(session)
            with contextlib.suppress(RetryLater):  # told once: its connection broke
                await ended(session, first)
            assert (await ended(session, first)).state is OperationState.LOST
            owner = Owner(instance=INSTANCE, vmclone_uid=stamp.vmclone_uid)
            await gone(lambda: is_gone(session.release_frozen(owner, "f1")))
            again = await begun(session, freeze_intent(facts, stamp.vmclone_uid, "f2"))
            assert (await ended(session, again)).state is OperationState.DONE
            await gone(lambda: is_gone(session.release_frozen(owner, "f2")))
        assert not list(facts.pool_path.glob("vmclone-*"))

    with _a_source(second) as facts:
        asyncio.run(scenario(facts))


async def _stays_quick(healthy: BackendSession, hung: asyncio.Task[object]) -> None:
    """Call the healthy host until the hung one was given up; no call may take long."""
    while not hung.done():
        begun = time.monotonic()
        await healthy.check()
        assert time.monotonic() - begun < OTHERS_SECONDS
        await asyncio.sleep(0.1)


@pytest.mark.usefixtures("short_waits")
def test_a_libvirtd_that_hangs_delays_nobody_else_and_is_used_again_when_it_goes_on(second: SecondLibvirtd) -> None:
    async def calls(session: BackendSession) -> None:
        results = await asyncio.gather(
            *(session.find_frozen(Owner(instance=INSTANCE, vmclone_uid=INSTANCE)) for _ in range(20)),
            return_exceptions=True,
        )
        assert {type(result) for result in results} == {BackendUnreachable}

    async def scenario() -> None:
        async with open_libvirt() as (healthy, _), open_other(_over_tls(second.port, "own"), credentials()) as session:
            second.signal(signal.SIGSTOP)
            hung: asyncio.Task[object] = asyncio.create_task(calls(session))
            try:
                await asyncio.wait_for(_stays_quick(healthy, hung), 20)
                await hung
            finally:
                second.signal(signal.SIGCONT)
            await _recovered(session)

    with _a_source(second):
        asyncio.run(scenario())


@contextlib.contextmanager
def _silent() -> Iterator[int]:
    """Listen, and never answer: the kernel accepts in our name."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


@contextlib.contextmanager
def _silent_after_the_handshake() -> Iterator[int]:
    """Speak TLS with the lab's certificate, and then nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(PKI / "server.crt", PKI / "server.key")
    taken: list[socket.socket] = []

    def serve(server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                taken.append(context.wrap_socket(server.accept()[0], server_side=True))

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, args=(server,), daemon=True).start()
        yield int(server.getsockname()[1])
        for each in taken:
            each.close()


@pytest.mark.usefixtures("short_waits")
@pytest.mark.parametrize(
    ("listen", "transport"),
    [
        pytest.param(_silent, "tls", id="TLS, nothing answers"),
        pytest.param(_silent, "ssh", id="SSH, nothing answers"),
        pytest.param(_silent_after_the_handshake, "tls", id="TLS, then nothing"),
    ],
)
def test_a_host_that_takes_every_connection_and_never_answers_delays_nobody_else(
    listen: Callable[[], contextlib.AbstractContextManager[int]], transport: str
) -> None:
    ssh = {"user": "root", "knownHosts": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKVp3F75mFxsHowsOXnd"]}

    async def scenario(port: int) -> None:
        async def opened() -> None:
            settings = {
                "transport": transport,
                "host": "127.0.0.1",
                "port": port,
                **(ssh if transport == "ssh" else {}),
            }
            secret = {**credentials(), "ssh-privatekey": b"key"}
            with pytest.raises(BackendUnreachable):
                async with open_other(settings, secret):
                    pass

        async with open_libvirt() as (healthy, _):
            hung: asyncio.Task[object] = asyncio.create_task(opened())
            await asyncio.wait_for(_stays_quick(healthy, hung), 10)
            await hung

    with listen() as port:
        asyncio.run(scenario(port))


def test_a_libvirtd_that_is_not_there_says_so(second: SecondLibvirtd) -> None:
    second.kill()

    async def scenario() -> None:
        with pytest.raises(BackendUnreachable, match="refused"):
            async with open_other(_over_tls(second.port), credentials()):
                pass

    asyncio.run(scenario())
