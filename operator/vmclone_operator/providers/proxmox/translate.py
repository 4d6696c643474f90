"""What Proxmox VE says, in our words. The only module that knows its texts.

Nearly every refusal is a 500 whose reason phrase is the whole message, and a task that fails says the same sentences
in its exit status, minutes later. So a text is looked up once, here, and everybody else decides by its `Kind`:

    translate.kind(500, "VM is locked (clone)")  ->  Kind.LOCKED

The sentences were recorded from Proxmox VE 9.2 (pve-manager 9.2.11, qemu-server 9.2.6), a few from a
simulator of its API, which answers 404 and 409; the rest is by status.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum

from vmclone_operator.domain.errors import (
    AgentNotReady,
    BackendUnreachable,
    CloneError,
    CloneFailed,
    CredentialsInvalid,
    FrozenPointInUse,
    GuestAgentMissing,
    InsufficientSpace,
    LockLeftBehind,
    NotAuthorized,
    RetryLater,
    SourceLocked,
    SourceNotFound,
    TargetConflict,
)

_LONGEST = 400


class Kind(StrEnum):
    """What a refusal means to a client that clones."""

    NOT_KNOWN = "NotKnown"
    """401: no such token, or a wrong secret."""
    FORBIDDEN = "Forbidden"
    """403; also for a VM that is not there, where the token has no right on its id."""
    WRONG = "Wrong"
    """A request of ours that this release does not take."""
    TOO_LARGE = "TooLarge"
    DOWN = "Down"
    """The server, or the node behind it, does not answer."""
    NO_VM = "NoVM"
    TAKEN = "Taken"
    """A VM or container of that id is there."""
    LOCKED = "Locked"
    """`lock:` stands in the config."""
    LOCK_TIMEOUT = "LockTimeout"
    """Another task held the lock of a config or of a storage for too long."""
    CHANGED = "Changed"
    """The config is not what was read (digest)."""
    PROTECTED = "Protected"
    RUNNING = "Running"
    NOT_RUNNING = "NotRunning"
    CHILDREN = "Children"
    """Linked clones stand on the template's disks."""
    NO_AGENT = "NoAgent"
    AGENT_SILENT = "AgentSilent"
    AGENT_ERROR = "AgentError"
    STORAGE = "Storage"
    """A storage is missing, disabled, elsewhere, or cannot do it."""
    NO_SPACE = "NoSpace"
    VOLUME_GONE = "VolumeGone"
    NO_QUORUM = "NoQuorum"
    NO_TASK = "NoTask"
    IS_TEMPLATE = "IsTemplate"
    ROOT_ONLY = "RootOnly"
    """Only root@pam itself may set this key, whatever rights a token has."""
    STATE_CHANGED = "StateChanged"
    """The source was switched on or off between the question and the copy."""
    STOPPED = "Stopped"
    """Somebody stopped the task."""
    OTHER = "Other"


_BY_STATUS = {401: Kind.NOT_KNOWN, 403: Kind.FORBIDDEN, 429: Kind.DOWN, 501: Kind.WRONG, 506: Kind.WRONG}
_LEAST_DOWN = 502
_BY_TEXT = (
    (Kind.TOO_LARGE, r"for data too large"),
    (Kind.LOCK_TIMEOUT, r"can't lock file '[^']*' - got timeout|unable to acquire lock|got no worker upid"),
    (Kind.NO_VM, r"Configuration file '[^']*' does not exist|unable to find configuration file for VM"),
    (Kind.NO_VM, r"^(virtual machine|VM|VM \d+) (does not exist|not found)"),
    (Kind.TAKEN, r"config file already exists|(VM|CT) \d+ already exists|^VMID already exists"),
    (Kind.LOCKED, r"VM is locked \("),
    (Kind.CHANGED, r"checksum mismatch \(file change|configuration changed concurrently"),
    (Kind.PROTECTED, r"protection mode enabled"),
    (Kind.CHILDREN, r"still in use by linked clone"),
    (Kind.RUNNING, r"VM \d+ is running|VM \d+ already running|cannot delete a running virtual machine"),
    (Kind.NO_AGENT, r"No QEMU guest agent configured"),
    (Kind.AGENT_SILENT, r"QEMU guest agent is not running"),
    (Kind.AGENT_ERROR, r"Agent error:"),
    (Kind.NOT_RUNNING, r"VM \d+ (is )?not running"),
    (Kind.IS_TEMPLATE, r"if it's a template|convert a template to a template"),
    (Kind.NO_SPACE, r"No space left on device|Could not write zeros for preallocation|Could not resize image"),
    (Kind.STATE_CHANGED, r"unexpected state change"),
    (Kind.NO_QUORUM, r"no quorum"),
    (Kind.ROOT_ONLY, r"^only root can "),
    (Kind.VOLUME_GONE, r"volume '[^']*' does not exist|disk image '[^']*' does not exist"),
    (Kind.STORAGE, r"storage '[^']*' (does not exist|is disabled|is not available|does not support)|No such storage"),
    (Kind.STORAGE, r"(clone|snapshot|template) feature is not (supported|available)"),
    (Kind.NO_TASK, r"^(no such task|task does not exist)"),
    (Kind.STOPPED, r"interrupted by signal"),
    (Kind.DOWN, r"hostname lookup '[^']*' failed"),
)
_COMPILED = tuple((one, re.compile(pattern)) for one, pattern in _BY_TEXT)
_NO_POOL = re.compile(r"pool '[^']*' does not exist")
_FREEZE_FAILED = re.compile(r"fsfreeze-freeze' failed|skipping guest.*freeze|unable to freeze")


