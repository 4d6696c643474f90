"""How a VMClone may change: replicas replaced, removed, tried again, given up and expired."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from vmclone_operator.api.base import ApiModel, ShortText
from vmclone_operator.api.home import Duration


class RolloutSpec(ApiModel):
    """How replicas are made, replaced and removed."""

    max_in_flight: Annotated[int, Field(ge=1, le=100)] = 5
    """Replicas being made at the same time (default 5)."""
    update: Literal["OnDelete", "Recreate"] = "OnDelete"
    """What a changed template means for clones that exist. OnDelete (default): nothing, until their VMCloneReplica is
    deleted. Recreate: they are removed and made anew with all that is on them lost, highest ordinal first.
    """
    max_unavailable: Annotated[int, Field(ge=1, le=100)] = 1
    """Recreate: how many of the wanted replicas may be not ready at a time (default 1)."""
    scale_down: Literal["HighestOrdinal", "Newest", "Marked"] = "HighestOrdinal"
    """Which replicas go when fewer are wanted. HighestOrdinal (default). Newest: those made last. Marked: those
    with the annotation vmclone.dev/remove: "true" on their VMCloneReplica, then by highest ordinal.
    """


class RetrySpec(ApiModel):
    """How a step that failed is tried again, for each replica by itself; a freeze of the source, for all of them."""

    backoff: Duration = "15s"
    """Wait after the first failure, doubled after each one that follows (default 15s)."""
    max_backoff: Duration = "10m"
    """The longest wait (default 10m)."""
    max_attempts: Annotated[int, Field(ge=0, le=1000)] = 0
    """Failures in a row after which it waits for the annotation vmclone.dev/retry-at; 0 (default): never."""


class TimeoutsSpec(ApiModel):
    """How long a step may take before somebody is told that it should not have."""

    clone: Duration = "30m"
    """Making the clone's disks, from the moment it has a slot (default 30m); then CloneTimedOut."""
    boot: Duration = "10m"
    """From power-on to an answering agent and a finished boot (default 10m); then BootFailed or GuestAgentMissing."""


class DeletionSpec(ApiModel):
    """What becomes of a clone that is no longer wanted. One that never was ready is always removed."""

    on_delete: Literal["Delete", "Orphan"] = "Delete"
    """When the VMClone is deleted. Delete (default): VMs and disks go. Orphan: they stay and are nobody's."""
    on_scale_down: Literal["Delete", "Orphan"] = "Delete"
    """When fewer replicas are wanted: Delete (default) or Orphan."""


class LeftBehindStatus(ApiModel):
    """A replica that is scaled down and leaves its VM behind: written before it is deleted."""

    ordinal: Annotated[int, Field(ge=1, le=100)]
    """The replica's number."""
    uid: ShortText
    """The uid of its VMCloneReplica: a rebuild of the same number is another one."""
