"""Connections to backends: the end of one is the end of one alone."""

from __future__ import annotations

import asyncio

import pytest
from tests.support import manifests
from tests.support.simulation import Simulation

from vmclone_operator.domain.backend import BackendConfig, BackendSession, Fence, Wake
from vmclone_operator.domain.errors import BackendUnreachable
from vmclone_operator.kube.cluster import Kind
from vmclone_operator.providers.fake import FakeBackend
from vmclone_operator.providers.fake.session import FakeSession

NAMES = ("one", "two", "three")


class FailsToClose(FakeSession):
    """A connection whose host is gone when it is ended."""

    async def close(self) -> None:
        """End it on this side, then hear that the host does not answer."""
        await super().close()
        raise BackendUnreachable("the host does not answer")


class SecondFails(FakeBackend):
    """Opens connections, of which that to `two` can not be ended in peace."""

    async def open(self, config: BackendConfig, *, wake: Wake, fence: Fence) -> FakeSession:
        """Connect."""
        kind = FailsToClose if config.name == "two" else FakeSession
        return kind(self._world, wake=wake, fence=fence, boot_seconds=1)


async def _opened_and_closed(sim: Simulation) -> list[BackendSession]:
    documents = [sim.cluster.apply(Kind.BACKEND, manifests.backend(name)) for name in NAMES]
    sessions = sim.engine.sessions
    found = [await sessions.get(document, name) for document, name in zip(documents, NAMES, strict=True)]
    with pytest.raises(BackendUnreachable, match="does not answer"):
        await sessions.close()
    await sessions.close()  # there is none left to end
    return found


def test_a_connection_that_fails_to_end_keeps_no_other_one_open() -> None:
    sim = Simulation()
    sim.engine.sessions.load = lambda _: SecondFails(sim.world)
    closed = asyncio.run(_opened_and_closed(sim))
    for name, session in zip(NAMES, closed, strict=True):
        assert isinstance(session, FakeSession)
        with pytest.raises(BackendUnreachable, match="was closed"):
            asyncio.run(session.check(name))
