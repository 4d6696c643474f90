"""The provider contract: what every backend promises and nothing about how.

It stands below the providers, so adapters depend on us and never we on them. Every verb is safe to
call twice, returns in seconds and fails only with the errors of `domain.errors`. `tests/contract` proves all of it
for each backend.

What takes long (`freeze`, `start_clone`, `release_frozen`, `delete_clone`) answers with a `Progress`: one step on, and
how it stands. The same call is made again, pass after pass, until it says DONE or LOST; there is no other verb to ask
with. What a backend must remember from one call to the next is the handle in that answer, which is in the ledger
before the next call is made.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from vmclone_operator.domain.errors import CapabilityMissing
from vmclone_operator.domain.leftovers import Leftover, LeftoverKind
from vmclone_operator.domain.provider_values import (
    BackendConfig,
    BackendInfo,
    Capabilities,
    CloneIntent,
    CloneRef,
    DiskCopy,
    FreezeIntent,
    FrozenPoint,
    GuestChannel,
    GuestCommand,
    GuestResult,
    GuestRun,
    GuestRunState,
    GuestTask,
    Mode,
    ObservedClone,
    OperationState,
    Owner,
    PlanWish,
    Progress,
    Seed,
    Stamp,
    removal,
)
from vmclone_operator.domain.source_values import (
    Consistency,
    DiskInfo,
    Finding,
    ImageInfo,
    Power,
    Resource,
    Shape,
    SourceInfo,
)

Wake = Callable[[str], None]
"""Called from any thread with an incarnation when its VM changed; an empty string means: any may have."""

Fence = Callable[[], None]
"""Raises `LeadershipLost` when this operator may no longer write; called before every provider write."""


class BackendSession(Protocol):
    """One authenticated connection to a backend. Every method is safe to call twice."""

    async def check(self, pool: str = "") -> BackendInfo:
        """Prove that the backend answers and accepts us; what it can do is told as it is for clones in this pool.

        Whether clones can be linked may depend on the storage (Proxmox VE). Empty: the backend's own pool.
        """

    async def describe_source(self, name: str) -> SourceInfo:
        """Find a source by name or id; raises SourceNotFound, also when two match."""

    async def describe_image(self, name: str) -> ImageInfo:
        """Find a golden image for mode Clean by name; raises ImageNotFound."""

    async def preflight(self, source: SourceInfo, wish: PlanWish) -> Sequence[Finding]:
        """Return every reason why this source cannot be cloned so, in sentences; empty when it can."""

    def resources(self, source: SourceInfo, wish: PlanWish) -> Sequence[Resource]:
        """Return what each clone is made of, where the backend bills for it; nothing is asked of anybody."""

    async def freeze(self, intent: FreezeIntent) -> Progress:
        """Take the point in time, copy it, and tell how that stands; called until it is DONE, or LOST.

        The point in time, its consistency and the fingerprint stand in `Progress.frozen` as soon as it is taken: on
        libvirt with the first answer, on Proxmox VE at the end of the copy. Less than `intent.consistency` asks for is
        never a result: QuiesceFailed. A repeat adopts what this token has running; of a finished attempt it says DONE,
        of one that was interrupted LOST, and copies nothing: the caller releases the token and chooses a new one.
        How a copy failed that a person must see to is raised by the call that learns of it.

        A running guest's file systems are frozen by us for at most 5 seconds, at any kill point of the caller; a
        backend that freezes them by itself thaws them by itself. Raises SourceLocked while another job holds the
        source. With `image` the golden image is copied instead, and the source is not touched.
        """

    async def thaw(self, source_id: str) -> bool:
        """Thaw the guest's file systems if they are frozen; return whether they were."""

    async def release_frozen(self, owner: Owner, token: str, handle: str = "") -> Progress:
        """Remove a frozen point or what a lost attempt left of it; DONE once nothing is left.

        `handle`: what the ledger has of it; empty for one that no ledger knows. Raises FrozenPointInUse.
        """

    async def find_frozen(self, owner: Owner) -> Sequence[str]:
        """List the tokens of the frozen points, complete or not, that this owner left at the backend."""

    async def find_leftovers(self, instance: str, living: Collection[str]) -> Sequence[Leftover]:
        """List the files of an installation that belong to none of the living and that no VM uses.

        `living`: uids of VMClones and incarnations; what is theirs is passed over unseen, at no cost. Files of a
        clone count while there is no VM of that UUID, a frozen point while no disk stands on it.
        """

    async def find_clone(self, ref: CloneRef) -> ObservedClone | None:
        """Return the VM whose stamp has this instance and incarnation, as it is now; None when there is none.

        One or two reads, no guest traffic. It is asked at every pass of a replica.
        """

    async def find_clones(self, owner: Owner) -> Sequence[ObservedClone]:
        """List the VMs stamped for this owner; empty when there are none. No guest traffic.

        One bulk call, which may tell what was true a minute ago: what rests on it is looked at again by `find_clone`.
        """

    async def unstamped(self, ref: CloneRef) -> str:
        """Return the name of the VM that stands where the clone should and bears another stamp than its, or none.

        Empty when nothing stands there. Asked when `find_clone` has not found a clone that once was complete. A
        backend whose ids are used again (Proxmox VE) makes sure that it is the very VM, by its SMBIOS UUID.
        """

    async def start_clone(self, intent: CloneIntent) -> Progress:
        """Make the clone, quarantined, and tell how that stands; called until it is DONE. A repeat adopts what it made.

        DONE: the VM is there, with all its disks, and its external id in the answer. Of mode Disk its network links
        are down; where the backend can make a VM without starting it, it is off. Leftovers of other attempts of the
        same incarnation are removed first. Raises TargetConflict when a VM without our stamp holds the name or id.

        With `copy=FULL` the disks that the ledger knows to be finished come with each call; until the last one is in
        the ledger no VM is there: `find_clone` being None does not mean that it is missing. RetryLater (an earlier
        copy has yet to end) keeps the token. When the answer is LOST, the caller takes a new token and forgets what
        was finished, and the handle; it does so whenever the token changes, and changes it for no other reason than
        that and another frozen point. The frozen point stays until DONE.
        """

    async def set_power(self, ref: CloneRef, power: Power) -> None:
        """Switch the clone on or off; no effect when it already is."""

    async def set_source_power(self, source_id: str, power: Power) -> bool:
        """Switch a source on, or shut it down; return whether this call changed anything.

        Off may take several calls: a guest that answers is asked to shut down, and switched off after a limit.
        Raises SourceNotFound.
        """

    async def connect_network(self, ref: CloneRef) -> None:
        """Set the clone's links up, now and for every later boot."""

    async def guest_exec(self, ref: CloneRef, command: GuestCommand) -> GuestResult:
        """Run a short command in the clone's guest; raises AgentNotReady until the agent answers.

        Only where `Capabilities.guest` is EXEC; elsewhere CapabilityMissing.
        """

    async def guest_start(self, ref: CloneRef, task: GuestTask) -> None:
        """Have the clone's guest run a task, and return at once; nothing happens when this run was started before.

        The caller has the run's name in its ledger before. The run that it replaces is ended first. Raises RetryLater
        while another task is in the way. Only where `Capabilities.guest` is TASK; elsewhere CapabilityMissing.
        """

    async def guest_result(self, ref: CloneRef, run: str) -> GuestRun:
        """Tell how a run stands, with one read; ENDED without a result when it can not be known any more.

        ABSENT until it was started. Only where `Capabilities.guest` is TASK; elsewhere CapabilityMissing.
        """

    async def console_tail(self, ref: CloneRef) -> str:
        """Return what the clone's serial console said last in this boot, at most 8 KiB, as the guest wrote it.

        Asked when a boot is overdue. Empty where there is no console, where nothing was heard, or where that takes
        more than 2 seconds: that a clone is mute is never an error. Nothing is written to the console.
        """

    async def guest_addresses(self, ref: CloneRef) -> Sequence[str]:
        """Return the guest's own addresses, loopback and link-local left out; empty while it has none."""

    async def delete_clone(self, ref: CloneRef) -> Progress:
        """Remove the VM, its disks, seed and firmware variables; DONE once all of them are gone.

        Everything is found by the stamp alone, complete or not; the rest of the reference says where to look first.
        Raises OwnershipMismatch rather than touch an object under our name that does not carry exactly this stamp.
        """

    async def disown(self, ref: CloneRef) -> bool:
        """Take our mark off a clone, which is nobody's then; return whether a VM stands there without it.

        Its disks keep their names, and the frozen point below them can not be removed: FrozenPointInUse. False when
        there is no such VM. Raises OwnershipMismatch for one that carries another stamp.
        """

    async def close(self) -> None:
        """End the connection; running provider tasks go on."""


