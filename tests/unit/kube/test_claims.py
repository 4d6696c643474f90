"""Of two installations that watch a namespace both, one works and the other says so and writes nothing."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.support.memory_cluster import MemoryCluster

from vmclone_operator.claiming import Claiming
from vmclone_operator.kube.claims import ACTIVE, WAITING, Claims, Installation, overlap, refusal
from vmclone_operator.kube.cluster import Document, Key, Kind, Refused
from vmclone_operator.kube.lease import LeaseKeeper, LeaseTimes
from vmclone_operator.observe.health import Health, LoopLag


class Wavering(MemoryCluster):
    """An API server whose answers come in any order."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(now=lambda: "2026-01-01T00:00:00Z")
        self.random = random.Random(seed)  # noqa: S311  - the same order of answers again

    async def list_named(self, kind: Kind, name: str) -> Sequence[Document]:
        await self._waver()
        found = await super().list_named(kind, name)
        await self._waver()
        return found

    async def replace(self, kind: Kind, document: Document) -> Document:
        await self._waver()
        done = await super().replace(kind, document)
        await self._waver()
        return done

    async def _waver(self) -> None:
        for _ in range(self.random.randrange(4)):
            await asyncio.sleep(0)


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


class Installed:
    """One installation, its pod about to begin."""

    def __init__(self, cluster: MemoryCluster, namespace: str, *watches: str, clock: Clock, pod: str = "pod") -> None:
        self.keeper = LeaseKeeper(
            cluster, namespace=namespace, identity=pod, clock=clock, watches=watches, times=LeaseTimes(retry=1)
        )
        self.claims = Claims(cluster=cluster, namespace=namespace, watches=frozenset(watches), clock=clock)
        self.health = Health(LoopLag(clock))
        self.claiming = Claiming(
            claims=self.claims,
            keeper=self.keeper,
            write=self.keeper.write_claim,
            health=self.health,
            pause_seconds=0.001,
        )
        self.works = False

    async def begin(self, stop: asyncio.Event) -> None:
        assert await self.keeper._try()
        self.works = await self.claiming.begin(stop)

    def begins(self) -> bool:
        """Try once; return whether it works from now on."""

        async def once() -> bool:
            assert await self.keeper._try()
            self.health.claim = await self.claiming._try()
            return not self.health.claim

        return asyncio.run(once())


OVERLAPS: dict[str, tuple[tuple[str, ...], tuple[str, ...], bool]] = {
    "both everywhere": ((), (), True),
    "one everywhere": ((), ("a",), True),
    "one namespace in common": (("a", "b"), ("b", "c"), True),
    "none in common": (("a",), ("b",), False),
}


@pytest.mark.parametrize(("one", "other", "same"), OVERLAPS.values(), ids=OVERLAPS.keys())
def test_two_installations_overlap_where_they_watch_a_namespace_both(
    one: tuple[str, ...], other: tuple[str, ...], same: bool
) -> None:
    assert overlap(one, other) is overlap(other, one) is same


def test_a_second_installation_waits_is_not_ready_and_says_what_to_do() -> None:
    cluster, clock = MemoryCluster(now=lambda: "2026-01-01T00:00:00Z"), Clock()
    first, second = Installed(cluster, "one", clock=clock), Installed(cluster, "two", "team-a", clock=clock)
    assert first.begins()
    assert not second.begins()
    assert "the vmclone operator of namespace one (pod), in all namespaces, has claimed" in second.health.claim
    assert "watchNamespaces" in second.health.claim
    second.health.keeper = second.keeper
    assert second.health.not_ready() == second.health.claim
    assert (first.keeper.claim, second.keeper.claim) == (ACTIVE, WAITING)


def test_installations_with_namespaces_of_their_own_work_side_by_side_and_one_tells_what_they_share() -> None:
    cluster, clock = MemoryCluster(now=lambda: "2026-01-01T00:00:00Z"), Clock()
    first, second = Installed(cluster, "one", "a", clock=clock), Installed(cluster, "two", "b", clock=clock)
    assert first.begins()
    assert second.begins()
    asyncio.run(first.claims.look())
    tells = [one.claims.keeps_shared(one.keeper.order) for one in (first, second)]
    assert sorted(tells) == [False, True]


