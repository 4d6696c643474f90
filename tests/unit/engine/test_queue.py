"""The work queue's promises: many wake-ups one pass, one key one pass at a time, and no pass harms another."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from vmclone_operator.domain.steps import SAFETY_NET_SECONDS
from vmclone_operator.engine.work.queue import Pass, PassFailed, Priority, WorkQueue, unasked
from vmclone_operator.kube.cluster import Key, Kind

A, B, C = (Key(Kind.REPLICA, "team-a", name) for name in ("a", "b", "c"))
LOW, HIGH = Priority.LOW, Priority.HIGH
_PATIENCE_SECONDS = 60
"""Only what hangs takes that long; a machine that others use as well may stand still for a second."""


def play(scenario: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(scenario(), _PATIENCE_SECONDS)

    asyncio.run(bounded())


@asynccontextmanager
async def workers(queue: WorkQueue, reconcile: Pass, count: int = 1) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(queue.work(reconcile)) for _ in range(count)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def settle(queue: WorkQueue) -> None:
    """Let the workers go on until none has anything to do now."""
    while True:
        for _ in range(20):
            await asyncio.sleep(0)
        if not queue.depth and not queue.busy:
            return


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  - a condition, no event, is what the tests wait for
        await asyncio.sleep(0.001)


class Diary:
    """A pass that notes its keys and does as told: return seconds, or raise."""

    def __init__(self, *answers: float | Exception | None) -> None:
        self.keys: list[Key] = []
        self._answers = [*answers]

    async def __call__(self, key: Key) -> float | None:
        self.keys.append(key)
        answer = self._answers.pop(0) if self._answers else None
        if isinstance(answer, Exception):
            raise answer
        return answer


class UntimedQueue(WorkQueue):
    """Notes how long a key should wait, and has it worked on at once."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def add_after(self, key: Key, seconds: float, priority: Priority = HIGH) -> None:
        self.waits.append(seconds)
        self.add(key, priority)


def waits_after(*answers: float | Exception | None) -> list[float]:
    queue = UntimedQueue()

    async def scenario() -> None:
        queue.add(A)
        async with workers(queue, Diary(*answers)):
            await settle(queue)

    play(scenario)
    return queue.waits


def worked_on(*added: tuple[Key, Priority]) -> list[Key]:
    diary, queue = Diary(), WorkQueue()

    async def scenario() -> None:
        for key, priority in added:
            queue.add(key, priority)
        assert (queue.depth, queue.busy) == (len({key for key, _ in added}), 0)
        async with workers(queue, diary):
            await settle(queue)

    play(scenario)
    return diary.keys


ORDERS = {
    "many wake-ups are one pass": ([(A, HIGH), (A, HIGH), (A, LOW)], [A]),
    "first come, first served": ([(B, HIGH), (A, HIGH), (C, HIGH)], [B, A, C]),
    "live events go before the initial list": ([(A, LOW), (B, LOW), (C, HIGH)], [C, A, B]),
    "a live event raises a key that waits": ([(A, LOW), (B, LOW), (B, HIGH)], [B, A]),
    "a resync never lowers one": ([(A, HIGH), (B, HIGH), (A, LOW)], [A, B]),
}


@pytest.mark.parametrize(("added", "order"), ORDERS.values(), ids=ORDERS.keys())
def test_keys_are_worked_on_once_in_the_right_order(added: list[tuple[Key, Priority]], order: list[Key]) -> None:
    assert worked_on(*added) == order


def test_wake_ups_during_a_pass_give_exactly_one_more() -> None:
    queue, keys = WorkQueue(), list[Key]()

    async def woken_meanwhile(key: Key) -> None:
        keys.append(key)
        if len(keys) == 1:
            for priority in (LOW, HIGH, LOW):
                queue.add(key, priority)

    async def scenario() -> None:
        queue.add(A)
        async with workers(queue, woken_meanwhile, count=3):
            await settle(queue)

    play(scenario)
    assert keys == [A, A]


def test_one_key_is_never_worked_on_twice_at_once_and_others_are() -> None:
    queue, now, most = WorkQueue(), list[Key](), list[int]()

    async def watched(key: Key) -> None:
        now.append(key)
        most.append(len(now))
        assert now.count(key) == 1
        if len(most) <= 2:
            queue.add(key, LOW)
            queue.add(key, HIGH)
        await asyncio.sleep(0.002)
        now.remove(key)

    async def scenario() -> None:
        queue.add(A)
        queue.add(B)
        async with workers(queue, watched, count=4):
            await until(lambda: len(most) == 4 and not queue.busy)

    play(scenario)
    assert (len(most), max(most)) == (4, 2)


def test_a_pass_that_wants_to_looks_again_and_another_does_not() -> None:
    assert waits_after(5, 2.5, None) == [5, 2.5]


def bugs(count: int) -> list[Exception]:
    return [RuntimeError("bug")] * count


def test_what_fails_waits_longer_each_time_up_to_the_cap() -> None:
    expected = [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]
    for wait, about in zip(waits_after(*bugs(12)), expected, strict=True):
        assert 0.9 * about <= wait <= 1.1 * about


def test_waits_are_jittered_so_that_what_failed_together_does_not_return_together() -> None:
    queue = WorkQueue()
    assert len({queue._backoff(Key(Kind.REPLICA, "n", str(n))) for n in range(20)}) > 10


def test_a_success_forgets_the_failures_before_it() -> None:
    waits = waits_after(*bugs(4), 5, *bugs(1))
    assert waits[4] == 5
    assert 0.9 <= waits[5] <= 1.1


