"""Passes and the queue are counted with controller-runtime's meanings, by a real queue that does real passes."""

from __future__ import annotations

import asyncio

import pytest
from tests.unit.observe.scrape import Clock, samples, watched

from vmclone_operator.engine.work.meter import Outcome
from vmclone_operator.engine.work.queue import NoSlot, PassFailed, WorkQueue
from vmclone_operator.kube.cluster import Key, Kind

CLONE = Key(Kind.VMCLONE, "team-a", "dev")
REPLICA = Key(Kind.REPLICA, "team-a", "dev-1")

ENDINGS: dict[str, tuple[float | Exception | None, str, float, float]] = {
    "a pass that is done is a success": (None, "success", 0, 0),
    "a pass that looks again is no error": (60.0, "requeue_after", 0, 0),
    "a pass that found no place looks again": (NoSlot(5), "requeue_after", 0, 0),
    "a reported failure is an error and no bug": (PassFailed("away"), "error", 1, 0),
    "what nobody expected is an error and a bug": (RuntimeError("bug"), "error", 1, 1),
}


@pytest.mark.parametrize(("answer", "result", "errors", "panics"), ENDINGS.values(), ids=ENDINGS.keys())
def test_each_ending_is_counted_once(
    answer: float | Exception | None, result: str, errors: float, panics: float
) -> None:
    watching = watched(Clock())
    asyncio.run(one_pass(WorkQueue(meter=watching.passes), answer))
    totals = samples(watching.registry, "controller_runtime_reconcile_total")
    assert {key: n for key, n in totals.items() if n} == {("vmclone", result): 1}
    assert samples(watching.registry, "controller_runtime_reconcile_errors_total")["vmclone",] == errors
    assert samples(watching.registry, "controller_runtime_reconcile_panics_total")["vmclone",] == panics
    assert samples(watching.registry, "workqueue_retries_total")["vmclone",] == errors
    assert samples(watching.registry, "workqueue_adds_total")["vmclone",] == 1


async def one_pass(queue: WorkQueue, answer: float | Exception | None) -> None:
    done = asyncio.Event()

    async def reconcile(_: Key) -> float | None:
        done.set()
        if isinstance(answer, Exception):
            raise answer
        return answer

    queue.add(CLONE)
    worker = asyncio.create_task(queue.work(reconcile))
    await asyncio.wait_for(done.wait(), 1)
    while queue.busy:  # noqa: ASYNC110  - a condition, no event, is what the test waits for
        await asyncio.sleep(0)
    worker.cancel()
    await asyncio.gather(worker, return_exceptions=True)


def test_waiting_and_working_are_shown_while_they_last() -> None:
    clock = Clock()
    watching = watched(clock)
    meter, registry = watching.passes, watching.registry
    meter.added(REPLICA)
    assert samples(registry, "workqueue_depth") == {
        ("clonebackend",): 0,
        ("clonesource",): 0,
        ("vmclone",): 0,
        ("vmclonereplica",): 1,
    }
    clock.seconds += 2
    meter.started(REPLICA)
    clock.seconds += 3
    assert samples(registry, "workqueue_depth")["vmclonereplica",] == 0
    assert samples(registry, "controller_runtime_active_workers")["vmclonereplica",] == 1
    assert samples(registry, "workqueue_longest_running_processor_seconds")["vmclonereplica",] == 3
    meter.ended(REPLICA, Outcome.TIMEOUT)
    assert samples(registry, "controller_runtime_active_workers")["vmclonereplica",] == 0
    assert samples(registry, "workqueue_queue_duration_seconds_sum")["vmclonereplica",] == 2
    assert samples(registry, "controller_runtime_reconcile_time_seconds_sum")["vmclonereplica",] == 3
    assert samples(registry, "controller_runtime_reconcile_timeouts_total")["vmclonereplica",] == 1
