"""A replica's attempts at its steps: counted when they fail, held back until their time, given back when asked for."""

from __future__ import annotations

from dataclasses import dataclass

from vmclone_operator.api.replica import RetryStatus, VMCloneReplicaStatus
from vmclone_operator.api.vmclone import VMCloneSpec
from vmclone_operator.domain.errors import ActionNeeded
from vmclone_operator.domain.home_copy import ENDED, RETRY, RUNS, retry_seconds
from vmclone_operator.domain.retry import (
    RetryPolicy,
    begun,
    failed,
    heeded,
    held_back,
    next_failures,
    policy_of,
    request_of,
    waiting,
)
from vmclone_operator.domain.steps import COPYING, Decision, Do, Step
from vmclone_operator.engine.context import Engine, annotation
from vmclone_operator.engine.objects.replica import Replica
from vmclone_operator.kube.cluster import Document, Kind

_RESET_FAILED = "ResetFailed"
_CLEAN_UP_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempts:
    """How one replica's steps are tried again."""

    engine: Engine
    replica: Replica
    vmclone: Document
    spec: VMCloneSpec

    @property
    def _policy(self) -> RetryPolicy:
        return policy_of(self.spec.retry)

    @property
    def _asked(self) -> str:
        """Return who asked for another attempt: on the replica, on its VMClone for all, or on both."""
        return request_of(*(annotation(document, "retry-at") for document in (self.replica.document, self.vmclone)))

    def heeded(self, status: VMCloneReplicaStatus) -> VMCloneReplicaStatus:
        """Return the status after a request for another attempt; a home copy that waits is due then."""
        ledger = heeded(status.retry, self._asked)
        if ledger == status.retry:
            return status
        operation = status.operation
        if operation is not None and operation.kind in {RETRY, ENDED}:
            operation = operation.model_copy(update={"not_before": self.engine.timestamp()})
        return status.model_copy(update={"retry": ledger, "operation": operation})

    def held_back(self, decision: Decision, status: VMCloneReplicaStatus) -> tuple[Decision, VMCloneReplicaStatus]:
        """Return the decision, or what is said until the next attempt; a reset that failed in the guest is counted."""
        ledger = status.retry
        new = ledger is None or ledger.step != decision.step.value or not ledger.not_before
        if decision.reason == _RESET_FAILED and new:
            ledger = self._failed(status, decision.step, reason=decision.reason, message=decision.message)
        held = held_back(decision, ledger, self._policy, self.engine.now())
        return held, status.model_copy(update={"retry": ledger})

    def carried_out(self, do: Do, status: VMCloneReplicaStatus) -> VMCloneReplicaStatus:
        """Return the status of an attempt that runs on: how it ends is seen later."""
        return status.model_copy(update={"retry": begun(status.retry)}) if do is Do.RESET_IDENTITY else status

    async def given_up(
        self, error: ActionNeeded, decision: Decision, status: VMCloneReplicaStatus
    ) -> tuple[Decision, VMCloneReplicaStatus, float]:
        """Count an attempt that failed; return what is said, the status, and the wait until the next pass."""
        step = Step.HOME_COPY if decision.do in COPYING else decision.step
        ledger = self._failed(status, step, reason=error.reason, message=str(error))
        await self.engine.events.post(
            Kind.REPLICA, self.replica.document, reason=error.reason, action=step.value, note=str(error), warning=True
        )
        wait = self._policy.wait_seconds(ledger.failures)
        told = waiting(decision, ledger, exhausted=self._policy.used_up(ledger.failures), seconds=wait)
        update: dict[str, object] = {"retry": ledger}
        operation = status.operation
        if decision.do is Do.START_COPY and operation is not None and operation.kind == RUNS:
            # Others may have the turn meanwhile: what was made of the attempt goes now, not when it is tried again.
            update["operation"] = operation.model_copy(update={"kind": ENDED, "not_before": ledger.not_before})
            wait = _CLEAN_UP_SECONDS
        return told, status.model_copy(update=update), wait

    def copy_failed(self, status: VMCloneReplicaStatus, reason: str, message: str) -> RetryStatus:
        """Return the ledger with a home copy's failure in it, and the time of the next attempt."""
        wait = retry_seconds(reason, next_failures(status.retry, Step.HOME_COPY), self._policy)
        return self._failed(status, Step.HOME_COPY, reason=reason, message=message, wait_seconds=wait)

    def _failed(
        self, status: VMCloneReplicaStatus, step: Step, *, reason: str, message: str, wait_seconds: float | None = None
    ) -> RetryStatus:
        usual = self._policy.wait_seconds(next_failures(status.retry, step))
        return failed(
            status.retry,
            step,
            reason=reason,
            message=message,
            wait_seconds=usual if wait_seconds is None else wait_seconds,
            asked=self._asked,
            now=self.engine.now(),
        )
