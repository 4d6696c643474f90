"""What libvirt is asked about the room in its pools: seldom, and one file system counted once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import pytest
from tests.support.simulation import SimClock

from vmclone_operator.providers.libvirt.room import Room, same_room

GIB = 1 << 30


@dataclass
class Pool:
    """A pool as libvirt shows it."""

    label: str = "default"
    capacity: int = 100 * GIB
    free: int = 50 * GIB
    looks: int = 0

    def name(self) -> str:
        return self.label

    def info(self) -> list[int]:
        return [2, self.capacity, self.capacity - self.free, self.free]

    def refresh(self) -> None:
        self.looks += 1


def same(one: Pool, other: Pool) -> bool:
    return same_room(cast("Any", one), cast("Any", other))


def test_a_pool_is_looked_at_once_in_ten_seconds_however_many_ask() -> None:
    clock, pool, other = SimClock(100.0), Pool(), Pool("other")
    room = Room(clock)
    for waited in (0.0, 0.0, 9.9):
        clock.advance(waited)
        room.look_again(cast("Any", pool))
    assert pool.looks == 1
    room.look_again(cast("Any", other))
    clock.advance(0.1)
    room.look_again(cast("Any", pool))
    assert (pool.looks, other.looks) == (2, 1)


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        pytest.param(Pool(capacity=1), True, id="a pool with itself"),
        pytest.param(Pool("b"), True, id="two directories of one file system"),
        pytest.param(Pool("b", free=50 * GIB - (GIB >> 2)), True, id="a guest wrote between the two looks"),
        pytest.param(Pool("b", free=49 * GIB), False, id="two file systems of one size"),
        pytest.param(Pool("b", capacity=101 * GIB), False, id="two file systems"),
        pytest.param(Pool("b", free=0), False, id="one of them full"),
    ],
)
def test_two_pools_that_share_their_room_are_known(other: Pool, expected: bool) -> None:
    assert same(Pool(), other) is expected
    assert same(other, Pool()) is expected


def test_two_full_directories_share_what_is_not_there() -> None:
    assert same(Pool(free=0), Pool("b", free=0))
