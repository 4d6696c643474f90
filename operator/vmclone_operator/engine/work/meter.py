"""What the work queue tells whoever measures it, so that the engine counts without knowing how counts are shown."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from vmclone_operator.domain.home_copy import CopyJobView
    from vmclone_operator.kube.cluster import Key


class Outcome(Enum):
    """How a pass ended."""

    SUCCESS = "success"
    REQUEUE_AFTER = "requeue_after"
    """It wants to look again after a while."""
    ERROR = "error"
    """It could not finish for a cause it has reported."""
    TIMEOUT = "timeout"
    BUG = "bug"


class Meter(Protocol):
    """Is told what happens to each key."""

    def added(self, key: Key) -> None:
        """Note that a key begins to wait for a worker."""

    def started(self, key: Key) -> None:
        """Note that a worker takes the key."""

    def ended(self, key: Key, outcome: Outcome) -> None:
        """Note that the pass of the key is over."""

    def retried(self, key: Key) -> None:
        """Note that a key backs off before it is tried again."""


class CopyMeter(Protocol):
    """Is told of every home copy that ended, once its end is recorded."""

    def copy_ended(self, backend: str, copy: CopyJobView) -> None:
        """Note how an attempt to copy a home to a clone at this backend ended."""


class ReadyMeter(Protocol):
    """Is told when a VMClone has all its clones for the first time."""

    def became_ready(self, backend: str, mode: str, seconds: float) -> None:
        """Note how long that took from the VMClone's creation."""


class NoMeter:
    """Measures nothing."""

    def added(self, key: Key) -> None:
        """Do nothing."""

    def started(self, key: Key) -> None:
        """Do nothing."""

    def ended(self, key: Key, outcome: Outcome) -> None:
        """Do nothing."""

    def retried(self, key: Key) -> None:
        """Do nothing."""

    def copy_ended(self, backend: str, copy: CopyJobView) -> None:
        """Do nothing."""

    def became_ready(self, backend: str, mode: str, seconds: float) -> None:
        """Do nothing."""