def test_a_claim_ends_a_minute_after_its_operator() -> None:
    cluster, clock = MemoryCluster(now=lambda: "2026-01-01T00:00:00Z"), Clock()
    first, second = Installed(cluster, "one", clock=clock), Installed(cluster, "two", clock=clock)
    assert first.begins()
    assert not second.begins()
    clock.seconds += 59
    assert not second.begins()
    clock.seconds += 1
    assert second.begins()


def test_nobody_waits_for_an_installation_that_gave_its_lease_back_more_than_a_minute_ago() -> None:
    cluster, clock = MemoryCluster(now=lambda: "2026-01-01T00:00:00Z"), Clock()
    first, second = Installed(cluster, "one", clock=clock), Installed(cluster, "two", clock=clock)
    assert first.begins()
    asyncio.run(first.keeper.release())
    given_back = datetime.now(UTC)
    second.claims.server_now = lambda: given_back + timedelta(seconds=50)
    assert not second.begins()
    second.claims.server_now = lambda: given_back + timedelta(seconds=70)
    assert second.begins()


def test_a_lease_that_somebody_holds_is_not_judged_by_its_own_time() -> None:
    cluster, clock = MemoryCluster(now=lambda: "2026-01-01T00:00:00Z"), Clock()
    first, second = Installed(cluster, "one", clock=clock), Installed(cluster, "two", clock=clock)
    assert first.begins()
    second.claims.server_now = lambda: datetime.now(UTC) + timedelta(days=1)
    assert not second.begins()


def test_the_next_pod_of_an_installation_takes_over_its_claim_however_old_the_one_that_waits() -> None:
    cluster, clock = MemoryCluster(now=lambda: "2026-01-01T00:00:00Z"), Clock()
    first, second = Installed(cluster, "one", clock=clock), Installed(cluster, "two", clock=clock)
    assert first.begins()
    key = Key(Kind.LEASE, "two", "vmclone-operator")
    assert not second.begins()
    cluster.overwrite(key, lambda d: d["metadata"].update(creationTimestamp="2020-01-01T00:00:00Z"))
    asyncio.run(first.keeper.release())
    assert not second.begins()
    assert Installed(cluster, "one", clock=clock, pod="next").begins()
    assert not second.begins()


def test_of_two_that_work_in_one_place_the_one_that_came_later_steps_back() -> None:
    """As when one of them was cut off for a while; an operator that knew no claims counts as one that works."""
    rival = Installation(namespace="one", holder="p", watches=frozenset(), active=True, order=("2026-01-01", "a"))
    claims = Claims(cluster=MemoryCluster(now=str), namespace="two", watches=frozenset({"a"}), others=(rival,))
    assert claims.active_rival(("2026-01-02", "b")) is rival
    assert claims.active_rival(("2025-01-01", "b")) is None
    assert "in all namespaces" in refusal(rival)


def test_without_the_right_to_look_nothing_begins_and_the_right_is_named() -> None:
    class Forbidding(MemoryCluster):
        async def list_named(self, kind: Kind, name: str) -> Any:
            raise Refused(f'leases is forbidden: User "x" cannot list {kind.plural} {name}')

    installed = Installed(Forbidding(now=lambda: "2026-01-01T00:00:00Z"), "one", clock=Clock())
    assert not installed.begins()
    assert "list leases named vmclone-operator in all namespaces" in installed.health.claim


@pytest.mark.parametrize("seed", range(40))
def test_however_their_requests_interleave_at_most_one_of_three_works(seed: int) -> None:
    cluster, clock = Wavering(seed), Clock()
    three = [Installed(cluster, name, clock=clock) for name in ("one", "two", "three")]

    async def scenario() -> None:
        stop = asyncio.Event()
        begun = [asyncio.create_task(one.begin(stop)) for one in three]
        async with asyncio.timeout(5):
            while not any(one.works for one in three):  # noqa: ASYNC110  - no event says so
                await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)
        stop.set()
        await asyncio.gather(*begun)

    asyncio.run(scenario())
    assert sum(one.works for one in three) == 1