class Refused(Exception):  # noqa: N818 - named for what happened
    """An answer that is no success: what was asked, the status, the reason phrase, the parameters that are wrong."""

    def __init__(self, call: str, status: int, text: str, fields: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{call}: {status} {text}")
        self.call, self.status, self.text, self.fields = call, status, plain(text), dict(fields or {})
        self.kind = kind(status, text, self.fields)

    @property
    def not_there(self) -> bool:
        """Tell whether the server does not know the call at all: 501, or 404 of what only speaks the same API."""
        return self.status in {404, 501} and self.kind is not Kind.TOO_LARGE

    @property
    def words(self) -> str:
        """What the server said, parameters by name included."""
        named = "; ".join(f"{name}: {plain(text)}" for name, text in sorted(self.fields.items()))
        return f"{self.text} ({named})" if named else self.text


def kind(status: int, text: str, fields: Mapping[str, str] | None = None) -> Kind:
    """Return what an answer means; of a task's exit status (`status` 200) by its text alone."""
    said = [text, *(fields or {}).values()]
    if status in {401, 403}:
        return _BY_STATUS[status]
    for one, pattern in _COMPILED:
        if any(pattern.search(sentence) for sentence in said):
            return one
    if status >= _LEAST_DOWN and status not in _BY_STATUS:
        return Kind.DOWN
    return Kind.WRONG if status == 400 else _BY_STATUS.get(status, Kind.OTHER)  # noqa: PLR2004 - HTTP


def plain(text: str) -> str:
    """Return a server's or a guest's words on one line, without control characters, at most 400 of them."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}..."


def error(refused: Refused) -> CloneError:
    """Return a refusal as the contract's error."""
    return _error(refused.kind, f"Proxmox VE refuses {refused.call}: {refused.words}")


def task_error(what: str, exit_status: str) -> CloneError:
    """Return the end of a failed task as the contract's error."""
    return _error(kind(200, exit_status), f"{what} failed: {plain(exit_status)}")


_ERRORS: dict[Kind, tuple[type[CloneError], str]] = {
    Kind.NOT_KNOWN: (CredentialsInvalid, "check token-id and token-secret in the Secret, and the token's expiry"),
    Kind.FORBIDDEN: (NotAuthorized, "give the token's role that privilege on that path"),
    Kind.DOWN: (BackendUnreachable, ""),
    Kind.NO_VM: (SourceNotFound, ""),
    Kind.TAKEN: (TargetConflict, ""),
    Kind.LOCKED: (SourceLocked, ""),
    Kind.LOCK_TIMEOUT: (RetryLater, "another task holds the lock; tried again"),
    Kind.CHANGED: (RetryLater, "somebody else changed the VM in between; looked at again"),
    Kind.STATE_CHANGED: (RetryLater, ""),
    Kind.PROTECTED: (CloneFailed, "take its protection off: qm set VMID --protection 0"),
    Kind.RUNNING: (RetryLater, ""),
    Kind.NOT_RUNNING: (AgentNotReady, ""),
    Kind.CHILDREN: (FrozenPointInUse, ""),
    Kind.NO_AGENT: (GuestAgentMissing, "switch it on: qm set VMID --agent 1, and install qemu-guest-agent in it"),
    Kind.AGENT_SILENT: (AgentNotReady, ""),
    Kind.AGENT_ERROR: (AgentNotReady, ""),
    Kind.NO_SPACE: (InsufficientSpace, ""),
    Kind.NO_QUORUM: (RetryLater, "the cluster takes no changes until a majority of its nodes is back"),
    Kind.ROOT_ONLY: (CloneFailed, "only root@pam may change that key: take it off the source"),
}


def _error(of: Kind, message: str) -> CloneError:
    make, remedy = _ERRORS.get(of, (CloneFailed, ""))
    if of is Kind.FORBIDDEN and _NO_POOL.search(message):
        remedy = "make that pool (pveum pool add NAME), or name another proxmox.pool in a new CloneBackend"
    return make(f"{message}; {remedy}" if remedy else message)


def lock_left_behind(vmid: int, name: str = "") -> LockLeftBehind:
    """Return what to say of a VM that carries `lock: clone` although no task works on it."""
    return LockLeftBehind(
        f"VM {vmid}{f' ({name})' if name else ''} carries `lock: clone` and no task works on it: its worker died. We do"
        f" not break locks; on its node run: qm unlock {vmid} && qm destroy {vmid} --purge"
    )


def freeze_failed(line: str) -> bool:
    """Return whether a line of a clone task's log says that the guest's file systems were not frozen."""
    return _FREEZE_FAILED.search(line) is not None


def froze(line: str) -> bool:
    """Return whether a line of a clone task's log says that the agent was asked to freeze the file systems."""
    return "'guest-fsfreeze-freeze' command" in line


def mirrored(line: str) -> bool:
    """Return whether a line of a clone task's log says that a running VM's disk was copied."""
    return line.startswith("drive mirror is starting for ")


def not_removed(line: str) -> str:
    """Return the volume that a line of a destroy task's log says is still there; empty for other lines."""
    found = re.search(r"Could not remove disk '([^']+)'", line)
    return found[1] if found else ""


def clone_named(line: str) -> tuple[int, int] | None:
    """Return source and new id from the first line of a clone task's log."""
    found = re.fullmatch(r"creating a clone of VM (\d+) with ID (\d+)", line.strip())
    return (int(found[1]), int(found[2])) if found else None


def percent(line: str) -> int | None:
    """Return how much of one disk is copied by a line of a clone task's log."""
    found = re.search(r"transferred .* \((\d+)(?:\.\d+)?%\)", line)
    return int(found[1]) if found else None


def created_disk(line: str) -> bool:
    """Return whether a line of a clone task's log begins another disk."""
    return line.startswith(("create full clone of drive ", "create linked clone of drive "))
