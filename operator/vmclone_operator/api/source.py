"""CloneSource: the owner's consent that a VM may be cloned, by whom and how. Cluster-scoped, admins write it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from vmclone_operator.api.base import AllowedNamespaces, ApiModel, Condition, NameRef, ShortText, cel, rules
from vmclone_operator.api.vmclone import PublicKey

_ATOMIC = {"x-kubernetes-list-type": "atomic"}
_BY_TYPE = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}


class VMRef(ApiModel):
    """The VM at the backend."""

    name: Annotated[str, Field(min_length=1, max_length=253)]
    """Name or UUID (libvirt). A name that matches two VMs is refused."""


class HomeSpec(ApiModel):
    """The home directory and its user."""

    user: Annotated[str, Field(min_length=1, max_length=32, pattern=r"^[a-z_][a-z0-9_-]*$")]
    """The user whose home it is; people log in to clones as this user."""
    authorized_keys: Annotated[tuple[PublicKey, ...], Field(max_length=32, json_schema_extra=_ATOMIC)] = ()
    """Public keys that may log in to clones whose VMClone names none."""


class SourceLimits(ApiModel):
    """How much of the source may be used."""

    max_clones: Annotated[int, Field(ge=0, le=10_000)] = 50
    """Clones of this source over all namespaces (default 50)."""
    max_replicas_per_clone: Annotated[int, Field(ge=0, le=100)] = 20
    """Replicas of one VMClone (default 20)."""


class CloneSourceSpec(ApiModel):
    """Consent: this VM may be cloned by these namespaces, in these modes, up to this many."""

    backend: Annotated[
        NameRef,
        Field(
            json_schema_extra=rules(
                cel("self == oldSelf", "backend is immutable; create another CloneSource for another backend")
            )
        ),
    ]
    """The CloneBackend that holds the VM. Immutable."""
    vm: Annotated[
        VMRef,
        Field(
            json_schema_extra=rules(
                cel("self == oldSelf", "vm is immutable; create another CloneSource for another VM")
            )
        ),
    ]
    """The VM. Immutable."""
    modes: Annotated[tuple[Literal["Disk"], ...], Field(min_length=1, max_length=2, json_schema_extra=_ATOMIC)]
    """How it may be cloned; the first is the default."""
    home: HomeSpec | None = None
    """The home directory and its user."""
    limits: SourceLimits = SourceLimits()
    """How much of the source may be used."""
    allowed_namespaces: AllowedNamespaces | None = None
    """Which namespaces may clone it. Absent: nobody."""


class CloneSourceStatus(ApiModel):
    """What is known of the source."""

    observed_generation: Annotated[int, Field(ge=-1, le=2**53, json_schema_extra={"server_default": True})] = -1
    """The generation of the spec that this status speaks about; -1 means not seen yet."""
    fingerprint: ShortText = ""
    """sha256 over what makes the source this source: id, disks, sizes."""
    power: ShortText = ""
    """On or Off."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=8, json_schema_extra=_BY_TYPE)] = ()
    """Ready: the VM was found and can be cloned."""
