"""VMClone: the wish. Users write its spec, the VMClone pass alone writes its status."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from vmclone_operator.api.base import (
    SESSION_PATTERN,
    ApiModel,
    Condition,
    NameRef,
    ShortText,
    Timestamp,
    cel,
    rules,
)

_ATOMIC = {"x-kubernetes-list-type": "atomic"}


def _map_list(key: str) -> dict[str, object]:
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}


def _kept(field: str, meaning: str) -> dict[str, str]:
    """Return the parent rule that makes an optional field immutable: it cannot come, go or change."""
    return cel(
        f"has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || self.{field} == oldSelf.{field})",
        f"{field} is immutable: {meaning}; delete this VMClone and create another one",
    )


class SourceRef(ApiModel):
    """What is cloned."""

    name: Annotated[str, Field(min_length=1, max_length=253)]
    """Name of a CloneSource that is granted to this namespace."""


class DiskSpec(ApiModel):
    """How disks are cloned in mode Disk."""

    copy_: Annotated[Literal["Auto", "Linked"], Field(alias="copy")] = "Auto"
    """Auto or Linked. Linked: copy-on-write overlays on one frozen point. Auto (default): the fastest that is safe."""
    consistency: Literal["Quiesced", "CrashConsistent", "PoweredOff"] = "Quiesced"
    """The least the frozen point must be: Quiesced (default), CrashConsistent or PoweredOff."""


PublicKey = Annotated[
    str,
    Field(
        min_length=16,
        max_length=8192,
        pattern=r"^(ssh-(ed25519|rsa)|ecdsa-sha2-nistp(256|384|521)) [A-Za-z0-9+/=]+( [^\n\r]*)?$",
    ),
]


class AccessSpec(ApiModel):
    """Who may log in to the clones."""

    authorized_keys: Annotated[tuple[PublicKey, ...], Field(max_length=32, json_schema_extra=_ATOMIC)] = ()
    """Public SSH keys, one a line as in authorized_keys. Default: those of the CloneSource."""


class RolloutSpec(ApiModel):
    """How many replicas change at once."""

    max_in_flight: Annotated[int, Field(ge=1, le=100)] = 5
    """Replicas being made at the same time (default 5)."""


class VMCloneSpec(ApiModel):
    """What is wanted: N clones of one source. The operator never writes it."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            _kept("sessionPrefix", "sessions keep their names for the life of the VMClone"),
            _kept("backend", "clones do not move between backends"),
            _kept("mode", "a clone's mode decides what is in it"),
        )
    )

    source: Annotated[
        SourceRef,
        Field(
            json_schema_extra=rules(
                cel(
                    "self == oldSelf",
                    "source is immutable: clones belong to one source; delete this VMClone and create another one",
                )
            )
        ),
    ]
    """What is cloned. Immutable."""
    replicas: Annotated[int, Field(ge=0, le=100, json_schema_extra={"server_default": True})] = 1
    """How many clones are wanted, 0 to 100."""
    session_prefix: Annotated[str | None, Field(max_length=40, pattern=SESSION_PATTERN)] = None
    """Sessions are named <prefix>-1, <prefix>-2, ...; a single one is <prefix>. Immutable.

    Default: the object's name.
    """
    backend: NameRef | None = None
    """The CloneBackend to clone on. Default: the source's own. Immutable."""
    mode: Literal["Disk"] | None = None
    """Disk: the source's disk at one frozen point, with a new identity. Immutable.

    Default: the first mode the source allows.
    """
    paused: bool = False
    """Stops creating and updating; never deletion."""
    disk: DiskSpec = DiskSpec()
    """How disks are cloned in mode Disk."""
    access: AccessSpec = AccessSpec()
    """Who may log in to the clones."""
    rollout: RolloutSpec = RolloutSpec()
    """How many replicas change at once."""


OBJECT_RULES = (
    cel(
        f"has(self.spec.sessionPrefix) || self.metadata.name.matches('{SESSION_PATTERN}')",
        "sessions are named after metadata.name unless spec.sessionPrefix is there: set it, for example to dev "
        "(at most 40 lowercase letters, digits and dashes, the first a letter)",
    ),
    cel(
        "size(self.metadata.name) <= 63",
        "metadata.name needs 63 characters or less: everything made for a VMClone carries it as a label",
    ),
)
"""CEL rules over the whole object."""


class SourceStatus(ApiModel):
    """The source as it was found."""

    id: ShortText = ""
    """The backend's own id of the source VM."""
    backend: ShortText = ""
    """The CloneBackend that holds it: needed to remove frozen points even when the CloneSource is gone."""
    fingerprint: ShortText = ""
    """sha256 over what makes the source this source: id, disks, sizes."""
    addresses: Annotated[tuple[ShortText, ...], Field(max_length=32, json_schema_extra=_ATOMIC)] = ()
    """Addresses of the source when it was frozen; no clone may have one of them."""


