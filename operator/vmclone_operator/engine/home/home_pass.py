"""The home copy's part of a replica's pass: what is known of it, and the job that its Job is given."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime

from vmclone_operator.api.home import HomeCopyStatus, HomeSpec
from vmclone_operator.api.replica import OperationStatus, VMCloneReplicaStatus
from vmclone_operator.api.vmclone import VMCloneSpec
from vmclone_operator.domain.backend import Mode
from vmclone_operator.domain.conditions import find, is_true
from vmclone_operator.domain.home_copy import RETRY, RUNS, CopyJobView, HomeSituation, JobState
from vmclone_operator.domain.retry import policy_of
from vmclone_operator.domain.steps import Step
from vmclone_operator.engine.context import Engine, annotation
from vmclone_operator.engine.jobs.copy_jobs import copy_jobs_of
from vmclone_operator.engine.objects.lineage import is_deleting
from vmclone_operator.engine.objects.parsed import vmclone_status
from vmclone_operator.engine.objects.replica import Replica
from vmclone_operator.engine.source import copy_queue
from vmclone_operator.engine.source.consent import Consent
from vmclone_operator.engine.source.consent import check as check_consent
from vmclone_operator.homecopy.job_manifest import CopyOwner
from vmclone_operator.kube.cluster import Document, Key, Kind

_PROGRESS_SECONDS = 10.0
_STAMP = re.compile(r"[^0-9A-Za-z-]")
REQUEST = "sync-requested-at"


@dataclass(frozen=True, slots=True, kw_only=True)
class HomePart:
    """Gathers what one decision about a home copy rests on."""

    engine: Engine
    replica: Replica
    vmclone: Document
    spec: VMCloneSpec
    consent: Consent

    async def situation(self, status: VMCloneReplicaStatus, *, reachable: bool) -> HomeSituation:
        """Return the situation; asks the API server only while a copy is due or runs.

        A clone that is not `reachable` is given no turn: it would hold it without using it.
        """
        operation = status.operation
        request = self._request(status)
        wanted = bool(request) or self.first_due(status)
        if operation is None and not wanted:
            copy_queue.drop_unused(self.engine, self.replica.stamp.incarnation)
            return HomeSituation()
        last_reason, last_message = _last_failure(status)
        home = HomeSituation(
            wanted=wanted,
            request=request,
            paused=self.spec.paused,
            reachable=reachable,
            blocked=self.blocked(),
            blocked_reason=self._blocked_reason(),
            operation=operation,
            last_reason=last_reason,
            last_message=last_message,
        )
        if operation is not None and operation.kind == RUNS:
            return replace(home, job=await self._job(status, operation))
        seconds = self._seconds_left(operation)
        home = replace(home, due=seconds <= 0, wait_seconds=seconds)
        if operation is not None and operation.kind != RETRY:
            return home
        if not (wanted and reachable and home.due) or home.blocked or home.paused or self._used_up(status):
            copy_queue.drop_unused(self.engine, self.replica.stamp.incarnation)
            return home
        return replace(home, position=await self._position())

    def _used_up(self, status: VMCloneReplicaStatus) -> bool:
        """Return whether a person has to ask for the next attempt: until then it stands in no line."""
        ledger = status.retry
        if ledger is None or ledger.step != Step.HOME_COPY.value or not ledger.not_before:
            return False
        return policy_of(self.spec.retry).used_up(ledger.failures)

    def first_due(self, status: VMCloneReplicaStatus) -> bool:
        """Return whether the clone still needs its first copy."""
        known = vmclone_status(self.vmclone).mode  # without consent nobody else says
        clean = (self.consent.mode or known) == Mode.CLEAN.value and self.spec.home_copy.policy == "Copy"
        # A copy that was done once is never done again unasked: people have worked in that home since.
        done = status.home_copy is not None and bool(status.home_copy.completion_time)
        return clean and not done and not is_true(status.conditions, "HomeCopied")

    def _request(self, status: VMCloneReplicaStatus) -> str:
        """Return the request for a refresh that was not answered yet."""
        if self.spec.home_copy.refresh != "OnRequest" or not is_true(status.conditions, "Ready"):
            return ""
        asked = self.asked()
        handled = status.home_copy.handled_sync_at if status.home_copy is not None else ""
        return asked if asked != handled else ""

    def asked(self) -> str:
        """Return the newest request for a refresh: on the replica, or on its VMClone for all."""
        return (annotation(self.replica.document, REQUEST) or annotation(self.vmclone, REQUEST))[:128]

    async def _job(self, status: VMCloneReplicaStatus, operation: OperationStatus) -> CopyJobView:
        """Look at the Job; its progress is told every 10 seconds and stays as it was in between."""
        told = next((s for s in status.steps if s.name == Step.HOME_COPY.value), None)
        key = f"{self.replica.stamp.incarnation}/copy"
        fresh = self.engine.status_wait(key, _PROGRESS_SECONDS) <= 0
        view = await copy_jobs_of(self.engine).view(self.owner(operation.token), with_log=fresh)
        if view.state is not JobState.RUNNING:
            return view
        if fresh:
            self.engine.status_written(key)
            return view
        if told is None:
            return view
        view = replace(view, done_bytes=told.done_bytes, total_bytes=told.total_bytes)
        return replace(view, percent=told.percent, eta_seconds=told.eta_seconds, message=told.message)

    async def _position(self) -> int:
        source = copy_queue.source_key(self.engine, self.vmclone)
        return await copy_queue.position(self.engine, self.replica.document, source, limit=self._limit)

    async def take_turn(self) -> bool:
        """Take the turn at the source, if it is still there."""
        source = copy_queue.source_key(self.engine, self.vmclone)
        return await copy_queue.take_turn(self.engine, self.replica.document, source, limit=self._limit)

    @property
    def _limit(self) -> int:
        return self.consent.source.limits.max_parallel_copies if self.consent.source is not None else 1

    async def as_it_is(self) -> HomePart | None:
        """Return the part with wish and consent read live; None when no copy may begin by them."""
        stamp = self.replica.stamp
        vmclone = await self.engine.live(Key(Kind.VMCLONE, stamp.namespace, stamp.vmclone))
        if vmclone is None or is_deleting(vmclone) or vmclone["metadata"]["uid"] != self.replica.vmclone_uid:
            return None
        now = await check_consent(self.engine, vmclone, live=True)
        part = replace(self, vmclone=vmclone, spec=VMCloneSpec.model_validate(vmclone["spec"]), consent=now)
        return None if part.spec.paused or part.blocked() else part

    def owner(self, attempt: str) -> CopyOwner:
        """Return whose copy an attempt is."""
        stamp = self.replica.stamp
        return CopyOwner(
            vmclone=stamp.vmclone,
            vmclone_uid=self.replica.vmclone_uid,
            ordinal=stamp.ordinal,
            incarnation=stamp.incarnation,
            attempt=int(attempt),
            source=copy_queue.source_key(self.engine, self.vmclone),
        )

    def _seconds_left(self, operation: OperationStatus | None) -> float:
        if operation is None or not operation.not_before:
            return 0.0
        return (datetime.fromisoformat(operation.not_before) - self.engine.now()).total_seconds()

    def _blocked_reason(self) -> str:
        return self.consent.blocker.reason if self.consent.blocker is not None else "HomeAccessMissing"

    def blocked(self) -> str:
        """Return why no new copy may begin, empty when it may."""
        if self.consent.blocker is not None:
            return self.consent.blocker.message
        if not self.engine.pods.image:
            return "the operator has no image for home copies; start it with --home-copy-image"
        home = self.consent.source.home if self.consent.source is not None else None
        name = self.spec.source.name
        if home is None or home.ssh_key_secret_ref is None or not home.known_hosts:
            return (
                f"CloneSource {name} gives no access to its home: the platform team sets home.sshKeySecretRef and"
                " home.knownHosts, or set spec.homeCopy.policy to Skip"
            )
        return ""


def _last_failure(status: VMCloneReplicaStatus) -> tuple[str, str]:
    """Return reason and message of the last attempt; of a refresh that never began only the ledger has them."""
    last, ledger = find(status.conditions, "HomeCopied"), status.retry
    if last is not None and last.status == "False":
        return last.reason, last.message
    if ledger is not None and ledger.step == Step.HOME_COPY.value:
        return ledger.reason, ledger.message
    return "", ""


def backup_stamp(request: str) -> str:
    """Return the name of the folder for what a refresh overwrites; empty for a first copy."""
    return (_STAMP.sub("-", request)[:40] or "refresh") if request else ""


def next_attempt(status: VMCloneReplicaStatus) -> HomeCopyStatus:
    """Return the receipt with one attempt more: attempts are counted over refreshes, so that no name is used twice."""
    receipt = status.home_copy or HomeCopyStatus()
    return receipt.model_copy(update={"attempts": receipt.attempts + 1})


def home_of(consent: Consent) -> HomeSpec | None:
    """Return what the source's owner says of its home."""
    return consent.source.home if consent.source is not None else None
