"""When a freeze that failed is tried again: as `spec.retry` says, for it disturbs a source that people work on.

The ledger is `status.retry` of the VMClone. What wakes its pass meanwhile has nothing frozen, but a changed wish does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from vmclone_operator.api.replica import RetryStatus
from vmclone_operator.api.vmclone import VMCloneSpec, VMCloneStatus
from vmclone_operator.domain.errors import ActionNeeded
from vmclone_operator.domain.retry import failed, heeded, next_failures, outlook, pending, policy_of
from vmclone_operator.domain.rollout import ReplicaView, open_point, waits_for_clone
from vmclone_operator.domain.steps import Step
from vmclone_operator.engine.context import Engine, annotation
from vmclone_operator.kube.cluster import Document

_LOOK_AGAIN_SECONDS = 300.0


class FreezeHeld(ActionNeeded):
    """A freeze failed; the next one waits for its time, or for a person."""

    def __init__(self, ledger: RetryStatus, *, seconds: float, exhausted: bool) -> None:
        super().__init__(outlook(ledger, exhausted=exhausted))
        self.reason = ledger.reason  # type: ignore[misc]  # that of the failure, which is told all the while
        self.wait_seconds = _LOOK_AGAIN_SECONDS if exhausted else max(1.0, seconds)
        self.exhausted = exhausted

    def by(self, *seconds: float | None) -> Self:
        """Look again no later than that: there is more to see to than the next freeze."""
        self.wait_seconds = min([self.wait_seconds, *(max(1.0, s) for s in seconds if s is not None)])
        return self


def outlived(document: Document, status: VMCloneStatus, views: Sequence[ReplicaView], *, wanted: int) -> bool:
    """Return whether a ledger is that of another wish, which the failure may have asked for, or of none any more."""
    if document["metadata"].get("generation", 1) != status.observed_generation:
        return True
    to_come = sum(not view.deleting for view in views) < wanted
    return not (to_come or waits_for_clone(views) or open_point(status.frozen_points))


@dataclass(frozen=True, slots=True, kw_only=True)
class FreezeAttempts:
    """The attempts to freeze the source of one VMClone."""

    engine: Engine
    document: Document
    spec: VMCloneSpec

    def held(self, status: VMCloneStatus) -> FreezeHeld | None:
        """Return what is said while the next attempt waits; None when it may begin."""
        return self._held(heeded(status.retry, self._asked))

    def failed(self, status: VMCloneStatus, error: ActionNeeded) -> tuple[RetryStatus, FreezeHeld | None]:
        """Return the ledger with an attempt more that failed, and what is said until the next one."""
        before = heeded(status.retry, self._asked)
        wait = policy_of(self.spec.retry).wait_seconds(next_failures(before, Step.FREEZE))
        ledger = failed(
            before,
            Step.FREEZE,
            reason=error.reason,
            message=str(error),
            wait_seconds=wait,
            asked=self._asked,
            now=self.engine.now(),
        )
        return ledger, self._held(ledger)

    @property
    def _asked(self) -> str:
        return annotation(self.document, "retry-at")[:128]

    def _held(self, ledger: RetryStatus | None) -> FreezeHeld | None:
        waits = pending(ledger, policy_of(self.spec.retry), self.engine.now())
        if ledger is None or waits is None:
            return None
        seconds, exhausted = waits
        return FreezeHeld(ledger, seconds=seconds, exhausted=exhausted)
