"""CloneSource: the owner's consent that a VM may be cloned, by whom and how. Cluster-scoped, admins write it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from vmclone_operator.api.base import (
    AllowedNamespaces,
    ApiModel,
    Condition,
    Name,
    NameRef,
    ProviderID,
    ShortText,
    cel,
    rules,
)
from vmclone_operator.api.home import HomeSpec
from vmclone_operator.api.source_power import MOST_SWITCHED, SwitchedFor

_ATOMIC = {"x-kubernetes-list-type": "atomic"}
_BY_TYPE = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}


class VMRef(ApiModel):
    """The VM at the backend."""

    name: Annotated[str, Field(min_length=1, max_length=512)]
    """Name or UUID (libvirt); name, VMID or NODE/VMID (Proxmox VE); name or resource id (Azure). A name that matches
    two VMs is refused."""


class CloneImage(ApiModel):
    """What mode Clean starts from at one backend."""

    backend: Name
    """The CloneBackend. VMClones in mode Clean may go to every backend in this list."""
    volume: Annotated[
        str,
        Field(
            min_length=1, max_length=253, pattern=r"^[A-Za-z0-9][-A-Za-z0-9._+]*((:[A-Za-z0-9][-A-Za-z0-9._+]*){3})?$"
        ),
    ]
    """libvirt: the golden volume in the backend's pool. Azure: publisher:offer:sku:version; the version `latest` is
    resolved when a frozen point is taken."""


class ScrubSpec(ApiModel):
    """What is scrubbed in mode Disk beside the built-in scope."""

    paths: Annotated[
        tuple[
            Annotated[str, Field(min_length=4, max_length=1024, pattern=r"^/[^/*?\[\]\x00-\x1f]+(/[^/\x00-\x1f]+)+$")],
            ...,
        ],
        Field(max_length=64, json_schema_extra=_ATOMIC),
    ] = ()
    """Absolute patterns of files and folders that go, for example /srv/app/secrets/**; the first folder in full."""
    disable_units: Annotated[
        tuple[
            Annotated[
                str,
                Field(
                    max_length=255,
                    pattern=r"^[A-Za-z0-9@._:-]{1,200}\.(service|socket|timer|path|mount|automount|target|slice)$",
                ),
            ],
            ...,
        ],
        Field(max_length=64, json_schema_extra=_ATOMIC),
    ] = ()
    """systemd units that are stopped and masked before a clone is connected, for example gitlab-runner.service."""


class SourceLimits(ApiModel):
    """How much of the source may be used."""

    max_clones: Annotated[int, Field(ge=0, le=10_000)] = 50
    """Clones of this source over all namespaces (default 50)."""
    max_replicas_per_clone: Annotated[int, Field(ge=0, le=100)] = 20
    """Replicas of one VMClone (default 20)."""
    max_parallel_copies: Annotated[int, Field(ge=1, le=5)] = 5
    """Home copies that may read from the source at a time, over all VMClones (default and most: 5)."""


class CloneSourceSpec(ApiModel):
    """Consent: this VM may be cloned by these namespaces, in these modes, up to this many."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "!('Clean' in self.modes) || (has(self.images) && size(self.images) > 0)",
                "mode Clean needs images: write what it starts from, for example {backend: lab, volume: golden.qcow2}",
            ),
        )
    )

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
    modes: Annotated[tuple[Literal["Disk", "Clean"], ...], Field(min_length=1, max_length=2, json_schema_extra=_ATOMIC)]
    """How it may be cloned; the first is the default."""
    images: Annotated[
        tuple[CloneImage, ...],
        Field(
            max_length=16,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["backend"]},
        ),
    ] = ()
    """What mode Clean starts from, by backend."""
    home: HomeSpec | None = None
    """The home directory and its user."""
    allowed_source_power: Annotated[
        tuple[Literal["StartForCopy", "StopForClone"], ...], Field(max_length=2, json_schema_extra=_ATOMIC)
    ] = ()
    """What users may have done to the VM's power by spec.sourcePower. Empty (default): nothing, it stays as it is."""
    scrub: ScrubSpec = ScrubSpec()
    """What is scrubbed in mode Disk beside the built-in scope."""
    limits: SourceLimits = SourceLimits()
    """How much of the source may be used."""
    clone_of_clones: bool = False
    """Whether clones of it may be cloned themselves, as source.session of a VMClone (default false)."""
    allowed_namespaces: AllowedNamespaces | None = None
    """Which namespaces may clone it. Absent: nobody."""


class CloneSourceStatus(ApiModel):
    """What is known of the source."""

    observed_generation: Annotated[int, Field(ge=-1, le=2**53, json_schema_extra={"server_default": True})] = -1
    """The generation of the spec that this status speaks about; -1 means not seen yet."""
    id: ProviderID = ""
    """The backend's own id of the VM: copies from one VM queue, whatever names it has here."""
    fingerprint: ShortText = ""
    """sha256 over what makes the source this source: id, disks, sizes."""
    power: ShortText = ""
    """On or Off."""
    clones: Annotated[int, Field(ge=0, le=2**31)] = 0
    """Replicas that exist of it, over all namespaces."""
    active_copies: Annotated[int, Field(ge=0, le=2**31)] = 0
    """Home copies that read from it now."""
    queued_copies: Annotated[int, Field(ge=0, le=2**31)] = 0
    """Home copies that wait for their turn."""
    switched_for: Annotated[
        tuple[SwitchedFor, ...],
        Field(
            max_length=MOST_SWITCHED,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["vmCloneUID"]},
        ),
    ] = ()
    """The VMClones that its VM is switched on or off for now, and how it was before (spec.sourcePower)."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=8, json_schema_extra=_BY_TYPE)] = ()
    """Ready: the VM was found and can be cloned. Reachable: its backend answers. HomeAccess: the key for its home."""
