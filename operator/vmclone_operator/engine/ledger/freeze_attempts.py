"""When a freeze that failed is tried again: as `spec.retry` says, for it disturbs a source that people work on.

The ledger is `status.retry` of the VMClone. What wakes its pass meanwhile has nothing frozen, but a changed wish does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from vmclone_operator.api.replica import RetryStatus
from vmclone_operator.api.vmclone import VMCloneSpec, VMCloneStatus
from vmclone_operator.domain.errors import ActionNeeded
from vmclone_operator.domain.retry import failed, heeded, next_failures, outlook, pending, policy_of, request_of
from vmclone_operator.domain.rollout import ReplicaView, open_point, waits_for_clone
from vmclone_operator.domain.steps import Blocker, Step
from vmclone_operator.engine.context import Engine, annotation
from vmclone_operator.kube.cluster import Document

_LOOK_AGAIN_SECONDS = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FreezeHold:
    """A freeze failed; the next one waits for its time, or for a person. `reason` is that of the failure."""

    reason: str
    message: str
    wait_seconds: float
    """When to look again."""
    exhausted: bool
    """Whether `spec.retry.maxAttempts` allows no other attempt until a person asks for one."""

    @property
    def blocker(self) -> Blocker:
        """What is said all the while."""
        return Blocker(reason=self.reason, message=self.message)

    def no_later_than(self, *seconds: float | None) -> FreezeHold:
        """Return the same with an earlier look: there is more to see to than the next freeze."""
        looks = [max(1.0, s) for s in seconds if s is not None]
        return replace(self, wait_seconds=min([self.wait_seconds, *looks]))


class FreezeHeld(Exception):  # noqa: N818  - named for what ends the pass
    """Ends the pass of a VMClone whose next freeze waits, once that is written."""

    def __init__(self, hold: FreezeHold) -> None:
        super().__init__(hold.message)
        self.wait_seconds = hold.wait_seconds


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

    def hold(self, status: VMCloneStatus) -> FreezeHold | None:
        """Return what is said while the next attempt waits; None when it may begin."""
        return self._hold(heeded(status.retry, self._asked))

    def failed(self, status: VMCloneStatus, error: ActionNeeded) -> tuple[RetryStatus, FreezeHold | None]:
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
        return ledger, self._hold(ledger)

    @property
    def _asked(self) -> str:
        return request_of(annotation(self.document, "retry-at"))

    def _hold(self, ledger: RetryStatus | None) -> FreezeHold | None:
        waits = pending(ledger, policy_of(self.spec.retry), self.engine.now())
        if ledger is None or waits is None:
            return None
        seconds, exhausted = waits
        return FreezeHold(
            reason=ledger.reason,
            message=outlook(ledger, exhausted=exhausted),
            wait_seconds=_LOOK_AGAIN_SECONDS if exhausted else max(1.0, seconds),
            exhausted=exhausted,
        )
