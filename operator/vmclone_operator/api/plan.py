"""What is about to be done, told before it is done: the plan, and who lets it happen."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from vmclone_operator.api.base import ApiModel, ShortText, Text

_ATOMIC = {"x-kubernetes-list-type": "atomic"}


class PlanSpec(ApiModel):
    """Who lets the plan happen."""

    mode: Literal["Auto", "Manual", "DryRun"] = "Auto"
    """Auto (default): it is carried out at once. Manual: clones are made and removed once the annotation
    vmclone.dev/approved-plan has the hash in status.plan. DryRun: it is only told; nothing is ever made.
    """


class PlanAction(ApiModel):
    """One step of a plan."""

    op: ShortText
    """Create, Adopt or Delete."""
    replica: ShortText
    """The session of the replica."""
    why: ShortText
    """ScaleUp, ScaleDown, Missing, Replace, Expired or Unfinished; Found, of a VM that is adopted."""


class PlanResource(ApiModel):
    """What each clone is made of at a backend that bills it."""

    kind: ShortText
    """For example VirtualMachine, Disk or NetworkInterface."""
    size: ShortText = ""
    """For example Standard_D2s_v5, or Premium_LRS 32 GiB."""
    count: Annotated[int, Field(ge=1, le=1000)] = 1
    """How many of them a clone has."""


class PlanEstimate(ApiModel):
    """What the plan costs, roughly."""

    bytes: Annotated[int, Field(ge=0, le=2**62)] = 0
    """Bytes that will be written to storage."""
    seconds: Annotated[int, Field(ge=0, le=2**31)] = 0
    """Seconds until all replicas are ready."""
    resources: Annotated[tuple[PlanResource, ...], Field(max_length=32, json_schema_extra=_ATOMIC)] = ()
    """What each replica is made of, where the backend bills for it (Azure); empty elsewhere. Prices are not known."""


class PlanStatus(ApiModel):
    """What is about to be done, and what speaks against it."""

    hash: ShortText = ""
    """Names exactly this plan; empty when there is nothing to do."""
    actions: Annotated[tuple[PlanAction, ...], Field(max_length=200, json_schema_extra=_ATOMIC)] = ()
    """What is done for which replica."""
    estimate: PlanEstimate = PlanEstimate()
    """What it costs."""
    blockers: Annotated[tuple[Text, ...], Field(max_length=32, json_schema_extra=_ATOMIC)] = ()
    """Everything that speaks against it, found before anything is changed."""
