"""Answers of Azure that hold for a while: quotas, sizes and rights are asked for by each plan, and change seldom."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


class Remembered(Generic[Answer]):
    """Answers by what was asked, each good for so many seconds."""

    def __init__(self, seconds: float, now: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._now = seconds, now
        self._known: dict[str, tuple[float, Answer]] = {}

    async def get(self, asked: str, ask: Callable[[str], Awaitable[Answer]]) -> Answer:
        """Return the answer, which is asked for unless it is known; what `ask` raises is not remembered."""
        known = self._known.get(asked)
        if known is None or self._now() - known[0] >= self._seconds:
            known = self._now(), await ask(asked)
            self._known[asked] = known
        return known[1]
