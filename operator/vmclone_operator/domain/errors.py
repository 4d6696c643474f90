"""Everything a backend may fail with, in the words of the user.

Two kinds only, because a pass can do two things: try again later, or wait for a person. Anything
else that is raised is a bug and stays loud. `LeadershipLost` is neither: the backend did not fail, this operator
must not write any more. Nothing that handles a CloneError catches it, so it ends the pass without a word on the object.

* CloneError
  x RetryLater              the backend is busy or away; try again after `retry_after`
    + BackendUnreachable    no connection, or it broke
    + AgentNotReady         the guest does not answer (yet)
    + SourceLocked          the source is busy with another job
    + FrozenPointInUse      disks still stand on the frozen point that is to be removed
    + AdmissionUnavailable  a webhook that the API server must ask does not answer
  x ActionNeeded            a person must change something; retrying alone cannot help
    + SourceNotFound        no such VM, or the name matches two
    + ImageNotFound         no such golden image, or one that cannot be used
    + SourceUnhealthy       the source cannot be cloned as it is
    + SourceExposed         a clone could write to something of its source's, and stays off
    + SourceChanged         the source started, stopped or was renamed while it was copied
    + TargetConflict        a VM that is not ours holds our name or id
    + OwnershipMismatch     an object we would destroy carries no stamp of ours
    + InsufficientSpace     the storage has too little room
    + CapabilityMissing     this backend cannot do what the spec asks
    + QuiesceFailed         the guest's file systems could not be frozen safely
    + GuestAgentMissing     the guest has no agent, or it refuses commands
    + CredentialsInvalid    the backend refuses our credentials
    + NotAuthorized         the backend knows us, and does not allow us to do it
    + LockLeftBehind        a lock at the backend that no task holds any more; we break none
    + PreflightFailed       the source or the backend is not fit for it; all findings at once
    + UserUnknown           keys are to be installed, and nobody says for whom
    + CloneFailed           the backend refused the operation
    + RequestRefused        the API server refuses what we ask of it
      - QuotaExceeded       a ResourceQuota of the namespace is used up
      - AdmissionDenied     a policy or a webhook of the cluster forbids it
      - RightsMissing       the operator's roles do not allow it
      - NamespaceTerminating  nothing can be made in a namespace that is being deleted
      - NameTaken           an object of that name is there, and is not this VMClone's
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import ClassVar, Self

_NAMED = 3
"""How many disks a message names."""


class CloneError(Exception):
    """Base class. `reason` goes to the condition, `str(error)` to its message."""

    reason: ClassVar[str] = "CloneFailed"


class LeadershipLost(Exception):  # noqa: N818  - named for what happened
    """Another operator may lead by now; no write may follow. `reason` is the code that it is counted by."""

    reason: ClassVar[str] = "LeadershipLost"


class RetryLater(CloneError):  # noqa: N818  - named for what the engine does with it
    """The cause goes away by itself; `retry_after` is the least wait."""

    reason = "BackendBusy"

    def __init__(self, message: str, *, retry_after: timedelta = timedelta(seconds=10)) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class BackendUnreachable(RetryLater):
    """No connection to the backend, or it broke in the middle of a call."""

    reason = "BackendUnreachable"


class AgentNotReady(RetryLater):
    """The guest agent does not answer (yet)."""

    reason = "AgentNotReady"

    def __init__(self, message: str, *, retry_after: timedelta = timedelta(seconds=2)) -> None:
        super().__init__(message, retry_after=retry_after)


class SourceLocked(RetryLater):
    """Another job (a backup, a migration, another freeze) holds the source."""

    reason = "SourceLocked"


class FrozenPointInUse(RetryLater):
    """Disks still stand on the frozen point; where they are an orphan's, it stays as long as they do."""

    reason = "HeldBy"

    @classmethod
    def by(cls, disks: Sequence[str]) -> Self:
        """Return the error that names what stands on the frozen point, the first few of many."""
        more = f" and {len(disks) - _NAMED} more" if len(disks) > _NAMED else ""
        return cls(f"the frozen point is still the base of {', '.join(disks[:_NAMED])}{more}")


