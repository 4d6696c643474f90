"""The steps of a home copy: a turn is recorded, a Job is made, its end is recorded, what it left is removed.

The attempt is in the ledger before anything of it exists, and stays there until nothing of it is left.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta

from vmclone_operator.api.home import HomeCopyStatus, HomeSpec
from vmclone_operator.api.replica import OperationStatus, VMCloneReplicaStatus
from vmclone_operator.domain.backend import BackendSession
from vmclone_operator.domain.conditions import ConditionWriter
from vmclone_operator.domain.errors import ActionNeeded, AgentNotReady, CloneFailed
from vmclone_operator.domain.guest_access import ALREADY_COPIED, allow_copy, end_copies
from vmclone_operator.domain.guest_tasks import LOOK_SECONDS
from vmclone_operator.domain.home_copy import COPIED, ENDED, RETRY, RUNS, CopyJobView
from vmclone_operator.domain.pace import Pace
from vmclone_operator.domain.plan import Situation
from vmclone_operator.domain.units import bytes_of, seconds_of
from vmclone_operator.engine.context import stamp_time
from vmclone_operator.engine.home.home_pass import HomePart, backup_stamp, home_of, next_attempt
from vmclone_operator.engine.jobs.copy_jobs import copy_jobs_of
from vmclone_operator.engine.ledger import guest_tasks
from vmclone_operator.engine.ledger.attempts import Attempts
from vmclone_operator.engine.secrets import home_key
from vmclone_operator.engine.source import copy_queue
from vmclone_operator.homecopy.forced_command import authorized_keys_line
from vmclone_operator.homecopy.job import CopyJob, Host, OnSecret, Transfer, parse_job
from vmclone_operator.homecopy.job_manifest import copy_name

_SILENT = (AgentNotReady, CloneFailed)
"""The guest does not take its key out: the next attempt does, and the key's private half goes with the Secret."""


class HomeCopyRefused(ActionNeeded):
    """What was asked for can be written into the spec, but no copy can be made of it."""

    reason = "HomeCopyRefused"


def had_before(status: VMCloneReplicaStatus, writer: ConditionWriter) -> VMCloneReplicaStatus:
    """Return the status of a clone whose guest remembers its first copy, which our record lost."""
    message = "the home was copied before; the receipt is lost"
    conditions = writer.put(status.conditions, "HomeCopied", status=True, reason=COPIED, message=message)
    return status.model_copy(update={"conditions": conditions})


