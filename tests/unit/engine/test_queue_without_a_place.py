"""What the work queue does with a key that found no place: it has neither failed nor succeeded, and is as urgent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from tests.unit.engine.test_queue import HIGH, LOW, A, B, Diary, bugs, play, settle, until, waits_after, workers

from vmclone_operator.engine.work.queue import NoSlot, Pass, Priority, WorkQueue
from vmclone_operator.kube.cluster import Key


def test_who_finds_no_place_has_neither_failed_nor_succeeded() -> None:
    waits = waits_after(*bugs(4), NoSlot(5), NoSlot(5), *bugs(1))
    assert waits[4:6] == [5, 5]
    assert 0.9 * 16 <= waits[6] <= 1.1 * 16


WAIT_SECONDS = 20


def by_itself(_: WorkQueue) -> None:
    """Wake nobody, and let the time that it waits be over: the loop's clock jumps, for a busy machine has its own."""
    loop = asyncio.get_running_loop()
    real = loop.time
    loop.time = lambda: real() + WAIT_SECONDS  # type: ignore[method-assign]


def when_woken(queue: WorkQueue) -> None:
    queue.add(A, LOW)


@pytest.mark.parametrize("looks_again", [by_itself, when_woken])
@pytest.mark.parametrize(("priority", "order"), [(HIGH, [A, A, B]), (LOW, [A, B, A])], ids=["high", "low"])
def test_who_finds_no_place_is_as_urgent_as_before(
    looks_again: Callable[[WorkQueue], None], priority: Priority, order: list[Key]
) -> None:
    queue, diary = WorkQueue(), Diary(NoSlot(WAIT_SECONDS))

    async def scenario() -> None:
        queue.add(A, priority)
        async with workers(queue, diary):
            await settle(queue)
        looks_again(queue)
        await until(lambda: queue.depth == 1)
        queue.add(B, HIGH)
        async with workers(queue, diary):
            await settle(queue)

    play(scenario)
    assert diary.keys == order


async def is_gone(queue: WorkQueue, _: Pass) -> None:
    queue.forget(A)


async def found_one_since(queue: WorkQueue, diary: Pass) -> None:
    queue.add(A)
    async with workers(queue, diary):
        await settle(queue)


@pytest.mark.parametrize("ends", [is_gone, found_one_since])
def test_how_urgent_who_found_no_place_was_counts_no_more_once_it(
    ends: Callable[[WorkQueue, Pass], Awaitable[None]],
) -> None:
    queue, diary = WorkQueue(), Diary(NoSlot(60))

    async def scenario() -> None:
        queue.add(A)
        async with workers(queue, diary):
            await settle(queue)
        await ends(queue, diary)
        queue.add(A, LOW)
        queue.add(B, HIGH)
        async with workers(queue, diary):
            await settle(queue)

    play(scenario)
    assert diary.keys[-2:] == [B, A]
