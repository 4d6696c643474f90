"""kopf's watches, and their end: none of kopf's own tasks may keep a process alive that has nothing left to do.

When a watch fails for good, as by the 404 of a kind that was deleted, kopf cancels all of its tasks at once, those too
that others of them wait for. Those others can then wait for ever, and swallow being cancelled (kopf 1.45:
`queueing.watcher`, `aiotasks.Scheduler.close`). So the operator hears from kopf's cleanup that the end began, gives
kopf some seconds to finish, and ends without it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Coroutine

END_SECONDS = 15.0
"""How long kopf may take once it is told to stop or ends by itself; by its own limits it needs seven."""

log = logging.getLogger(__name__)

_NAME = "watches"


class WatchesHang(Exception):  # noqa: N818  - named for what is wrong
    """kopf did not end."""


async def watch(kopf_operator: Coroutine[None, None, None], stop: asyncio.Event, seconds: float = END_SECONDS) -> None:
    """Run kopf until it ends; once `stop` is set it has so many seconds.

    Raise what kopf ended with, or WatchesHang when it does not end: its task is left behind then.
    """
    stopping = asyncio.create_task(stop.wait())  # before kopf begins, which ends every task that is younger
    task = asyncio.create_task(kopf_operator, name=_NAME)
    try:
        await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait({task}, timeout=seconds)
    finally:
        stopping.cancel()
    if not task.done():
        raise WatchesHang
    await task


def leave_if_hung(loop: asyncio.AbstractEventLoop, status: int) -> None:
    """End the process at once when kopf was left behind: closing the loop would wait for it for ever."""
    if any(task.get_name() == _NAME for task in asyncio.all_tasks(loop)):
        if (error := sys.exc_info()[1]) is not None:  # nobody else will tell of it
            log.error("the operator ended", exc_info=error)
        logging.shutdown()
        os._exit(status)