def test_a_reported_failure_backs_off_no_longer_than_its_limit() -> None:
    waits = waits_after(*[PassFailed("away", limit=3) for _ in range(6)])
    assert waits[-3:] == [3, 3, 3]
    assert waits[0] < 1.2


def test_a_reported_failure_waits_at_least_as_long_as_it_says() -> None:
    assert waits_after(PassFailed("busy", after=30, limit=30)) == [30]
    assert waits_after(PassFailed("busy", after=30, limit=3)) == [30]


def test_a_failing_pass_never_stops_others_and_is_loud(caplog: pytest.LogCaptureFixture) -> None:
    queue, diary = WorkQueue(), Diary(RuntimeError("bug"), PassFailed("reported"), None)

    async def scenario() -> None:
        for key in (A, B, C):
            queue.add(key)
        async with workers(queue, diary):
            await settle(queue)

    with caplog.at_level(logging.ERROR):
        play(scenario)
    assert diary.keys == [A, B, C]
    assert [(r.message, r.__dict__["object"]) for r in caplog.records] == [("pass failed", "VMCloneReplica/team-a/a")]
    assert caplog.records[0].exc_info


def test_a_pass_that_hangs_is_stopped_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    queue, keys = WorkQueue(base_seconds=0.002, pass_timeout_seconds=0.01), list[Key]()

    async def hangs_once(key: Key) -> None:
        keys.append(key)
        if len(keys) == 1:
            await asyncio.Event().wait()

    async def scenario() -> None:
        queue.add(A)
        queue.add(B)
        async with workers(queue, hangs_once):
            await until(lambda: len(keys) == 3)

    with caplog.at_level(logging.ERROR):
        play(scenario)
    assert keys == [A, B, A]
    assert "pass failed" in caplog.text


def test_what_a_pass_awaited_may_be_cancelled_without_ending_the_worker() -> None:
    queue, keys = WorkQueue(), list[Key]()

    async def awaits_what_is_cancelled(key: Key) -> None:
        keys.append(key)
        if key == A:
            answer = asyncio.get_running_loop().create_future()
            answer.cancel()
            await answer

    async def scenario() -> None:
        queue.add(A)
        queue.add(B)
        async with workers(queue, awaits_what_is_cancelled):
            await settle(queue)

    play(scenario)
    assert keys == [A, B]


def test_a_worker_that_is_told_to_stop_at_the_moment_its_pass_ends_stops() -> None:
    queue, ended = WorkQueue(), list[Key]()

    async def ends(key: Key) -> None:
        await asyncio.sleep(0.001)
        ended.append(key)

    async def scenario() -> None:
        queue.add(A)
        worker = asyncio.create_task(queue.work(ends))
        while not ended:  # noqa: ASYNC110  - the very tick at which the pass ends matters
            await asyncio.sleep(0)
        worker.cancel()
        done, _ = await asyncio.wait([worker], timeout=2)
        worker.cancel()
        if not done:
            raise TimeoutError

    play(scenario)


DELAYS = {
    "an earlier wake-up replaces a later one": (60, 0.005),
    "a later one changes nothing": (0.005, 60),
    "an immediate one replaces it": (60, None),
    "an immediate one leaves no second pass behind": (0.005, None),
    "one that waits already needs no timer": (None, 0.005),
}


@pytest.mark.parametrize(("first", "second"), DELAYS.values(), ids=DELAYS.keys())
def test_two_wake_ups_are_one_pass_at_the_earlier_time(first: float | None, second: float | None) -> None:
    queue, diary = WorkQueue(), Diary()

    async def scenario() -> None:
        for seconds in (first, second):
            if seconds is None:
                queue.add(A)
            else:
                queue.add_after(A, seconds)
        async with workers(queue, diary):
            await until(lambda: bool(diary.keys))
            await asyncio.sleep(0.01)

    play(scenario)
    assert diary.keys == [A]


@pytest.mark.parametrize(
    ("seconds", "in_line", "least"),
    [
        pytest.param(2.0, 5_000, 2.0, id="a short wait is kept, however many wait"),
        pytest.param(60.0, 5_000, 60.0, id="a minute that is no place in a line stays a minute"),
        pytest.param(300.0, 1, 300.0, id="a long wait is spread alone"),
        pytest.param(SAFETY_NET_SECONDS, 10, 60.0, id="few in line look every minute"),
        pytest.param(SAFETY_NET_SECONDS, 3_000, 300.0, id="many in line look ten times a second in all"),
        pytest.param(SAFETY_NET_SECONDS, 100_000, 480.0, id="nobody in line waits ten minutes for a look"),
    ],
)
def test_how_long_a_key_waits_before_it_looks_unasked(seconds: float, in_line: int, least: float) -> None:
    waits = [unasked(seconds, in_line) for _ in range(200)]
    assert least <= min(waits)
    assert max(waits) <= (least * 1.25 if least >= 60 else least)
    assert max(waits) <= 600


def test_who_stands_in_line_leaves_it_when_woken_and_when_forgotten() -> None:
    async def scenario() -> None:
        queue, diary = WorkQueue(), Diary(SAFETY_NET_SECONDS, SAFETY_NET_SECONDS, None)
        async with workers(queue, diary):
            queue.add(A)
            queue.add(B)
            await settle(queue)
            assert queue.in_line == 2
            queue.add(A)
            queue.forget(B)
            await settle(queue)
            assert queue.in_line == 0

    play(scenario)
