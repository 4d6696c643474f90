"""What has happened to a VMClone, as the few Events that people look for. Pure: two statuses in, news out.

An Event is for the moment something changes; how things are is said by conditions.
"""

from __future__ import annotations

from dataclasses import dataclass

from vmclone_operator.api.base import Condition
from vmclone_operator.api.vmclone import VMCloneStatus
from vmclone_operator.domain.conditions import find, is_true

_QUIET = frozenset({"Progressing", "Paused", "Deleting"})
"""What is no news: work goes on, or somebody asked for it."""
_TOLD_WHILE_RETRYING = frozenset({"PartialFailure", "AllFailed", "AwaitingApproval", "BackendUnreachable"})


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """One Event."""

    reason: str
    note: str
    warning: bool = False


def news(before: VMCloneStatus, after: VMCloneStatus, *, wanted: int) -> tuple[News, ...]:
    """Return what became of a VMClone between two of its statuses."""
    ready, was = find(after.conditions, "Ready"), find(before.conditions, "Ready")
    found = [*_frozen(before, after)]
    if ready is None:
        return tuple(found)
    if ready.reason == "AllReady" and (was is None or was.reason != "AllReady"):
        found.append(News(reason="AllReady", note=ready.message))
    elif wanted > 1 and after.ready_replicas and not before.ready_replicas and not before.ready_time:
        found.append(News(reason="FirstReady", note=f"the first of {wanted} clones is ready: {after.summary}"))
    if _is_trouble(after, ready) and (was is None or was.reason != ready.reason):
        found.append(News(reason=ready.reason, note=ready.message, warning=ready.reason != "AwaitingApproval"))
    return tuple(found)


def _frozen(before: VMCloneStatus, after: VMCloneStatus) -> list[News]:
    known = {point.id for point in before.frozen_points if point.frozen_time}
    fresh = [point for point in after.frozen_points if point.frozen_time and point.id not in known]
    return [
        News(reason="SourceFrozen", note=f"the source is frozen as of {point.frozen_time} ({point.consistency})")
        for point in fresh
    ]


def _is_trouble(after: VMCloneStatus, ready: Condition) -> bool:
    if ready.status == "True" or ready.reason in _QUIET:
        return False
    return is_true(after.conditions, "Stalled") or ready.reason in _TOLD_WHILE_RETRYING
