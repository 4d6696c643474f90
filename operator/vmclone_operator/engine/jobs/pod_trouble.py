"""Why the pod of a home copy does not start: read from Job, pod and their Events. Pure: documents in, words out.

The Job controller and the kubelet try for ever and say so only in Events, which nobody of the user's can see: they
are in the operator's namespace.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vmclone_operator.domain.api_refusals import SENTENCE_LIMIT, sorted_refusal
from vmclone_operator.domain.conditions import printable
from vmclone_operator.domain.errors import QuotaExceeded
from vmclone_operator.kube.cluster import Document

_PULLS = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"})
_STARTING = frozenset({"", "ContainerCreating", "PodInitializing"})
_NO_TROUBLE = frozenset({"", "Scheduled", "Pulling", "Pulled", "Created", "Started", "SuccessfulCreate"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PodTrouble:
    """What keeps a copy's pod from starting, as a reason of HomeCopied and a sentence with what to do."""

    reason: str
    message: str
    needs_a_person: bool = False
    """Retrying alone cannot help: as with a quota that the pod does not fit."""


def trouble_of(job: Document, pod: Document | None, events: Sequence[Document]) -> PodTrouble | None:
    """Return what keeps the pod from starting; None while nothing says that anything does."""
    if _is(job.get("status"), "Suspended"):
        message = "the copy's Job is suspended, as by a queue of batch jobs; it goes on when that lets it"
        return PodTrouble(reason="CopyPodNotStarted", message=message)
    if pod is None:
        return _refused(events)
    return _unschedulable(pod) or _waiting(pod) or _told_by_events(events)


def _refused(events: Sequence[Document]) -> PodTrouble | None:
    told = _newest(events, lambda reason: reason == "FailedCreate")
    if not told:
        return None
    refusal = sorted_refusal(told)
    remedy = "; homeCopy.resources of the chart decides what the pod asks for" if _is_quota(refusal) else ""
    message = f"the pod of the home copy is refused in the operator's namespace: {refusal}{remedy}"
    return PodTrouble(reason="CopyPodRefused", message=message, needs_a_person=True)


def _is_quota(refusal: Exception) -> bool:
    return isinstance(refusal, QuotaExceeded)


def _unschedulable(pod: Document) -> PodTrouble | None:
    conditions = (pod.get("status") or {}).get("conditions") or []
    told = next((c for c in conditions if c["type"] == "PodScheduled" and c["status"] == "False"), None)
    if told is None:
        return None
    message = (
        f"no node takes the pod of the home copy: {_short(told.get('message') or told.get('reason', ''))}; make room,"
        " or change homeCopy.resources, nodeSelector or tolerations of the chart"
    )
    return PodTrouble(reason="CopyPodUnschedulable", message=message)


def _waiting(pod: Document) -> PodTrouble | None:
    statuses = (pod.get("status") or {}).get("containerStatuses") or [{}]
    waiting = (statuses[0].get("state") or {}).get("waiting") or {}
    reason = str(waiting.get("reason", ""))
    if reason in _STARTING:
        return None
    said = f"{reason}: {_short(waiting.get('message', ''))}"
    if reason in _PULLS:
        message = (
            f"the copy's pod waits: {said}; the image of home copies cannot be fetched: correct homeCopy.image or"
            " imagePullSecrets of the chart"
        )
        return PodTrouble(reason="CopyImageNotPulled", message=message)
    return PodTrouble(reason="CopyPodNotStarted", message=f"the copy's pod waits: {said}; mend what it names")


def _told_by_events(events: Sequence[Document]) -> PodTrouble | None:
    told = _newest(events, lambda reason: reason not in _NO_TROUBLE)
    if not told:
        return None
    message = f"the copy's pod cannot be started: {_short(told)}; the platform team mends what is named"
    return PodTrouble(reason="CopyPodNotStarted", message=message)


def _newest(events: Sequence[Document], counts: Callable[[str], bool]) -> str:
    """Return the note of the newest warning whose reason counts."""
    warnings = [e for e in events if e.get("type") == "Warning" and counts(str(e.get("reason", "")))]
    return str(max(warnings, key=_moment).get("note") or "") if warnings else ""


def _moment(event: Document) -> str:
    series: Mapping[str, Any] = event.get("series") or {}
    seen = (series.get("lastObservedTime"), event.get("deprecatedLastTimestamp"), event.get("eventTime"))
    return max((str(m) for m in (*seen, event["metadata"].get("creationTimestamp")) if m), default="")


def _is(status: Document | None, kind: str) -> bool:
    return any(c["type"] == kind and c["status"] == "True" for c in (status or {}).get("conditions") or [])


def _short(text: object) -> str:
    return printable(str(text), SENTENCE_LIMIT)
