"""Full copies of the fake: one disk after the other, as threads of one operator process make them.

What such a process knows dies with it. The copy of the one disk in work goes on at the hypervisor, but
nobody learns its result, so the next process removes it and copies that disk again; the disks that the
caller's ledger names as finished stay.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from vmclone_operator.domain.backend import CloneIntent, OperationState, Progress
from vmclone_operator.domain.errors import CloneFailed, RetryLater

if TYPE_CHECKING:
    from collections.abc import Collection

    from vmclone_operator.providers.fake.calls import Calls
    from vmclone_operator.providers.fake.state import Volume
    from vmclone_operator.providers.fake.world import World

_ALMOST = 99
"""Copied is not defined yet."""


@dataclass(slots=True, kw_only=True)
class Run:
    """The disks of one attempt, as this process sees them."""

    token: str
    disks: int
    pending: list[Volume]
    seconds_each: float
    current: Volume | None = None
    finished: list[str] = field(default_factory=list)
    free_at: float | None = None
    """When the last copy ended: the next one began then, whoever looked."""

    def leave_out(self, finished: Collection[str]) -> None:
        """Copy no disk that the ledger knows to be complete: another process may have copied it meanwhile."""
        self.finished.extend(disk.role for disk in self.pending if disk.role in finished)
        self.pending = [disk for disk in self.pending if disk.role not in finished]

    def percent(self, now: float) -> int:
        """Return how much is copied, by disks and by time."""
        part = 0.0
        if self.current is not None and self.seconds_each:
            part = 1 - max(0.0, self.current.busy_until - now) / self.seconds_each
        return min(_ALMOST, int(100 * (len(self.finished) + part) / self.disks))


class FullCopies:
    """The copies that one session has under way, by incarnation."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._runs: dict[str, Run] = {}

    def go_on(self, calls: Calls, intent: CloneIntent, disks: list[Volume]) -> bool:
        """Copy what is not finished; return whether every disk is, by the caller's ledger too.

        A disk that the ledger calls finished but that is gone makes the attempt a lost one: its name might
        be used again by a copy that is killed, and then nothing would tell half a disk from a whole one.
        """
        incarnation = intent.stamp.incarnation
        run = self._runs.get(incarnation)
        if any(disk.role in intent.finished and disk.name not in self._world.state.volumes for disk in disks):
            self._runs.pop(incarnation, None)
            return False
        if run is None or run.token != intent.token:
            self._runs.pop(incarnation, None)
            run = self._begin(calls, intent, disks)
        self._record(disks, intent.finished)
        run.leave_out(intent.finished)
        self._advance(calls, run)
        if not {disk.role for disk in disks} <= set(run.finished) & set(intent.finished):
            return False
        self.remove_files(calls, disks[0].group, keep={disk.name for disk in disks})
        return True

    def standing(self, calls: Calls, token: str) -> Progress:
        """Return how the copies of an attempt stand; lost when this process has none."""
        run = next((run for run in self._runs.values() if run.token == token), None)
        if run is None:
            return Progress(state=OperationState.LOST)
        self._advance(calls, run)
        percent = run.percent(self._world.now())
        return Progress(state=OperationState.RUNNING, percent=percent, finished=tuple(run.finished))

    def forget(self, incarnation: str) -> None:
        """Copy no further disk: the clone is defined, or no longer wanted."""
        self._runs.pop(incarnation, None)

    def busy(self, volume: Volume) -> bool:
        """Return whether a copy, of whichever process, still writes to a file."""
        return self._world.now() < volume.busy_until

    def remove_files(self, calls: Calls, group: str, *, keep: Collection[str] = ()) -> None:
        """Remove what attempts left of a clone; refused while a copy that nobody follows still writes to it."""
        for volume in calls.read("list files", group, partial(self._world.pool.volumes_of, group)):
            if volume.name in keep:
                continue
            if self.busy(volume):
                raise RetryLater(f"an interrupted copy still writes to {volume.name}")
            calls.write("delete volume", volume.name, partial(self._throw_away, volume))

    def _throw_away(self, volume: Volume) -> None:
        self._world.pool.delete_volume(volume.name)
        if volume.recorded:
            self._world.effects.finished_copied_again.append(volume.name)

    def _begin(self, calls: Calls, intent: CloneIntent, disks: list[Volume]) -> Run:
        kept = [disk for disk in disks if disk.role in intent.finished]
        self.remove_files(calls, disks[0].group, keep={disk.name for disk in kept})
        run = Run(
            token=intent.token,
            disks=len(disks),
            pending=[disk for disk in disks if disk not in kept],
            seconds_each=self._world.clone_seconds / len(disks),
            finished=[disk.role for disk in kept],
        )
        self._runs[intent.stamp.incarnation] = run
        return run

    def _record(self, disks: list[Volume], finished: Collection[str]) -> None:
        for disk in disks:
            held = self._world.state.volumes.get(disk.name)
            if held is not None and disk.role in finished:
                held.recorded = True

    def _advance(self, calls: Calls, run: Run) -> None:
        """Do what the copying thread has done by now."""
        while run.current is not None or run.pending:
            if run.current is None:
                self._copy(calls, run, run.pending[0])
            elif self.busy(run.current):
                return
            else:
                run.finished.append(run.current.role)
                run.free_at, run.current = run.current.busy_until, None

    def _copy(self, calls: Calls, run: Run, disk: Volume) -> None:
        begin, run.free_at = run.free_at, None
        self._remove_failed(calls, disk)
        begin = self._world.now() if begin is None else begin
        fresh = replace(disk, busy_until=begin + run.seconds_each)
        calls.write("copy disk", disk.name, partial(self._create, fresh))
        run.pending.pop(0)
        run.current = fresh

    def _remove_failed(self, calls: Calls, disk: Volume) -> None:
        """Remove what a copy made whose reply was lost: its result is not known."""
        held = self._world.state.volumes.get(disk.name)
        if held is None:
            return
        if self.busy(held):
            raise RetryLater(f"a copy whose reply was lost still writes to {disk.name}")
        calls.write("delete volume", disk.name, partial(self._throw_away, held))

    def _create(self, disk: Volume) -> None:
        base = self._world.state.volumes.get(disk.copied_from)
        if base is None:
            raise CloneFailed(f"the frozen disk {disk.copied_from} does not exist (any more)")
        self._world.pool.create_volume(disk)
        effects = self._world.effects
        effects.count(effects.disk_copies, f"{disk.group}{disk.role}")
