"""Commands for a clone's guest, by whichever channel its backend has: answered at once, or as tasks asked about later.

answer = await guest_tasks.answered(engine, replica, session, command, attempt="3")
if answer is None:
    ...  # a task that runs; the next pass makes the same call, and learns how it stands
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from vmclone_operator.api.replica import GuestTaskStatus
from vmclone_operator.domain.backend import BackendSession, GuestChannel, GuestCommand, GuestResult, GuestRunState
from vmclone_operator.domain.guest_tasks import LOST_SECONDS, task_of
from vmclone_operator.engine.context import Engine
from vmclone_operator.engine.objects.replica import Replica

_NOBODY_SAYS = GuestResult(exit_code=-1, stdout="", stderr="the task ended, and nobody says how")


async def runs_tasks(engine: Engine, replica: Replica) -> bool:
    """Return whether the guests of the replica's backend run tasks; raises what `Sessions.get` does."""
    return (await engine.capabilities(replica.spec.backend, "")).guest is GuestChannel.TASK


async def answered(
    engine: Engine, replica: Replica, session: BackendSession, command: GuestCommand, *, attempt: str
) -> GuestResult | None:
    """Return what a command answered; None while it runs as a task.

    `attempt` is in the ledger: the run's name follows from it and from what the command says, so nothing else has to
    be kept. Raises AgentNotReady while the guest does not answer.
    """
    if not await runs_tasks(engine, replica):
        return await session.guest_exec(replica.ref, command)
    task = task_of(command, attempt)
    run = await session.guest_result(replica.ref, task.run)
    if run.state is GuestRunState.ABSENT:
        await session.guest_start(replica.ref, task)
    return (run.result or _NOBODY_SAYS) if run.state is GuestRunState.ENDED else None


async def answered_as_written(
    engine: Engine, replica: Replica, session: BackendSession, command: GuestCommand, *, line: GuestTaskStatus
) -> GuestResult | None:
    """Return what the command whose run the ledger's line names answered; None while it runs.

    Raises AgentNotReady while the guest does not answer.
    """
    run = await session.guest_result(replica.ref, line.run)
    if run.state is GuestRunState.ABSENT:
        await session.guest_start(replica.ref, replace(task_of(command, line.attempt), replaces=line.replaces))
    lost = run.state is GuestRunState.RUNNING and _is_lost(engine, line)
    return (run.result or _NOBODY_SAYS) if run.state is GuestRunState.ENDED or lost else None


async def is_open(engine: Engine, replica: Replica, session: BackendSession, *, line: GuestTaskStatus | None) -> bool:
    """Return whether the run of the ledger's line may still do something; raises what `answered_as_written` does."""
    if line is None or not line.run or _is_lost(engine, line):
        return False
    return (await session.guest_result(replica.ref, line.run)).state is GuestRunState.RUNNING


def _is_lost(engine: Engine, line: GuestTaskStatus) -> bool:
    """Return whether nothing is heard of a run any more; the one after it ends it first."""
    age = engine.now() - datetime.fromisoformat(line.recorded_time)
    return age.total_seconds() >= LOST_SECONDS


async def told(
    engine: Engine, replica: Replica, session: BackendSession, command: GuestCommand, *, attempt: str
) -> GuestResult | None:
    """Send a command whose answer nobody needs to go on; None where it is a task, which is not waited for."""
    if not await runs_tasks(engine, replica):
        return await session.guest_exec(replica.ref, command)
    await session.guest_start(replica.ref, task_of(command, attempt))
    return None
