"""A clone's disks while they are made: one attempt, its ledger, and when another one begins.

Nobody can ask a hypervisor later whether a copy came to its end. So the ledger of a full copy lives in
`status.intent.finished`, and an attempt goes on under its token for as long as what it finished counts.
"""

from __future__ import annotations

from dataclasses import replace

from vmclone_operator.api.replica import IntentStatus, StepStatus, VMCloneReplicaStatus
from vmclone_operator.api.vmclone import VMCloneSpec
from vmclone_operator.domain import naming
from vmclone_operator.domain.backend import OperationState, Progress, Shape
from vmclone_operator.domain.errors import CapabilityMissing
from vmclone_operator.domain.plan import Situation
from vmclone_operator.domain.steps import Step
from vmclone_operator.domain.wishes import choose_copy
from vmclone_operator.engine.backends.endpoints import host_of
from vmclone_operator.engine.context import Engine
from vmclone_operator.engine.objects.replica import Replica
from vmclone_operator.engine.source.consent import Consent
from vmclone_operator.engine.source.source_vm import described

PROGRESS_PAUSE_SECONDS = 10.0
"""How often a percentage alone is worth a write."""


async def new_attempt(engine: Engine, replica: Replica, wish: VMCloneSpec, situation: Situation) -> IntentStatus:
    """Return the intent of a first attempt, or of one from another frozen point; raises CapabilityMissing."""
    disk = replica.disk(wish)
    choice = choose_copy(disk.copy_, await engine.capabilities(replica.spec.backend, disk.pool or ""))
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


def source_name(engine: Engine, replica: Replica, found: Consent) -> str:
    """Return what the source is called on the host where the clone is made; empty where the source is on another."""
    return found.source.vm.name if found.source is not None and _with_source(engine, replica, found) else ""


def _with_source(engine: Engine, replica: Replica, found: Consent) -> bool:
    home = found.source_backend or replica.spec.backend
    return host_of(engine.cache, home) == host_of(engine.cache, replica.spec.backend)


async def shape_of_clone(engine: Engine, replica: Replica, found: Consent) -> Shape:
    """Return what the clone has beside its disks; on another host than the source's nothing else there says so.

    The source's networks are not named: what they are called there is nothing to another host.
    """
    wished = replica.shape
    if _with_source(engine, replica, found) or (wished.cpus and wished.memory_bytes):
        return wished
    seen = (await described(engine, found)).shape
    return replace(wished, cpus=wished.cpus or seen.cpus, memory_bytes=wished.memory_bytes or seen.memory_bytes)


def followed(engine: Engine, status: VMCloneReplicaStatus, progress: Progress) -> VMCloneReplicaStatus:
    """Return the status of a clone that is not done yet: what is finished, how far it is, or a fresh attempt."""
    intent = status.intent
    if intent is None:
        return status
    if progress.state is OperationState.LOST:
        fresh = {"token": engine.new_token(), "handle": "", "finished": (), "recorded_time": engine.timestamp()}
        return _at_percent(status.model_copy(update={"intent": intent.model_copy(update=fresh)}), 0)
    finished = tuple(sorted({*intent.finished, *progress.finished}))
    update = {"finished": finished, "handle": progress.handle or intent.handle}
    kept = intent.model_copy(update=update)
    news = kept != intent
    status = status.model_copy(update={"intent": kept})
    return _at_percent(status, progress.percent) if news or _is_due(engine, status) else status


def has_news(before: VMCloneReplicaStatus, after: VMCloneReplicaStatus) -> bool:
    """Return whether another disk or handle went into the ledger: what comes next need not wait."""
    old, new = before.intent, after.intent
    if old is None or new is None:
        return False
    return len(new.finished) > len(old.finished) or (new.handle != old.handle and new.token == old.token)


def _is_due(engine: Engine, status: VMCloneReplicaStatus) -> bool:
    """Return whether the percentage was not written for a while; remembered for each clone."""
    mark = f"{status.intent.uuid}/clone" if status.intent is not None else ""
    if engine.status_wait(mark, PROGRESS_PAUSE_SECONDS) > 0:
        return False
    engine.status_written(mark)
    return True


def _at_percent(status: VMCloneReplicaStatus, percent: int) -> VMCloneReplicaStatus:
    def row(step: StepStatus) -> StepStatus:
        return step.model_copy(update={"percent": percent}) if step.name == Step.CLONE.value else step

    return status.model_copy(update={"steps": tuple(row(step) for step in status.steps)})
