"""An event loop in a thread of its own, for what must not wait behind anything else: the Lease.

with OwnLoop("lease") as beside:
keeper = LeaseKeeper(await beside.run(connect("me")), ...)
await beside.run(keeper.acquire())
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

Answer = TypeVar("Answer")
_END_SECONDS = 10.0
"""How long what still runs there may take to end."""


class OwnLoop:
    """Runs coroutines in its thread; whoever awaits one may cancel it."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)

    def __enter__(self) -> Self:
        """Start the thread."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it, and with it what still runs there."""
        asyncio.run_coroutine_threadsafe(_end_all(self._loop), self._loop).result(_END_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_END_SECONDS)
        self._loop.close()

    async def run(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        """Await a coroutine that runs there."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))


async def _end_all(loop: asyncio.AbstractEventLoop) -> None:
    left = asyncio.all_tasks(loop) - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