def _copied(receipt: HomeCopyStatus, job: CopyJobView) -> str:
    """Return what a copy that was done says of itself: what is there, and what is missing though no rule is why."""
    if job.receipt == HomeCopyStatus() and job.message:
        return job.message  # its counts are lost
    counted = f"{receipt.files} files, {receipt.bytes} bytes"
    return f"{counted}; {job.message}" if job.message else counted


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeSteps:
    """What the steps work on."""

    part: HomePart
    session: BackendSession
    source_session: BackendSession
    pace: Pace

    async def reserve_copy(self, situation: Situation, status: VMCloneReplicaStatus) -> VMCloneReplicaStatus:
        """Take the turn and record the attempt; the write that comes next makes it durable."""
        if not await self.part.take_turn():
            return status  # another copy was faster; the next pass tells the place in the queue
        receipt = await self._receipt(status)
        request = situation.home.request
        if not request:
            receipt = receipt.model_copy(update={"handled_sync_at": self.part.asked()})
        home = home_of(self.part.consent)
        operation = OperationStatus(
            kind=RUNS, token=str(receipt.attempts), refresh=request, user=home.user if home is not None else ""
        )
        copy_queue.tell_source(self.part.engine, self.part.vmclone)
        return status.model_copy(update={"operation": operation, "home_copy": receipt})

    async def _receipt(self, status: VMCloneReplicaStatus) -> HomeCopyStatus:
        """Return the receipt with the next attempt; one that runs and whose ledger was wiped goes on as it is."""
        receipt = next_attempt(status)
        if status.home_copy is not None:
            return receipt
        begun = await copy_jobs_of(self.part.engine).attempts_of(self.part.replica.stamp.incarnation)
        return receipt.model_copy(update={"attempts": max((receipt.attempts, *begun))})

    async def start_copy(self, situation: Situation, status: VMCloneReplicaStatus) -> VMCloneReplicaStatus:
        """Begin the copy if it still may begin, by what is read live: it opens the home of somebody else's VM."""
        part = await self.part.as_it_is()
        if part is None:
            return await self.stop_copy(situation, status)
        return await replace(self, part=part).begin_copy(situation, status)

    async def begin_copy(self, situation: Situation, status: VMCloneReplicaStatus) -> VMCloneReplicaStatus:
        """Make the key and its Secret, let the key into the clone, then make the Job; all of it can be repeated."""
        operation, home = status.operation, home_of(self.part.consent)
        if operation is None or home is None:
            return status
        copies, owner = copy_jobs_of(self.part.engine), self.part.owner(operation.token)
        job = await self._job(home, situation, status, operation)
        if not await self._runs(operation):
            return status
        pair = await copies.ensure_key(owner, job, source_key=await home_key.read(self.part.engine, home))
        mark = f"vmclone-home-copy-{owner.incarnation.replace('-', '')[:20]}"
        line = authorized_keys_line(pair.public, mark=mark)
        command = allow_copy(user=home.user, line=line, unless_copied="" if operation.refresh else owner.incarnation)
        answer = await guest_tasks.answered(
            self.part.engine, self.part.replica, self.session, command, attempt=operation.token
        )
        if not await self._runs(operation):
            return await self._withdraw(operation, status)
        if answer is None:
            self.pace.not_before(LOOK_SECONDS)
            return status  # the guest is at it; this step is made again
        if answer.exit_code == ALREADY_COPIED:
            return self._copied_before(status, operation)
        if answer.exit_code != 0:
            raise CloneFailed(f"the clone does not let the home copy in: {answer.stderr or answer.stdout}")
        await copies.start(owner, job)
        return status

    async def _runs(self, operation: OperationStatus) -> bool:
        """Return whether the live ledger still has this attempt: an operator may have slept in the middle of it."""
        replica = self.part.replica
        live = await self.part.engine.cluster.get(replica.key)
        if live is None or live["metadata"]["uid"] != replica.document["metadata"]["uid"]:
            return False
        told = (live.get("status") or {}).get("operation") or {}
        return (told.get("kind"), told.get("token")) == (operation.kind, operation.token)

    async def _withdraw(self, operation: OperationStatus, status: VMCloneReplicaStatus) -> VMCloneReplicaStatus:
        """Take back what was made of an attempt that another operator brought to its end meanwhile."""
        with suppress(*_SILENT):
            await self._close(operation, copied=False)
        owner = self.part.owner(operation.token)
        await copy_jobs_of(self.part.engine).remove(copy_name(owner), owner.incarnation)
        return status

    async def record_copy(self, situation: Situation, status: VMCloneReplicaStatus) -> VMCloneReplicaStatus:
        """Take the key out of the clone and keep the receipt, or why there is none."""
        operation, job = status.operation, situation.home.job
        if operation is None:
            return status
        done = job.reason == COPIED
        # A dead clone must not hold a turn. After a copy that succeeded its guest then has no marker: should our
        # record be lost as well, its home is copied once more.
        with suppress(*_SILENT):
            await self._close(operation, copied=done)
        receipt = status.home_copy or HomeCopyStatus()
        if done and job.receipt is not None:
            kept = {"attempts": receipt.attempts, "handled_sync_at": operation.refresh or receipt.handled_sync_at}
            kept["completion_time"] = self.part.engine.timestamp()
            receipt = job.receipt.model_copy(update=kept)
        ledger = None if done else self._attempts.copy_failed(status, job.reason, job.message)
        message = _copied(receipt, job) if done else job.message
        conditions = self._writer().put(
            status.conditions, "HomeCopied", status=done, reason=job.reason, message=message
        )
        ended = operation.model_copy(update={"kind": ENDED, "not_before": "" if ledger is None else ledger.not_before})
        update = {"operation": ended, "home_copy": receipt, "conditions": conditions, "retry": ledger}
        return status.model_copy(update=update)

    @property
    def _attempts(self) -> Attempts:
        part = self.part
        return Attempts(engine=part.engine, replica=part.replica, vmclone=part.vmclone, spec=part.spec)

    async def stop_copy(self, _: Situation, status: VMCloneReplicaStatus) -> VMCloneReplicaStatus:
        """End an attempt that runs; the next one goes on where it was."""
        if status.operation is None:
            return status
        with suppress(*_SILENT):
            await self._close(status.operation, copied=False)
        return status.model_copy(update={"operation": self._ended(status.operation, wait_seconds=0)})

    async def clean_copy(self, situation: Situation, status: VMCloneReplicaStatus) -> VMCloneReplicaStatus:
        """Remove the Job and its Secret; then nothing of the attempt is left."""
        operation, engine = status.operation, self.part.engine
        if operation is None:
            return status
        owner = self.part.owner(operation.token)
        if not await copy_jobs_of(engine).remove(copy_name(owner), owner.incarnation):
            return status  # its pod is still there; no failure, so nothing is told
        again = operation.not_before and situation.home.wanted
        left = operation.model_copy(update={"kind": RETRY}) if again else None
        copy_queue.give_back(engine, owner.incarnation)
        copy_queue.tell_source(engine, self.part.vmclone)
        return status.model_copy(update={"operation": left})

    def _ended(self, operation: OperationStatus, *, wait_seconds: int | None) -> OperationStatus:
        """Return the ledger entry of an attempt that is over; with a wait, another one follows."""
        later = "" if wait_seconds is None else stamp_time(self.part.engine.now() + timedelta(seconds=wait_seconds))
        return operation.model_copy(update={"kind": ENDED, "not_before": later})

    def _copied_before(self, status: VMCloneReplicaStatus, operation: OperationStatus) -> VMCloneReplicaStatus:
        """Say that the clone has its home: the guest remembers what our record lost."""
        return had_before(status, self._writer()).model_copy(
            update={"operation": self._ended(operation, wait_seconds=None)}
        )

    async def _close(self, operation: OperationStatus, *, copied: bool) -> None:
        if not operation.user:
            return
        command = end_copies(user=operation.user, copied=self.part.replica.stamp.incarnation if copied else "")
        answer = await guest_tasks.told(
            self.part.engine, self.part.replica, self.session, command, attempt=f"{operation.token}/end"
        )
        if answer is not None and answer.exit_code != 0:
            raise CloneFailed(f"the copy's key could not be taken out of the clone: {answer.stderr or answer.stdout}")

    async def _job(
        self, home: HomeSpec, situation: Situation, status: VMCloneReplicaStatus, operation: OperationStatus
    ) -> CopyJob:
        wish, guest = self.part.spec.home_copy, status.guest
        addresses = situation.addresses or (guest.addresses if guest is not None else ())
        if guest is None or not addresses or not guest.ssh_host_keys:
            raise AgentNotReady("the clone has no address or host key yet")
        clone = Host(address=addresses[0], port=22, user=home.user, host_keys=guest.ssh_host_keys)
        job = CopyJob(
            source=await self._source(home),
            clone=clone,
            home=home.path or "",
            paths=wish.paths,
            excludes=(*home.excludes, *wish.extra_excludes),
            allow=home.allow,
            on_secret=OnSecret(wish.on_secret_found),
            max_size_bytes=bytes_of(wish.max_size),
            bandwidth_kib=max(1, bytes_of(wish.bandwidth_limit) >> 10) if wish.bandwidth_limit else 0,
            timeout_seconds=max(1, int(seconds_of(wish.timeout))),
            refresh=backup_stamp(operation.refresh),
            transfer=Transfer(home.transfer),
        )
        try:
            parse_job(job.document())
        except ValueError as error:
            raise HomeCopyRefused(f"the home cannot be copied as it is asked for: {error}") from error
        return job

    async def _source(self, home: HomeSpec) -> Host:
        """Return the source's end; its address is asked for now, for it may have changed."""
        address = home.address
        if not address and self.part.consent.source is not None:
            info = await self.source_session.describe_source(self.part.consent.source.vm.name)
            address = next(iter(info.addresses), "")
        if not address:
            raise home_key.HomeAccessMissing(
                "the source tells no address: start it, install qemu-guest-agent in it, or set home.address in the"
                " CloneSource"
            )
        return Host(address=address, port=home.port, user=home.user, host_keys=home.known_hosts)

    def _writer(self) -> ConditionWriter:
        return self.part.engine.writer_for(self.part.replica.document)
