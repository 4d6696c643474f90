"""One operator leads; another takes over; and one that lost the Lease without noticing may not write."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.memory_cluster import MemoryCluster

from vmclone_operator.domain.errors import LeadershipLost
from vmclone_operator.kube.cluster import Document, Key, Kind, Unavailable
from vmclone_operator.kube.lease import LeaseKeeper, LeaseTimes

LEASE = Key(Kind.LEASE, "vmclone-system", "vmclone-operator")
TIMES = LeaseTimes(retry=0.03)


class Clock:
    """Monotonic seconds that a test moves; each machine's own begins anywhere."""

    def __init__(self, seconds: float = 1000.0) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        return self.seconds


class Interleaving(MemoryCluster):
    """Lets everybody read before anybody writes; `on_read` is called at each read."""

    on_read: Callable[[], object] = staticmethod(lambda: None)

    async def get(self, key: Key) -> Document | None:
        found = await super().get(key)
        self.on_read()
        await asyncio.sleep(0)
        return found


class Two:
    """Two operators, a and b, before one API server."""

    def __init__(self) -> None:
        self.cluster = Interleaving(now=lambda: "2026-01-01T00:00:00Z")
        self.clock = Clock()
        self.a, self.b = self.keeper("a"), self.keeper("b")

    def keeper(self, identity: str) -> LeaseKeeper:
        return LeaseKeeper(self.cluster, namespace=LEASE.namespace, identity=identity, times=TIMES, clock=self.clock)

    @property
    def lease(self) -> dict[str, Any]:
        spec: dict[str, Any] = self.cluster.documents[LEASE]["spec"]
        return spec


async def gets_it(keeper: LeaseKeeper) -> bool:
    """Return whether the operator holds the lease after a few tries at the present time."""
    try:
        await asyncio.wait_for(keeper.acquire(), 0.25)
    except TimeoutError:
        return False
    return True


def may_write(keeper: LeaseKeeper) -> bool:
    try:
        keeper.fence()
    except LeadershipLost:
        return False
    return True


def test_one_of_two_gets_the_first_lease_though_both_saw_none() -> None:
    two = Two()

    async def scenario() -> list[bool]:
        return list(await asyncio.gather(gets_it(two.a), gets_it(two.b)))

    got = asyncio.run(scenario())
    assert sorted(got) == [False, True]
    assert [may_write(two.a), may_write(two.b)] == got


def test_one_of_two_takes_over_an_ended_lease_though_both_saw_its_end() -> None:
    two = Two()

    async def scenario() -> list[bool]:
        assert await gets_it(two.keeper("c"))
        assert not await gets_it(two.a)
        assert not await gets_it(two.b)
        two.clock.seconds += TIMES.duration
        return list(await asyncio.gather(gets_it(two.a), gets_it(two.b)))

    got = asyncio.run(scenario())
    assert sorted(got) == [False, True]
    assert [may_write(two.a), may_write(two.b)] == got
    assert two.lease["leaseTransitions"] == 2


WAITS = {"just before its end": (29.9, False), "at its end": (30.0, True)}


@pytest.mark.parametrize(("seconds", "taken"), WAITS.values(), ids=WAITS.keys())
def test_a_lease_that_nobody_renews_is_taken_over_after_its_duration(seconds: float, taken: bool) -> None:
    two = Two()

    async def scenario() -> None:
        assert await gets_it(two.a)
        assert not await gets_it(two.b)
        two.clock.seconds += seconds
        assert await gets_it(two.b) is taken

    asyncio.run(scenario())
    assert (may_write(two.a), may_write(two.b)) == (False, taken)
    assert two.lease["holderIdentity"] == ("b" if taken else "a")


def test_one_that_looks_for_the_first_time_waits_a_whole_duration() -> None:
    """Two machines' clocks are never compared: an old lease may have been renewed just now."""
    two = Two()

    async def scenario() -> None:
        assert await gets_it(two.a)
        two.clock.seconds += 500
        assert not await gets_it(two.b)
        two.clock.seconds += TIMES.duration
        assert await gets_it(two.b)

    asyncio.run(scenario())


def test_a_renewal_keeps_the_other_out() -> None:
    two = Two()

    async def scenario() -> None:
        for _ in range(4):
            assert await gets_it(two.a)
            assert not await gets_it(two.b)
            two.clock.seconds += 19

    asyncio.run(scenario())
    assert may_write(two.a)
    assert two.lease["leaseTransitions"] == 1


