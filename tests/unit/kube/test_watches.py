"""The end of kopf's watches: as kopf ends it, or without kopf when that never ends."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import suppress

import pytest

from vmclone_operator.watches import WatchesHang, watch

_A_PROCESS_WITH_WATCHES_THAT_NEVER_END = """
import asyncio, sys
from contextlib import suppress
from vmclone_operator.watches import WatchesHang, leave_if_hung, watch

async def never_ends():
    while True:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)

async def work():
    stop = asyncio.Event()
    stop.set()
    with suppress(WatchesHang):
        await watch(never_ends(), stop, seconds=0.1)
    print("done", file=sys.stderr)
    if sys.argv[1:] == ["fails"]:
        raise LookupError("a part that does not close")
    return 3

with asyncio.Runner() as runner:
    status = 1
    try:
        status = runner.run(work())
    finally:
        leave_if_hung(runner.get_loop(), status)
"""


async def _swallows_being_cancelled(until: asyncio.Event) -> None:
    while not until.is_set():
        with suppress(asyncio.CancelledError):
            await until.wait()


def test_watches_that_do_not_end_once_told_to_stop_are_given_up() -> None:
    async def tried() -> None:
        stop, over = asyncio.Event(), asyncio.Event()
        stop.set()
        with pytest.raises(WatchesHang):
            await watch(_swallows_being_cancelled(over), stop, seconds=0.1)
        over.set()

    asyncio.run(tried())


def test_watches_that_end_after_the_stop_end_as_always() -> None:
    async def tried() -> None:
        stop = asyncio.Event()

        async def ends_when_told() -> None:
            await stop.wait()

        asyncio.get_running_loop().call_soon(stop.set)
        await watch(ends_when_told(), stop, seconds=5)

    asyncio.run(tried())


def test_what_ended_the_watches_is_told() -> None:
    async def fails() -> None:
        raise LookupError("404 page not found")

    with pytest.raises(LookupError, match="404"):
        asyncio.run(watch(fails(), asyncio.Event(), seconds=5))


def test_a_process_whose_watches_never_end_ends_with_its_own_status() -> None:
    code = [sys.executable, "-c", _A_PROCESS_WITH_WATCHES_THAT_NEVER_END]
    ended = subprocess.run(code, timeout=30, check=False, capture_output=True, text=True)
    assert ended.returncode == 3
    assert "done" in ended.stderr


def test_a_process_whose_watches_never_end_tells_of_the_error_that_ended_it() -> None:
    code = [sys.executable, "-c", _A_PROCESS_WITH_WATCHES_THAT_NEVER_END, "fails"]
    ended = subprocess.run(code, timeout=30, check=False, capture_output=True, text=True)
    assert ended.returncode == 1
    assert "a part that does not close" in ended.stderr
