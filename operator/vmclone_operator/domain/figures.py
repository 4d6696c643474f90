"""Figures that move by themselves: free space, what a source that is in use holds, bytes of copies. Pure.

Worth showing, and worth no write of their own each time: whoever waits for room would be written about all day.
Bytes are never worth one: they are told together with other news.
"""

from __future__ import annotations

import re

from vmclone_operator.api.base import Condition
from vmclone_operator.api.plan import PlanEstimate, PlanStatus
from vmclone_operator.api.replica import StepStatus
from vmclone_operator.api.vmclone import VMCloneStatus

_NO_BYTES = {"done_bytes": 0, "total_bytes": 0}
_SIZE = re.compile(r"\b\d+(?:\.\d+)?(?= ?(?:[KMGTP]i?B|bytes)\b)")


def differ_only_in_figures(before: VMCloneStatus, after: VMCloneStatus) -> bool:
    """Return whether a status says nothing new but other sizes, in its messages or its plan's estimate."""
    if not after.plan.actions or before.replica_statuses != after.replica_statuses:
        return False  # nothing is waited for, or there is real news: no need to look at every message
    return before != after and _without_figures(before) == _without_figures(after)


def only_bytes_moved(before: VMCloneStatus, after: VMCloneStatus) -> bool:
    """Return whether a status says nothing new but other bytes of home copies."""
    return before != after and _without_bytes(before) == _without_bytes(after)


def same_but_bytes(before: StepStatus, after: StepStatus) -> bool:
    """Return whether a step says nothing new but its bytes."""
    return before.model_copy(update=_NO_BYTES) == after.model_copy(update=_NO_BYTES)


def _without_bytes(status: VMCloneStatus) -> VMCloneStatus:
    return status.model_copy(update={"progress": status.progress.model_copy(update=_NO_BYTES)})


def _without_figures(status: VMCloneStatus) -> VMCloneStatus:
    conditions = tuple(_condition(condition) for condition in status.conditions)
    counts = status.summary.partition(": ")[0]  # what follows is a condition's message once more
    update = {"plan": _plan(status.plan), "conditions": conditions, "summary": counts}
    return _without_bytes(status).model_copy(update=update)


def _plan(plan: PlanStatus) -> PlanStatus:
    blockers = tuple(_SIZE.sub("#", sentence) for sentence in plan.blockers)
    return plan.model_copy(update={"blockers": blockers, "estimate": PlanEstimate()})


def _condition(condition: Condition) -> Condition:
    return condition.model_copy(update={"message": _SIZE.sub("#", condition.message)})
