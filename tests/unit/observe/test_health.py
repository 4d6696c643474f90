"""The probes: ready means it can work, alive means it should not be started again; over real HTTP."""

from __future__ import annotations

import asyncio
import socket
from datetime import UTC, datetime

import aiohttp
import pytest
from tests.support.memory_cluster import MemoryCluster
from tests.unit.observe.scrape import Clock, watched

from vmclone_operator.kube.cluster import Kind
from vmclone_operator.kube.lease import LeaseKeeper
from vmclone_operator.observe.health import Health, LoopLag, News
from vmclone_operator.observe.server import serving


def cluster() -> MemoryCluster:
    return MemoryCluster(now=lambda: datetime.now(UTC).isoformat())


def keeper_of(shared: MemoryCluster, identity: str, clock: Clock) -> LeaseKeeper:
    return LeaseKeeper(shared, namespace="vmclone-system", identity=identity, clock=clock)


async def asked(keeper: LeaseKeeper) -> None:
    """Ask for the Lease once, as `acquire` does each few seconds."""
    await keeper._try()


def test_a_process_that_has_not_checked_its_kinds_is_not_ready() -> None:
    assert "not checked" in Health(LoopLag(Clock())).not_ready()


def test_a_standby_is_ready_and_alive_for_as_long_as_the_api_server_answers() -> None:
    clock, shared = Clock(), cluster()
    leader, standby = keeper_of(shared, "a", clock), keeper_of(shared, "b", clock)
    health = Health(LoopLag(clock))
    health.keeper = standby
    assert "has not answered" in health.not_ready()
    asyncio.run(asked(leader))
    asyncio.run(asked(standby))
    assert (health.not_ready(), health.not_alive()) == ("", "")
    clock.seconds += 31
    assert "has not answered" in health.not_ready()
    assert health.not_alive() == ""


def test_a_leader_that_lost_the_lease_and_did_not_end_is_not_alive() -> None:
    clock = Clock()
    health = Health(LoopLag(clock))
    health.keeper = keeper_of(cluster(), "a", clock)
    asyncio.run(asked(health.keeper))
    health.leads = True
    assert health.not_alive() == ""
    clock.seconds += 61
    assert "lease" in health.not_alive()


@pytest.mark.parametrize(("late", "says"), [(0.2, ""), (21.0, "stood still for 21 s")])
def test_a_loop_that_stands_still_is_not_alive(late: float, says: str) -> None:
    lag = LoopLag(Clock())
    lag.note(late)
    assert says in Health(lag).not_alive()
    assert bool(Health(lag).not_alive()) == bool(says)


SILENCES = {
    "before the first list": ({}, 600.0, 1201.0),
    "after news of one kind": ({Kind.VMCLONE: 1000.0}, 600.0, 1201.0),
    "with lists every second": ({}, 1.0, 61.0),
}


@pytest.mark.parametrize(("heard", "relist", "limit"), SILENCES.values(), ids=SILENCES.keys())
def test_a_leader_that_hears_nothing_for_two_lists_is_not_alive(
    heard: dict[Kind, float], relist: float, limit: float
) -> None:
    clock = Clock()
    health = Health(LoopLag(clock))
    health.news = News(heard, clock=clock, relist_seconds=relist)
    clock.seconds += limit - 1
    assert health.not_alive() == ""
    clock.seconds += 1
    assert f"for {limit:.0f} s" in health.not_alive()
    heard[Kind.REPLICA] = clock.seconds
    assert health.not_alive() == ""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def pages(health: Health, port: int) -> dict[str, tuple[int, str]]:
    watching = watched(Clock())
    found = {}
    async with serving(watching.registry, health, port=port), aiohttp.ClientSession() as session:
        for path in ("/metrics", "/healthz", "/readyz"):
            async with session.get(f"http://127.0.0.1:{port}{path}") as answer:
                found[path] = (answer.status, await answer.text())
    return found


def test_the_pages_say_what_is_wrong_in_words() -> None:
    found = asyncio.run(pages(Health(LoopLag(Clock())), free_port()))
    assert found["/healthz"] == (200, "ok\n")
    assert found["/readyz"] == (503, "the CustomResourceDefinitions are not checked yet\n")
    assert found["/metrics"][0] == 200
    assert "# TYPE workqueue_depth gauge" in found["/metrics"][1]


def test_port_0_serves_nothing() -> None:
    async def scenario() -> None:
        watching = watched(Clock())
        async with serving(watching.registry, watching.health, port=0):
            assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]

    asyncio.run(scenario())