def test_a_released_lease_is_handed_over_at_once() -> None:
    two = Two()

    async def scenario() -> None:
        assert await gets_it(two.a)
        assert not await gets_it(two.b)
        await two.a.release()
        assert not may_write(two.a)
        assert await gets_it(two.b)

    asyncio.run(scenario())
    assert two.lease["holderIdentity"] == "b"


def test_one_that_lost_the_lease_does_not_release_the_others() -> None:
    two = Two()

    async def scenario() -> None:
        assert await gets_it(two.a)
        assert not await gets_it(two.b)
        two.clock.seconds += TIMES.duration
        assert await gets_it(two.b)
        await two.a.release()

    asyncio.run(scenario())
    assert two.lease["holderIdentity"] == "b"
    assert may_write(two.b)


def test_without_a_lease_nothing_may_be_written() -> None:
    two = Two()
    assert not may_write(two.a)
    assert two.a.age_seconds == float("inf")


AGES = {"fresh": (0.0, True), "just before the deadline": (19.9, True), "at the deadline": (20.0, False)}


@pytest.mark.parametrize(("seconds", "allowed"), AGES.values(), ids=AGES.keys())
def test_the_fence_closes_at_the_deadline_well_before_another_may_lead(seconds: float, allowed: bool) -> None:
    two = Two()
    assert asyncio.run(gets_it(two.a))
    two.clock.seconds += seconds
    assert may_write(two.a) is allowed
    assert TIMES.deadline < TIMES.duration


def test_the_deadline_counts_from_before_the_renewal_was_sent() -> None:
    two = Two()
    two.cluster.on_read = lambda: setattr(two.clock, "seconds", two.clock.seconds + 15)
    assert asyncio.run(gets_it(two.a))
    assert two.a.age_seconds == 15
    two.clock.seconds += 5
    assert not may_write(two.a)


def test_a_paused_process_that_wakes_up_does_not_pass_its_fence() -> None:
    two = Two()

    async def scenario() -> None:
        assert await gets_it(two.a)
        assert not await gets_it(two.b)
        two.clock.seconds += TIMES.duration
        assert await gets_it(two.b)
        assert not may_write(two.a)
        await asyncio.wait_for(two.a.hold(), 1)

    asyncio.run(scenario())
    assert (may_write(two.a), may_write(two.b)) == (False, True)
    assert two.lease["holderIdentity"] == "b"


def test_holding_ends_when_another_took_the_lease_within_the_deadline() -> None:
    two = Two()

    async def scenario() -> None:
        assert await gets_it(two.a)
        two.cluster.overwrite(LEASE, lambda d: d["spec"].update(holderIdentity="b"))
        await asyncio.wait_for(two.a.hold(), 1)

    asyncio.run(scenario())
    assert not may_write(two.a)


def test_holding_outlives_an_api_server_that_is_away_but_not_the_deadline() -> None:
    two, tries = Two(), list[float]()

    def away(name: str, act: Callable[[], Document]) -> Document:
        tries.append(two.clock.seconds - 1000)
        two.clock.seconds += 4
        if len(tries) == 3:
            return act()
        raise Unavailable(name)

    async def scenario() -> None:
        assert await gets_it(two.a)
        two.cluster.around = away
        await asyncio.wait_for(two.a.hold(), 1)

    asyncio.run(scenario())
    assert tries == [0, 4, 8, 12, 16, 20, 24]
    assert not may_write(two.a)


def test_a_lost_race_to_renew_is_tried_again() -> None:
    two, conflicts = Two(), list[str]()

    def somebody_writes_first(name: str, act: Callable[[], Document]) -> Document:
        if not conflicts:
            conflicts.append(name)
            two.cluster.overwrite(LEASE, lambda d: d["metadata"].update(labels={"x": "y"}))
        return act()

    async def scenario() -> bool:
        assert await gets_it(two.a)
        two.clock.seconds += 10
        two.cluster.around = somebody_writes_first
        return await gets_it(two.a)

    assert asyncio.run(scenario())
    assert (conflicts, two.a.age_seconds) == (["replace Lease"], 0)


def test_a_standby_looks_at_least_each_second_or_so_and_just_when_the_lease_ends() -> None:
    """A renewal counts from when it is seen: looking as rarely as it is renewed could take 38 s to follow a kill."""
    two = Two()
    standby = LeaseKeeper(two.cluster, namespace=LEASE.namespace, identity="b", clock=two.clock)
    standby._seen_at = two.clock()
    assert max(standby._pause() for _ in range(50)) <= 1.2
    two.clock.seconds += LeaseTimes().duration - 0.1
    assert 0.1 <= standby._pause() <= 0.2
