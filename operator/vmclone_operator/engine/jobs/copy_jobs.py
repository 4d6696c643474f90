"""The Jobs of home copies in the operator's namespace: made, looked at live, and removed with their Secrets."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from vmclone_operator.api.home import FilterStatus, HomeCopyStatus
from vmclone_operator.domain.conditions import printable
from vmclone_operator.domain.home_copy import COPIED, CopyJobView, JobState
from vmclone_operator.domain.labels import INCARNATION_LABEL
from vmclone_operator.engine.context import Engine
from vmclone_operator.engine.jobs.pod_trouble import trouble_of
from vmclone_operator.engine.secrets.secret_file import text_of
from vmclone_operator.engine.secrets.ssh_keys import KeyPair, new_key, read_key
from vmclone_operator.homecopy.job import CopyJob
from vmclone_operator.homecopy.job_manifest import (
    COMPONENT,
    SOURCE_LABEL,
    CopyOwner,
    PodSettings,
    copy_name,
    job_manifest,
    secret_manifest,
)
from vmclone_operator.homecopy.outcome import EXIT_CODES, Ended
from vmclone_operator.kube.cluster import Cluster, Conflict, Document, Key, Kind

_CLONE_KEY = "clone_key"
_JOB_NAME_LABEL = "batch.kubernetes.io/job-name"
_STARTS_WITHIN = timedelta(seconds=15)
"""How long a pod may take to start before its Events are read."""
_RETRIED = {Ended.INTERRUPTED.value: Ended.COPY_FAILED.value}
"""Reasons of a Job that the HomeCopied condition tells in another word."""


def copy_jobs_of(engine: Engine) -> CopyJobs:
    """Return the Jobs of an operator."""
    return CopyJobs(cluster=engine.cluster, settings=engine.pods, now=engine.now)


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyJobs:
    """The Jobs of one operator."""

    cluster: Cluster
    settings: PodSettings
    now: Callable[[], datetime]

    async def view(self, owner: CopyOwner, *, with_log: bool) -> CopyJobView:
        """Return how the Job of an attempt stands; the log is read only when asked for."""
        name = copy_name(owner)
        job = await self.cluster.get(self._key(Kind.JOB, name))
        if job is None:
            return CopyJobView(state=JobState.ABSENT, name=name)
        if job["metadata"].get("deletionTimestamp"):
            return CopyJobView(state=JobState.WAITING, name=name, message="the copy's Job is being removed")
        pod = await self._pod(name)
        if _finished(job):
            return _ended(job, pod)
        if pod is None or not _started(pod):
            return await self._not_started(job, pod)
        lines = (
            await self.cluster.pod_log(self.settings.namespace, pod["metadata"]["name"], lines=3) if with_log else ""
        )
        return _running(name, lines)

    async def _not_started(self, job: Document, pod: Document | None) -> CopyJobView:
        """Return what a copy waits for whose pod has not started; what keeps it from that is told by Events, too."""
        name = str(job["metadata"]["name"])
        message = "the copy's pod is being made" if pod is None else "the copy's pod is being started"
        view = CopyJobView(state=JobState.WAITING, name=name, message=message)
        told: Sequence[Document] = ()
        if pod is None or self._is_late(job):  # a pod that has only just been made may warn of what passes
            regarding = (job if pod is None else pod)["metadata"]["uid"]
            told = await self.cluster.events_of(self.settings.namespace, regarding)
        trouble = trouble_of(job, pod, told)
        if trouble is None:
            return view
        return replace(
            view, message=printable(trouble.message), trouble=trouble.reason, needs_a_person=trouble.needs_a_person
        )

    def _is_late(self, job: Document) -> bool:
        made = str(job["metadata"].get("creationTimestamp", ""))
        return not made or self.now() - datetime.fromisoformat(made) > _STARTS_WITHIN

    async def active(self, source: str) -> set[str]:
        """Return the incarnations whose Jobs may still read from a source: one that is removed has a pod till then."""
        labels = {"app.kubernetes.io/component": COMPONENT, SOURCE_LABEL: source}
        jobs = await self.cluster.list(Kind.JOB, namespace=self.settings.namespace, labels=labels)
        return {str(job["metadata"]["labels"].get(INCARNATION_LABEL, "")) for job in jobs if not _finished(job)}

    async def ensure_key(self, owner: CopyOwner, job: CopyJob, *, source_key: str) -> KeyPair:
        """Return the key that opens the clone for this attempt; the first call makes it and its Secret."""
        name = copy_name(owner)
        known = await self.cluster.get(self._key(Kind.SECRET, name))
        if known is None:
            made = new_key()
            manifest = secret_manifest(owner, self.settings, job, source_key=source_key, clone_key=made.private)
            try:
                await self.cluster.create(Kind.SECRET, manifest)
            except Conflict:  # ours, from a pass whose reply was lost
                known = await self.cluster.get(self._key(Kind.SECRET, name))
            else:
                return made
        if known is None:
            raise Conflict(f"Secret {name} comes and goes")
        return read_key(text_of(known, _CLONE_KEY))

    async def start(self, owner: CopyOwner, job: CopyJob) -> None:
        """Create the Job; one of that name is ours."""
        try:
            await self.cluster.create(Kind.JOB, job_manifest(owner, self.settings, job))
        except Conflict:
            return

    async def remove(self, name: str, incarnation: str) -> bool:
        """Remove a clone's Job with its pods, then its Secret; return true once both are gone."""
        job = await self._own(Kind.JOB, name, incarnation)
        if job is not None:
            await self.cluster.delete(Kind.JOB, job)
            if await self._own(Kind.JOB, name, incarnation) is not None:
                return False
        secret = await self._own(Kind.SECRET, name, incarnation)
        if secret is not None:
            await self.cluster.delete(Kind.SECRET, secret)
        return True

    async def _own(self, kind: Kind, name: str, incarnation: str) -> Document | None:
        """Return what was made for a clone under this name; another's is left alone."""
        found = await self.cluster.get(self._key(kind, name))
        labels = {} if found is None else found["metadata"].get("labels") or {}
        return found if labels.get(INCARNATION_LABEL) == incarnation else None

    async def names_of(self, incarnation: str) -> set[str]:
        """Return the names of all Jobs of a clone, whatever its status remembers."""
        jobs = await self.cluster.list(
            Kind.JOB, namespace=self.settings.namespace, labels={INCARNATION_LABEL: incarnation}
        )
        return {str(job["metadata"]["name"]) for job in jobs}

    async def attempts_of(self, incarnation: str) -> set[int]:
        """Return the numbers of a clone's attempts that have a Job."""
        numbers = (name.rpartition("-")[2] for name in await self.names_of(incarnation))
        return {int(number) for number in numbers if number.isdigit()}

    async def _pod(self, name: str) -> Document | None:
        pods = await self.cluster.list(Kind.POD, namespace=self.settings.namespace, labels={_JOB_NAME_LABEL: name})
        return max(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")), default=None)

    def _key(self, kind: Kind, name: str) -> Key:
        return Key(kind, self.settings.namespace, name)


def _finished(job: Document) -> bool:
    return _has(job, "Complete") or _has(job, "Failed")


def _has(job: Document, kind: str) -> bool:
    conditions = (job.get("status") or {}).get("conditions") or []
    return any(c["type"] == kind and c["status"] == "True" for c in conditions)


def _container(pod: Document) -> Mapping[str, Any]:
    statuses = (pod.get("status") or {}).get("containerStatuses") or [{}]
    state: Mapping[str, Any] = statuses[0].get("state") or {}
    return state


def _started(pod: Document) -> bool:
    return not _container(pod).keys().isdisjoint({"running", "terminated"})


def _running(name: str, log: str) -> CopyJobView:
    news: dict[str, Any] = {}
    for line in log.splitlines():
        try:
            document = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(document, dict):
            news = document
    phase, total = str(news.get("phase", "")), _number(news, "totalBytes")
    message = {"Scanning": "the home is being looked through", "Scanned": "the home was looked through"}.get(phase, "")
    return CopyJobView(
        state=JobState.RUNNING,
        name=name,
        percent=_number(news, "percent", 100),
        eta_seconds=_number(news, "etaSeconds", 2**31),
        done_bytes=_number(news, "doneBytes", total),  # files may grow while they are copied
        total_bytes=total,
        message=message,
    )


def _ended(job: Document, pod: Document | None) -> CopyJobView:
    name = str(job["metadata"]["name"])
    ended = {} if pod is None else _container(pod).get("terminated") or {}
    by_code = {code: reason.value for reason, code in EXIT_CODES.items()}
    try:
        told = json.loads(ended.get("message") or "{}")
    except (ValueError, RecursionError):
        told = {}
    told = told if isinstance(told, dict) else {}
    code = ended.get("exitCode")
    if isinstance(code, int):
        reason = by_code.get(code, Ended.COPY_FAILED.value)
    else:
        reason = COPIED if _has(job, "Complete") else Ended.INTERRUPTED.value  # its pod may be cleared away since
    lost = "" if told else "the home was copied; the receipt is lost"
    message = printable(str(told.get("message") or "") or (lost if reason == COPIED else _failure(job, pod, ended)))
    return CopyJobView(
        state=JobState.ENDED,
        name=name,
        message=message,
        reason=_RETRIED.get(reason, reason),
        receipt=_receipt(told) if reason == COPIED else None,
        seconds=_seconds(job),
    )


def _seconds(job: Document) -> float:
    """Return how long a Job took from its start to its end, 0 when it does not say."""
    status = job.get("status") or {}
    ends = [c.get("lastTransitionTime") for c in status.get("conditions") or [] if c["type"] in {"Complete", "Failed"}]
    try:
        begun, ended = (datetime.fromisoformat(str(moment)) for moment in (status.get("startTime"), ends[0]))
        return max(0.0, (ended - begun).total_seconds())
    except (IndexError, ValueError, TypeError):
        return 0.0


def _failure(job: Document, pod: Document | None, ended: Mapping[str, Any]) -> str:
    failed = [c for c in (job.get("status") or {}).get("conditions") or [] if c["type"] == "Failed"]
    word = failed[0].get("reason", "") if failed else ""
    fate = {} if pod is None else pod.get("status") or {}
    how = f"{fate['reason']}: {fate.get('message', '')}" if fate.get("reason") else "its pod is gone"
    if "exitCode" in ended:
        how = f"exit code {ended['exitCode']}, {ended.get('reason', 'Error')}"
    return f"the copy was cut ({how}{', ' + word if word else ''}); it is tried again and goes on where it ended"


def _receipt(told: Mapping[str, Any]) -> HomeCopyStatus:
    """Return what the status keeps of a receipt; the pod is ours, its numbers are bounded all the same."""
    used = told.get("filter")
    used = used if isinstance(used, dict) else {}
    return HomeCopyStatus(
        files=_number(told, "files"),
        bytes=_number(told, "bytes"),
        sent_bytes=_number(told, "sentBytes"),
        excluded=_numbers(told, "excluded"),
        skipped=_numbers(told, "skipped"),
        unreadable=_number(told, "unreadable"),
        allowed=_names(told, "allowed"),
        other_file_systems=_names(told, "otherFileSystems"),
        filter=FilterStatus(version=str(used.get("version", ""))[:64], digest=str(used.get("digest", ""))[:128]),
    )


def _numbers(told: Mapping[str, Any], name: str) -> dict[str, int]:
    value = told.get(name)
    numbers = value if isinstance(value, dict) else {}
    return {str(key)[:63]: _number(numbers, key) for key in list(numbers)[:64]}


def _number(told: Mapping[str, Any], name: str, limit: int = 2**53) -> int:
    value = told.get(name, 0)
    if not isinstance(value, int | float) or value != value:  # noqa: PLR0124  - NaN, which JSON does not forbid here
        return 0
    return int(min(max(value, 0), limit))


def _names(told: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = told.get(name)
    return tuple(printable(str(item), 1024) for item in value[:32]) if isinstance(value, list) else ()