class ExecOnly:
    """For sessions whose guests answer commands at once: they run no tasks."""

    async def guest_start(self, ref: CloneRef, task: GuestTask) -> None:  # noqa: ARG002
        """Refuse: commands go by `guest_exec`."""
        raise CapabilityMissing(f"the task {task.name} can not be run: this backend answers commands at once")

    async def guest_result(self, ref: CloneRef, run: str) -> GuestRun:  # noqa: ARG002
        """Refuse: commands go by `guest_exec`."""
        raise CapabilityMissing(f"there is no task {run}: this backend answers commands at once")


class TaskOnly:
    """For sessions whose guests run tasks: they answer no commands."""

    async def guest_exec(self, ref: CloneRef, command: GuestCommand) -> GuestResult:  # noqa: ARG002
        """Refuse: tasks go by `guest_start`."""
        raise CapabilityMissing(f"the command {command.name} can not be run: this backend's guests run tasks")


class Unbilled:
    """For sessions of backends that bill nobody for a clone."""

    def resources(self, source: SourceInfo, wish: PlanWish) -> Sequence[Resource]:  # noqa: ARG002
        """Name nothing: a plan tells the bytes."""
        return ()


class Backend(Protocol):
    """A kind of backend: opens sessions."""

    async def open(self, config: BackendConfig, *, wake: Wake, fence: Fence) -> BackendSession:
        """Connect; raises BackendUnreachable, CredentialsInvalid."""


__all__ = [
    "Backend",
    "BackendConfig",
    "BackendInfo",
    "BackendSession",
    "Capabilities",
    "CloneIntent",
    "CloneRef",
    "Consistency",
    "DiskCopy",
    "DiskInfo",
    "ExecOnly",
    "Fence",
    "Finding",
    "FreezeIntent",
    "FrozenPoint",
    "GuestChannel",
    "GuestCommand",
    "GuestResult",
    "GuestRun",
    "GuestRunState",
    "GuestTask",
    "ImageInfo",
    "Leftover",
    "LeftoverKind",
    "Mode",
    "ObservedClone",
    "OperationState",
    "Owner",
    "PlanWish",
    "Power",
    "Progress",
    "Resource",
    "Seed",
    "Shape",
    "SourceInfo",
    "Stamp",
    "TaskOnly",
    "Unbilled",
    "Wake",
    "removal",
]