class AdmissionUnavailable(RetryLater):
    """A webhook with `failurePolicy: Fail` does not answer, so the API server lets nothing through."""

    reason = "AdmissionUnavailable"


class ActionNeeded(CloneError):  # noqa: N818  - named for what the engine does with it
    """A person must change something before a retry can succeed."""


class SourceNotFound(ActionNeeded):
    """No VM of that name exists at the backend, or two match."""

    reason = "SourceNotFound"


class ImageNotFound(ActionNeeded):
    """No golden image of that name exists at the backend, or it cannot be cloned."""

    reason = "ImageNotFound"


class SourceUnhealthy(ActionNeeded):
    """The source cannot be cloned as it is; the message says what to change."""

    reason = "SourceUnhealthy"


class SourceExposed(ActionNeeded):
    """A clone's definition names something of its source's that it could write to; it is not switched on."""

    reason = "SourceExposed"


class SourceChanged(ActionNeeded):
    """The source was started, stopped, renamed or replaced while it was copied."""

    reason = "SourceChanged"


class TargetConflict(ActionNeeded):
    """A VM that is not ours holds a name, UUID or MAC that the clone needs; it is left alone."""

    reason = "TargetConflict"


class OwnershipMismatch(ActionNeeded):
    """The object that would be destroyed does not carry our stamp; it is left alone."""

    reason = "OwnershipMismatch"

    def __init__(self, message: str, *, instance: str = "") -> None:
        super().__init__(message)
        self.instance = instance
        """The instance whose stamp the very clone carries, if that is all that differs."""


class InsufficientSpace(ActionNeeded):
    """The storage has too little room, 15 % margin included."""

    reason = "InsufficientSpace"


class CapabilityMissing(ActionNeeded):
    """The backend cannot do what the spec asks."""

    reason = "CapabilityMissing"


class QuiesceFailed(ActionNeeded):
    """The guest's file systems could not be frozen, or not safely."""

    reason = "QuiesceFailed"


class GuestAgentMissing(ActionNeeded):
    """The guest runs no agent, or its agent refuses the commands we need."""

    reason = "GuestAgentMissing"


class CredentialsInvalid(ActionNeeded):
    """The backend refuses our credentials, or they are missing."""

    reason = "CredentialsInvalid"


class NotAuthorized(ActionNeeded):
    """The backend knows our credentials and does not allow what we ask; the message names right and object."""

    reason = "NotAuthorized"


class LockLeftBehind(ActionNeeded):
    """A task at the backend died and left its lock; only an administrator of the backend can take it off."""

    reason = "LockLeftBehind"


class PreflightFailed(ActionNeeded):
    """The source or the backend is not fit to be cloned; the message has all findings."""

    reason = "Blocked"


class UserUnknown(ActionNeeded):
    """Public keys are to be installed in the clone, and the CloneSource names no user."""

    reason = "UserUnknown"


class KeyMalformed(ActionNeeded):
    """What is to be installed in the clone as a public key is none."""

    reason = "KeyMalformed"


class CloneFailed(ActionNeeded):
    """The backend refused the operation; its words are in the message."""

    reason = "CloneFailed"


class RequestRefused(ActionNeeded):
    """The API server refuses what we ask of it; its own sentence is in the message."""

    reason = "RequestRefused"


class QuotaExceeded(RequestRefused):
    """A ResourceQuota of the namespace leaves no room."""

    reason = "QuotaExceeded"


class AdmissionDenied(RequestRefused):
    """A ValidatingAdmissionPolicy, a webhook or a LimitRange of the cluster forbids it."""

    reason = "AdmissionDenied"


class RightsMissing(RequestRefused):
    """The operator's roles do not allow it."""

    reason = "RightsMissing"


class NamespaceTerminating(RequestRefused):
    """Nothing can be made in a namespace that is being deleted."""

    reason = "NamespaceTerminating"


class NameTaken(RequestRefused):
    """An object of the name that is needed exists and belongs to somebody else."""

    reason = "NameTaken"
