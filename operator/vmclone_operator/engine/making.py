"""A clone's disks while they are made: one attempt, its ledger, and when another one begins.

Nobody can ask a hypervisor later whether a copy came to its end. So the ledger of a full copy lives in
`status.intent.finished`, and an attempt goes on under its token for as long as what it finished counts.
"""

from __future__ import annotations

from vmclone_operator.api.replica import IntentStatus, StepStatus, VMCloneReplicaStatus
from vmclone_operator.api.vmclone import VMCloneSpec
from vmclone_operator.domain import naming
from vmclone_operator.domain.backend import OperationState, Progress
from vmclone_operator.domain.errors import CapabilityMissing
from vmclone_operator.domain.plan import Situation
from vmclone_operator.domain.steps import Step
from vmclone_operator.domain.wishes import choose_copy
from vmclone_operator.engine.context import Engine
from vmclone_operator.engine.replica import Replica

PROGRESS_PAUSE_SECONDS = 10.0
"""How often a percentage alone is worth a write."""


async def new_attempt(engine: Engine, replica: Replica, wish: VMCloneSpec, situation: Situation) -> IntentStatus:
    """Return the intent of a first attempt, or of one from another frozen point; raises CapabilityMissing."""
    able = await engine.capabilities(replica.spec.backend)
    choice = choose_copy(replica.disk(wish).copy_, able)
    if choice.refused:
        raise CapabilityMissing(choice.refused)
    return IntentStatus(
        op="Clone",
        token=engine.new_token(),
        vm_name=replica.vm_name,
        uuid=naming.clone_uuid(replica.stamp.incarnation),
        frozen_point=situation.frozen.id if situation.frozen is not None else "",
        copy_=choice.actual.value,
        recorded_time=engine.timestamp(),
    )


def followed(engine: Engine, status: VMCloneReplicaStatus, progress: Progress) -> VMCloneReplicaStatus:
    """Return the status of a clone that is not done yet: what is finished, how far it is, or a fresh attempt."""
    intent = status.intent
    if intent is None:
        return status
    if progress.state is OperationState.LOST:
        fresh = {"token": engine.new_token(), "finished": (), "recorded_time": engine.timestamp()}
        return _at_percent(status.model_copy(update={"intent": intent.model_copy(update=fresh)}), 0)
    finished = tuple(sorted({*intent.finished, *progress.finished}))
    news = finished != intent.finished
    status = status.model_copy(update={"intent": intent.model_copy(update={"finished": finished})})
    return _at_percent(status, progress.percent) if news or _is_due(engine, status) else status


def has_news(before: VMCloneReplicaStatus, after: VMCloneReplicaStatus) -> bool:
    """Return whether another disk went into the ledger: the next one, or the VM, need not wait."""
    return (
        before.intent is not None
        and after.intent is not None
        and len(after.intent.finished) > len(before.intent.finished)
    )


def _is_due(engine: Engine, status: VMCloneReplicaStatus) -> bool:
    """Return whether the percentage was not written for a while; remembered for each attempt."""
    mark = f"{status.intent.uuid}/{status.intent.token}" if status.intent is not None else ""
    if engine.status_wait(mark, PROGRESS_PAUSE_SECONDS) > 0:
        return False
    engine.status_written(mark)
    return True


def _at_percent(status: VMCloneReplicaStatus, percent: int) -> VMCloneReplicaStatus:
    def row(step: StepStatus) -> StepStatus:
        return step.model_copy(update={"percent": percent}) if step.name == Step.CLONE.value else step

    return status.model_copy(update={"steps": tuple(row(step) for step in status.steps)})