class FrozenPointStatus(ApiModel):
    """One point-in-time image of the source's disks: first the promise to make it, then the proof."""

    id: ShortText
    """Token of the attempt; part of every file name it made."""
    source_id: Annotated[ShortText, Field(alias="sourceID")]
    """The backend's own id of the source VM."""
    recorded_time: Timestamp
    """When the intent was recorded, before the source was touched."""
    deadline: Timestamp = ""
    """When the guest must be thawed at the latest; a pass that sees an open intent thaws first."""
    frozen_time: Timestamp = ""
    """The point in time that the image shows. Empty while the freeze is only intended."""
    completion_time: Timestamp = ""
    """When the image was complete. Empty while it is still copied."""
    fingerprint: ShortText = ""
    """Fingerprint of the source at that time."""
    consistency: ShortText = ""
    """Quiesced, CrashConsistent or PoweredOff: what was achieved."""
    bytes: Annotated[int, Field(ge=0, le=2**62)] = 0
    """Bytes the image holds on storage."""
    ordinals: Annotated[
        tuple[Annotated[int, Field(ge=1, le=100)], ...], Field(max_length=100, json_schema_extra=_ATOMIC)
    ] = ()
    """The replicas that were cloned from it."""


class SessionStatus(ApiModel):
    """The session of an ordinal: recorded once and kept, rebuilds included."""

    ordinal: Annotated[int, Field(ge=1, le=100)]
    """The replica's number."""
    session: ShortText
    """The clone's name for people."""


class CopyStatus(ApiModel):
    """How disks are really cloned."""

    requested: ShortText = ""
    """What the spec asked for."""
    actual: ShortText = ""
    """What is done."""


class ProgressStatus(ApiModel):
    """How far the whole VMClone is."""

    percent: Annotated[int, Field(ge=0, le=100)] = 0
    """0 to 100 over all wanted replicas."""


class ReplicaRow(ApiModel):
    """One replica, short; the VMCloneReplica has the rest. For people: do not program against `state`."""

    ordinal: Annotated[int, Field(ge=1, le=100)]
    """The replica's number."""
    name: ShortText
    """Name of the provider VM; empty until it is reserved."""
    session: ShortText
    """The clone's name for people."""
    state: ShortText
    """The step it is in, or Ready, Failed, Deleting."""
    address: ShortText = ""
    """Its first address."""
    percent: Annotated[int, Field(ge=0, le=100)] = 0
    """How far it is, 0 to 100."""
    reason: ShortText = ""
    """Why it is not ready."""
    message: Annotated[str, Field(max_length=256)] = ""
    """The same for people, cut at 256 characters."""


class VMCloneStatus(ApiModel):
    """What is. Written by the VMClone pass alone."""

    observed_generation: Annotated[int, Field(ge=-1, le=2**53, json_schema_extra={"server_default": True})] = -1
    """The generation of the spec that this status speaks about; -1 means not seen yet."""
    last_handled_reconcile_at: Annotated[str, Field(max_length=128)] = ""
    """Echo of the annotation vmclone.dev/reconcile-requested-at."""
    replicas: Annotated[int, Field(ge=0, le=1000)] = 0
    """Replicas that exist."""
    ready_replicas: Annotated[int, Field(ge=0, le=1000)] = 0
    """Replicas that are Ready."""
    failed_replicas: Annotated[int, Field(ge=0, le=1000)] = 0
    """Replicas that need a person or are between retries."""
    selector: ShortText = ""
    """Label selector of the replicas, for the scale subresource."""
    summary: ShortText = ""
    """One line for people."""
    mode: ShortText = ""
    """The mode in use."""
    source: SourceStatus = SourceStatus()
    """The source as it was found."""
    frozen_points: Annotated[
        tuple[FrozenPointStatus, ...], Field(max_length=16, json_schema_extra=_map_list("id"))
    ] = ()
    """Images of the source, intended, being copied, or complete."""
    sessions: Annotated[tuple[SessionStatus, ...], Field(max_length=100, json_schema_extra=_map_list("ordinal"))] = ()
    """The session of every ordinal that ever was."""
    copy_: Annotated[CopyStatus, Field(alias="copy")] = CopyStatus()
    """How disks are really cloned."""
    progress: ProgressStatus = ProgressStatus()
    """How far the whole VMClone is."""
    replica_statuses: Annotated[
        tuple[ReplicaRow, ...], Field(max_length=100, json_schema_extra=_map_list("ordinal"))
    ] = ()
    """One short row a replica."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16, json_schema_extra=_map_list("type"))] = ()
    """Ready, Reconciling, Stalled, SourceReady, Paused, Drifted, Deleting."""
