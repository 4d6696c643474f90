"""The Lease is renewed whatever the passes do: also while the loop that they turn on does nothing but count."""

from __future__ import annotations

import asyncio
import time

import pytest
from tests.support.memory_cluster import MemoryCluster

from vmclone_operator.domain.errors import LeadershipLost
from vmclone_operator.kube.cluster import Key, Kind
from vmclone_operator.kube.lease import LeaseKeeper, LeaseTimes
from vmclone_operator.kube.own_loop import OwnLoop

TIMES = LeaseTimes(duration=3, deadline=1.5, retry=0.1)
FULL_LOAD_SECONDS = 3.0


def keeper(*, works: bool = True) -> tuple[MemoryCluster, LeaseKeeper]:
    cluster = MemoryCluster(now=lambda: "2026-01-01T00:00:00Z")
    return cluster, LeaseKeeper(cluster, namespace="system", identity="me", times=TIMES, works=lambda: works)


def count_for(seconds: float) -> None:
    """Keep the interpreter busy, as passes and parsers do."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        sum(range(1000))


def test_renewals_do_not_wait_behind_a_loop_under_full_load() -> None:
    """Row 13 of the faults: twice the deadline without one turn of the loop, and the lease is held all the time."""
    cluster, lease = keeper()

    async def scenario(beside: OwnLoop) -> None:
        await beside.run(lease.acquire())
        holding = asyncio.create_task(beside.run(lease.hold()))
        await asyncio.sleep(0.05)
        count_for(FULL_LOAD_SECONDS)
        lease.fence()
        assert lease.age_seconds < TIMES.deadline
        assert 0 < lease.lag_seconds < TIMES.deadline
        holding.cancel()
        await asyncio.gather(holding, return_exceptions=True)
        await beside.run(lease.release())

    with OwnLoop("lease") as beside:
        asyncio.run(scenario(beside))
    assert cluster.documents[Key(Kind.LEASE, "system", "vmclone-operator")]["spec"]["holderIdentity"] == ""


def test_a_renewal_is_one_request_while_nobody_else_writes_the_lease() -> None:
    cluster, lease = keeper()
    reads: list[int] = []
    cluster.before_read = lambda: reads.append(1)

    async def scenario(beside: OwnLoop) -> None:
        await beside.run(lease.acquire())
        reads.clear()
        holding = asyncio.create_task(beside.run(lease.hold()))
        await asyncio.sleep(0.5)
        holding.cancel()
        await asyncio.gather(holding, return_exceptions=True)

    with OwnLoop("lease") as beside:
        asyncio.run(scenario(beside))
    assert not reads
    assert len(cluster.writes) > 2


def test_a_process_whose_loop_hangs_lets_its_lease_run_out() -> None:
    """Else nobody could take over from one that does nothing but renew."""
    _, lease = keeper(works=False)

    async def scenario(beside: OwnLoop) -> None:
        await beside.run(lease.acquire())
        await asyncio.wait_for(beside.run(lease.hold()), 10)

    with OwnLoop("lease") as beside:
        asyncio.run(scenario(beside))
    with pytest.raises(LeadershipLost):
        lease.fence()


def test_what_still_runs_there_is_cancelled_when_the_loop_ends() -> None:
    ended: list[str] = []

    async def endless() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("cancelled")

    async def scenario() -> None:
        with OwnLoop("lease") as beside:  # it is left as `main` leaves it: inside of another loop that runs
            task = asyncio.create_task(beside.run(endless()))
            await asyncio.sleep(0.1)
            assert not task.done()

    asyncio.run(scenario())
    assert ended == ["cancelled"]
