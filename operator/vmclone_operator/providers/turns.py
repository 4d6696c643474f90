"""How often a remote backend is asked: so many requests a second, after a burst.

turns = Turns(10, 20, time.monotonic, asyncio.sleep)
await turns.next()  # at once for the first twenty, then ten a second
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable


class Turns:
    """Lets so many requests a second through, after a burst; the others wait their turn."""

    def __init__(
        self, rate: float, burst: float, now: Callable[[], float], sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        self._gap, self._slack = 1 / rate, burst / rate
        self._now, self._sleep = now, sleep
        self._next = float("-inf")

    async def next(self) -> None:
        """Wait until one more request may go."""
        now = self._now()
        due = max(self._next, now - self._slack)
        self._next = due + self._gap
        if due > now:
            await self._sleep(due - now)
