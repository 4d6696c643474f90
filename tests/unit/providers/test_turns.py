"""A remote backend is asked as often as it may be, and no more."""

from __future__ import annotations

import asyncio

from vmclone_operator.providers.turns import Turns


def test_a_burst_goes_through_and_then_so_many_a_second() -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(round(seconds, 6))

    async def told() -> None:
        turns = Turns(10, 3, lambda: 100.0, sleep)
        for _ in range(6):
            await turns.next()

    asyncio.run(told())
    assert waits == [0.1, 0.2]
