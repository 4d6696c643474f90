"""What is said between the engine and a backend: frozen values, the same for every provider."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from vmclone_operator.domain.source_values import AS_THE_SOURCE, Consistency, Power, Shape


class Mode(StrEnum):
    """What a clone starts from."""

    DISK = "Disk"
    """The source's own disks at a frozen point."""
    CLEAN = "Clean"
    """A golden image; the source gives the shape, and a copy of its home."""


class DiskCopy(StrEnum):
    """How a clone's disks come from the frozen point."""

    LINKED = "Linked"
    """Copy-on-write overlays on it."""
    FULL = "Full"
    """Copies of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Whose objects are meant: everything of one operator, one VMClone, or one incarnation."""

    instance: str
    vmclone_uid: str = ""
    incarnation: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """Our mark on a provider object; compared live before anything is destroyed."""

    instance: str
    """The operator installation: the uid of its namespace."""
    namespace: str
    vmclone: str
    vmclone_uid: str
    ordinal: int
    incarnation: str
    """The uid of the VMCloneReplica: a rebuilt replica has another."""

    def belongs_to(self, owner: Owner) -> bool:
        """Return whether an object with this stamp is one of the owner's."""
        return (
            self.instance == owner.instance
            and owner.vmclone_uid in ("", self.vmclone_uid)
            and owner.incarnation in ("", self.incarnation)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CloneRef:
    """How a clone is named to its backend. Only the stamp decides; the rest says where to look first."""

    stamp: Stamp
    vm_name: str = ""
    """The VM's name, computed anew from the replica (Azure finds by it); empty where nobody knows it any more."""
    handle: str = ""
    """The newest handle that `start_clone` gave and the ledger kept (Proxmox VE: the VMID); may be out of date."""
    made: bool = False
    """The ledger says that it was complete once: a VM with its stamp is that clone, whatever became of it since."""


class GuestChannel(StrEnum):
    """How commands reach a clone's guest."""

    EXEC = "Exec"
    """Answered within seconds, any number of them (`guest_exec`)."""
    TASK = "Task"
    """Started, and asked about later; one at a time, 20 seconds each at the least (`guest_start`, `guest_result`)."""
    NONE = "None"


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a backend can do; the plan refuses what is missing before the first call."""

    modes: frozenset[Mode] = frozenset(Mode)
    linked: bool = True
    full: bool = True
    freeze_running: bool = True
    """Whether a source can be frozen while it runs."""
    quiesce: bool = True
    """Whether the file systems of a running source can be held still for it."""
    sizes: bool = False
    """Whether a VM has a size by name, in place of CPUs and memory."""
    guest: GuestChannel = GuestChannel.EXEC
    look_seconds: float = 0
    """The least time between two looks at one VM or task: a floor of every wait (Azure 10, Proxmox VE 3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendInfo:
    """What `check` learned: the backend answers, accepts us, and is of this version."""

    version: str
    capabilities: Capabilities


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanWish:
    """What is to be made of a source, for the preflight: everything that a backend could refuse."""

    replicas: int
    pool: str = ""
    """Where the clones' disks go; empty: the backend's own pool."""
    full: bool = False
    """Their disks are copies of their own."""
    image: str = ""
    """Mode Clean: what is copied in the source's place."""
    agent: bool = False
    """The guest must answer, or a clone of it can not get an identity."""
    shape: Shape = AS_THE_SOURCE
    """What differs from the source; its networks are what the clones hang on in place of the source's."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """What users call their clones, for a backend that shows it beside what is billed."""
    user: str = ""
    """Mode Clean: the account that is made in the clones; empty: none is asked for."""
    consistency: Consistency | None = None
    """What a frozen point of a source that runs must be; None: it is off by then, or is not frozen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FreezeIntent:
    """A frozen point we promised to make; stored in VMClone status before the call."""

    token: str
    """This attempt; part of every file name it makes, so a lost attempt is never taken for a new one."""
    instance: str
    vmclone_uid: str
    source_id: str
    consistency: Consistency
    """The least that is acceptable; the backend reports what it achieved."""
    image: str = ""
    """Mode Clean: the golden image that is copied; the source is not touched."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """See `PlanWish.labels`."""
    handle: str = ""
    """The newest handle of this attempt that the ledger has; see `Progress.handle`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrozenPoint:
    """A point-in-time image of a source's disks, ours, read-only, shared by replicas."""

    token: str
    vmclone_uid: str
    source_id: str
    fingerprint: str
    consistency: Consistency
    allocated_bytes: int
    frozen_time: str = ""
    """When the point in time was taken (RFC 3339, UTC); empty: about when the engine learned of it."""
    borrowed: bool = False
    """An administrator's image or template, used as it is: nothing was copied, and nothing is to be removed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seed:
    """What cloud-init finds in the clone (NoCloud). Rebuilt for each clone, never copied from the source."""

    instance_id: str
    hostname: str
    user: str = ""
    """Mode Clean: the account that cloud-init makes, with these keys and sudo as the image has it."""
    authorized_keys: tuple[str, ...] = ()
    host_key: str = field(default="", repr=False)
    """Mode Clean: the ed25519 host key in OpenSSH's private format; never logged."""
    host_public_key: str = ""
    extra: Mapping[str, object] = field(default_factory=dict, repr=False)
    """Mode Clean: the user's own cloud-config, parsed; ours goes before it wherever both speak."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CloneIntent:
    """A clone we promised to make; stored in VMCloneReplica status before any call.

    All but `token` and `frozen_token` is recomputed from the replica's own object at every pass.
    """

    stamp: Stamp
    token: str
    """This attempt; part of every volume name it makes."""
    vm_name: str
    uuid: str
    """The VM's UUID, also its SMBIOS UUID: systemd derives the new machine-id from it. MACs: `naming.mac_address`."""
    source_id: str
    frozen_token: str
    seed: Seed
    source_name: str = ""
    """What its CloneSource calls the source's VM, where the clone is made on the source's own host. Empty on another
    one: `source_id` is the id of nothing there, or of somebody else's VM."""
    mode: Mode = Mode.DISK
    """Clean: the frozen point is one of an image; links are up at the first boot, for cloud-init needs them."""
    copy: DiskCopy = DiskCopy.LINKED
    pool: str = ""
    """Where the clone's disks go; empty: the backend's own pool."""
    shape: Shape = AS_THE_SOURCE
    """What differs from the source."""
    finished: tuple[str, ...] = ()
    """Full: the disks that the ledger knows to be complete for this token; they are not copied again."""
    made_from: str = ""
    """What it is a clone of, in words that stand beside the stamp for whoever finds the VM later."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """See `PlanWish.labels`; nothing is decided by them."""
    handle: str = ""
    """The newest handle of this attempt that the ledger has; see `Progress.handle`."""
    frozen_handle: str = ""
    """The handle of the frozen point that it is made from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedClone:
    """A provider VM that carries a stamp of ours, as it is now."""

    stamp: Stamp
    token: str
    external_id: str
    vm_name: str
    complete: bool
    """False while a disk is still being made."""
    power: Power
    connected: bool
    """True when the network links are up; a quarantined clone has them down."""
    agent: bool
    """True when the guest agent's channel is connected."""
    shape: Shape = AS_THE_SOURCE
    """What it has now; to be compared with what was asked for."""
    made_from: str = ""
    """What its intent said that it is a clone of."""
    own_disks: tuple[str, ...] = ()
    """Its writable disks as its guest can know them, while it runs: PCI slots from the root (`02.3/00.0`), `*` for
    one that has no such way. Empty: the backend cannot tell."""


class OperationState(StrEnum):
    """How a long provider task stands."""

    RUNNING = "Running"
    DONE = "Done"
    LOST = "Lost"
    """Nothing runs and nothing proves completion: what the attempt left must go, and a new one start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One step on in something long, and how it stands.

    A call that must remember something before it writes answers RUNNING with a handle and writes nothing: on Proxmox
    VE the first `freeze` says `9101`, the VMID that it has chosen; the engine keeps that in status, and the second
    call, which gets it back, makes the VM of that id. What a call has written under one handle is adopted by a repeat
    with the same handle, for a reply can be lost.
    """

    state: OperationState
    percent: int = 0
    frozen: FrozenPoint | None = None
    """A freeze: set once the point in time is taken, while bytes may still be copied; always set when it is done."""
    finished: tuple[str, ...] = ()
    """Full: the disks that are complete, to be put into the ledger."""
    handle: str = ""
    """What the next call must know, at most 512 characters; kept in the ledger before it. Empty: as it was."""
    again_seconds: float = 0
    """It is not worth asking earlier."""
    message: str = ""
    """What it waits for, for people."""
    external_id: str = ""
    """A clone: the VM's id at the backend, once there is one."""

    @property
    def done(self) -> bool:
        """Return whether nothing is left to do."""
        return self.state is OperationState.DONE


def removal(*, gone: bool) -> Progress:
    """Return the answer of a removal that can only say whether everything is gone."""
    return Progress(state=OperationState.DONE if gone else OperationState.RUNNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestCommand:
    """A constant POSIX shell script of ours; everything variable travels on its standard input."""

    name: str
    script: str
    stdin: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestResult:
    """What a guest command answered; output is cut at 64 KiB."""

    exit_code: int
    stdout: str
    stderr: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestTask:
    """A script of ours that a guest runs by itself while we ask now and then how it stands."""

    run: str
    """The name of this run: a digest of script, input and attempt. The same run is never started twice."""
    name: str = ""
    """What it does, in a word."""
    script: str
    stdin: str = ""
    limit_seconds: int = 900
    replaces: str = ""
    """A run that nobody waits for any more: it is ended first, should it still be there and be in the way."""


class GuestRunState(StrEnum):
    """How a guest task stands."""

    ABSENT = "Absent"
    """Never started, or forgotten: it may be started."""
    RUNNING = "Running"
    ENDED = "Ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestRun:
    """The answer of `guest_result`."""

    state: GuestRunState
    result: GuestResult | None = None
    """Set when it ended. Of each output there may be only the last 4 KiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendConfig:
    """One CloneBackend as an adapter needs it: its own block of the spec, and the files of its Secret."""

    name: str
    settings: Mapping[str, object]
    """The block under `spec.<provider>`, as written in the manifest."""
    credentials: Mapping[str, bytes] = field(default_factory=dict)
    """The data of the credentials Secret by key. Never logged."""
    secret: str = ""
    """The name of that Secret; empty when `spec.credentials` names none. One that is there may be empty."""
