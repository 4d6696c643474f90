"""Where backends differ by their nature, and the contract says so; whoever says nothing keeps files on one host."""

from __future__ import annotations

from dataclasses import dataclass

from vmclone_operator.domain.backend import OperationState


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What a test must know of a site to ask the right thing."""

    events: bool = True
    """The backend tells by itself that a VM changed; else the engine's own round finds it."""
    unique: frozenset[str] = frozenset({"name", "uuid"})
    """Which of these no two VMs share, or are looked for before one is made."""
    half_made: OperationState = OperationState.LOST
    """What becomes of the half that `leave_frozen_file` leaves: a server that copies by itself has finished it."""
    console: bool = True
    """What a guest writes to its serial console can be read."""
    orphaned_disks: bool = True
    """A disk stays, and says whose it is, when its VM is removed."""
