"""One copy of a VM to an id of ours, a step a call: chosen, begun, followed, there. Frozen points and clones alike.

    no handle           choose an id, answer it, write nothing
    id, no VM there     POST clone; answer id and task. Its task had ended well: look once more, for it may have ended
                        since. A point in time that is not there even so: lost
    a bare lock         our task runs: wait. Nobody's: LockLeftBehind. A stranger's: choose another id
    our mark, locked    wait for the task, with percent from its log
    our mark, no lock   there
    another VM          a stranger was faster: choose another id. Our task made it, under our name: mark it

A finished task proves nothing by itself, nor does a vanished lock: a copy that failed takes its config away. So the
config decides, and the task explains.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from vmclone_operator.domain.backend import OperationState, Progress
from vmclone_operator.domain.errors import RetryLater
from vmclone_operator.providers.proxmox import marks, translate
from vmclone_operator.providers.proxmox.handles import Handle
from vmclone_operator.providers.proxmox.marks import Mark
from vmclone_operator.providers.proxmox.pve import TaskState
from vmclone_operator.providers.proxmox.site import Seen, Site
from vmclone_operator.providers.proxmox.translate import Kind, Refused

LOOK_SECONDS = 2.0
_MOST_LOGS = 64
TRANSIENT = frozenset({Kind.LOCKED, Kind.LOCK_TIMEOUT, Kind.NO_QUORUM, Kind.STATE_CHANGED, Kind.DOWN, Kind.RUNNING})


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is to be copied."""

    source: Handle
    seed: str
    """What the choice of an id begins with."""
    mark: Mark
    """What the copy's description says; its id is added."""
    ours: Callable[[Mark | None], bool]
    """Whether a mark is the one that this copy writes."""
    parameters: Mapping[str, object]
    once: bool = False
    """A copy that was made and is gone is lost: its point in time is never taken again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class There:
    """The copy is made; what follows is configuration."""

    seen: Seen
    handle: Handle


class Copying:
    """Takes copies one step on."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._told: set[str] = set()
        """Failed tasks that were reported; the next call begins anew."""
        self._logs: dict[str, tuple[int, int, str]] = {}
        """Of each task's log: lines that were read, percent by them, the last one."""

    async def followed(self, handle: Handle, seen: Seen | None) -> Progress | None:
        """Return how the copy stands while its task runs, at the cost of its task alone; None when it does not."""
        if not handle.upid or (seen is not None and seen.lock != "clone"):
            return None
        state = await self._site.pve.task(handle.upid)
        if state is None or not state.running:
            return None
        return running(handle, "the copy begins") if seen is None else await self._percent(handle)

    async def step(self, job: Job, handle: Handle | None, seen: Seen | None) -> Progress | There:
        """Return how the copy stands after one step, or what it made; `seen`: what stands at its id now."""
        if handle is None:
            return await self._choose(job)
        if seen is None:
            return await self._absent(job, handle)
        if seen.unnamed:
            return await self._unnamed(job, handle, seen)
        if not job.ours(seen.mark):
            return await self._not_marked(job, handle, seen)
        if seen.lock == "clone":
            return await self._locked(job, handle, seen)
        if seen.lock:
            raise RetryLater(f"VM {seen.vmid} ({seen.name}) is locked ({translate.plain(seen.lock)})")
        return There(seen=seen, handle=handle)

    async def _not_marked(self, job: Job, handle: Handle, seen: Seen) -> Progress:
        """Choose another id beside a stranger's VM; mark our own copy where the server kept none of its description.

        A task of ours that ended well made that id, and the name is one that only this copy has. Proxmox VE keeps the
        description; without this, on a server that takes none, or the source's, every attempt would leave one more VM
        that is nobody's.
        """
        state = None
        if seen.mark is None and handle.upid and seen.config.get("name") == job.parameters["name"]:
            state = await self._site.pve.task(handle.upid)
        if state is None or not state.good:
            return await self._choose(job, beside=handle.vmid)
        text = marks.description(replace(job.mark, vmid=handle.vmid))
        await self._site.pve.set_config(seen.node, seen.vmid, {"description": text, "digest": seen.digest})
        return running(handle, "the copy is marked as ours")

    async def _choose(self, job: Job, *, beside: int = 0) -> Progress:
        vmid = await self._site.choose(job.seed, beside=(beside,))
        why = f"VMID {beside} is somebody else's; " if beside else ""
        chosen = Handle(node=job.source.node, vmid=vmid)
        return Progress(state=OperationState.RUNNING, handle=str(chosen), message=f"{why}VMID {vmid} is chosen")

    async def _absent(self, job: Job, handle: Handle) -> Progress | There:
        """Begin the copy; or return what became of the task that was to make it."""
        if handle.upid:
            state = await self._site.pve.task(handle.upid)
            if state is not None and state.running:
                return running(handle, "the copy begins")
            if state is not None and not state.good:
                return await self._failed(job, handle, state)
            fresh = await self._site.look(handle.vmid, handle.node)
            if fresh is not None:  # it ended just now: where only its pool may be read, it was hidden until then
                return await self.step(job, handle, fresh)
            if job.once:
                words = f"VM {handle.vmid}, the copy, is gone"
                return Progress(state=OperationState.LOST, handle=str(handle), message=words)
        asked = {"newid": handle.vmid, "description": marks.description(replace(job.mark, vmid=handle.vmid))}
        try:
            upid = await self._site.pve.clone(job.source.node, job.source.vmid, {**asked, **job.parameters})
        except Refused as refused:
            if refused.kind is not Kind.TAKEN:
                raise
            return await self._taken(job, handle)
        return running(replace(handle, node=job.source.node, upid=upid), "the copy begins")

    async def _taken(self, job: Job, handle: Handle) -> Progress:
        """Decide about an id that somebody has: us, when a reply was lost, or somebody else."""
        if await self._site.look(handle.vmid, handle.node) is not None:
            return running(replace(handle, upid=""), "somebody was faster; looked at again")
        row = await self._site.own_task(job.source, handle.vmid)
        if row is None:  # a container, or a VM that we may not see
            return await self._choose(job, beside=handle.vmid)
        if row.get("endtime") and not str(row.get("status", "")).startswith(("OK", "WARNINGS")):
            raise translate.lock_left_behind(handle.vmid)
        return running(replace(handle, upid=str(row["upid"])), "the copy was begun before")

    async def _failed(self, job: Job, handle: Handle, state: TaskState) -> Progress:
        """Choose another id, wait, or tell the error once: the call after it begins anew."""
        kind = translate.kind(200, state.exit_status)
        if kind is Kind.TAKEN:
            return await self._choose(job, beside=handle.vmid)
        again = replace(handle, upid="")
        words = translate.plain(state.exit_status)
        if kind in TRANSIENT:
            return running(again, f"waits: {words}", seconds=10)
        if handle.upid in self._told:
            return running(again, "tried again")
        self._told.add(handle.upid)
        raise translate.task_error(f"the copy of VM {job.source.vmid} to VM {handle.vmid}", state.exit_status)

    async def _unnamed(self, job: Job, handle: Handle, seen: Seen) -> Progress:
        """Decide about a config that says nothing yet but that it is being made."""
        if not handle.upid:
            row = await self._site.own_task(job.source, handle.vmid)
            if row is None:
                return await self._choose(job, beside=handle.vmid)
            return running(replace(handle, upid=str(row["upid"])), "the copy runs")
        state = await self._site.pve.task(handle.upid)
        if state is not None and state.running:
            return await self._percent(handle)
        if state is not None and translate.kind(200, state.exit_status) is Kind.TAKEN:
            return await self._choose(job, beside=handle.vmid)
        return await self._ended(handle, seen)

    async def _locked(self, job: Job, handle: Handle, seen: Seen) -> Progress:
        """Follow the task that copies; a lock that no task holds is for a person."""
        state = await self._site.pve.task(handle.upid) if handle.upid else None
        if state is None or not state.running:
            row = await self._site.own_task(job.source, handle.vmid)
            if row is None or row.get("endtime"):
                return await self._ended(handle, seen)
            handle = replace(handle, upid=str(row["upid"]))
        return await self._percent(handle)

    async def _ended(self, handle: Handle, seen: Seen) -> Progress:
        """Look again at a VM that was locked before its task was seen to be over: it may just have ended."""
        if await self._site.left_locked(seen):
            raise translate.lock_left_behind(seen.vmid, "" if seen.unnamed else seen.name)
        return running(handle, "the copy ends")

    async def _percent(self, handle: Handle) -> Progress:
        """Read what its log has more than at the last look, and tell by that how far it is."""
        count, percent, last = self._logs.get(handle.upid, (0, 0, ""))
        log = await self._site.pve.task_log_from(handle.upid, count)
        percent, last = percent_of(log, percent), log[-1] if log else last
        self._logs = {**dict(list(self._logs.items())[-_MOST_LOGS:]), handle.upid: (count + len(log), percent, last)}
        return replace(running(handle, translate.plain(last)), percent=percent)


def percent_of(log: Sequence[str], before: int = 0) -> int:
    """Return how much of the disk that is copied now is there, by the lines that came since it was `before`."""
    for line in reversed(log):
        if (found := translate.percent(line)) is not None:
            return min(99, found)
        if translate.created_disk(line):
            return 0
    return before


def running(handle: Handle, message: str, *, seconds: float = LOOK_SECONDS) -> Progress:
    """Return that it goes on."""
    return Progress(state=OperationState.RUNNING, handle=str(handle), message=message, again_seconds=seconds)
