"""How a clone's disks are made: wished by the user, kept by each replica, told in status."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from vmclone_operator.api.base import ApiModel, ShortText

Pool = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class ReplicaDiskSpec(ApiModel):
    """What a replica keeps of the wish for its disks: a later change does not reach it."""

    copy_: Annotated[Literal["Auto", "Linked", "Full"], Field(alias="copy")] = "Auto"
    """Linked: copy-on-write overlays on one frozen point, which stays as long as they do. Full: copies of their own.
    Auto (default): Linked where the backend can, else Full, and status.copy says why. Linked and Full never change.
    """
    pool: Pool | None = None
    """Where the clones' disks go (libvirt: a directory pool). Default: the backend's own."""


class DiskSpec(ReplicaDiskSpec):
    """How the clones' disks are made."""

    consistency: Literal["Quiesced", "CrashConsistent", "PoweredOff"] = "Quiesced"
    """The least the frozen point must be: Quiesced (default), CrashConsistent or PoweredOff."""


class CopyStatus(ApiModel):
    """How disks are really made."""

    requested: ShortText = ""
    """What the spec asked for."""
    actual: ShortText = ""
    """What is done: Linked or Full."""
    fallback_reason: ShortText = ""
    """Why Auto does not take Linked."""
