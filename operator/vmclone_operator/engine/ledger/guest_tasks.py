"""Commands for a clone's guest, by whichever channel its backend has: answered at once, or as tasks asked about later.

answer = await guest_tasks.answered(engine, replica, session, command, attempt="3")
if answer is None:
    ...  # a task that runs; the next pass makes the same call, and learns how it stands
"""

from __future__ import annotations

from vmclone_operator.domain.backend import BackendSession, GuestChannel, GuestCommand, GuestResult, GuestRunState
from vmclone_operator.domain.guest_tasks import task_of
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


async def told(
    engine: Engine, replica: Replica, session: BackendSession, command: GuestCommand, *, attempt: str
) -> GuestResult | None:
    """Send a command whose answer nobody needs to go on; None where it is a task, which is not waited for."""
    if not await runs_tasks(engine, replica):
        return await session.guest_exec(replica.ref, command)
    await session.guest_start(replica.ref, task_of(command, attempt))
    return None
