"""VMClone: the wish. Users write its spec, the VMClone pass alone writes its status."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from vmclone_operator.api.base import (
    SESSION_PATTERN,
    ApiModel,
    Condition,
    NameRef,
    ProviderID,
    ShortText,
    Timestamp,
    cel,
    rules,
)
from vmclone_operator.api.change import DeletionSpec, LeftBehindStatus, RetrySpec, RolloutSpec, TimeoutsSpec
from vmclone_operator.api.disk import CopyStatus, DiskSpec
from vmclone_operator.api.home import Duration, FilterStatus, HomeCopySpec, PublicKey
from vmclone_operator.api.plan import PlanSpec, PlanStatus
from vmclone_operator.api.replica import RetryStatus
from vmclone_operator.api.source_power import SourcePowerStatus
from vmclone_operator.api.template import IdentitySpec, TemplateSpec

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
    """What is cloned: exactly one of name and session."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "has(self.name) != has(self.session)",
                "source needs exactly one of name and session: the name of a CloneSource, or the session of a clone",
            )
        )
    )

    name: Annotated[str, Field(min_length=1, max_length=253)] = ""
    """Name of a CloneSource that is granted to this namespace."""
    session: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$")] = ""
    """A session of this namespace: its clone, once Ready, is the source. Its CloneSource must allow cloneOfClones."""


class AccessSpec(ApiModel):
    """Who may log in to the clones."""

    authorized_keys: Annotated[tuple[PublicKey, ...], Field(max_length=32, json_schema_extra=_ATOMIC)] = ()
    """Public SSH keys, one a line as in authorized_keys. Default: those of the CloneSource. A change reaches clones
    that exist: new keys are added, and those of ours that are not in the list any more are taken out.
    """


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
    mode: Literal["Disk", "Clean"] | None = None
    """Disk: the source's disk at one frozen point, its identity new. Clean: a fresh VM, the home copied. Immutable.

    Default: the first mode the source allows.
    """
    paused: bool = False
    """Stops creating and updating; never deletion."""
    disk: DiskSpec = DiskSpec()
    """How the clones' disks are made."""
    source_power: Literal["Keep", "StartForCopy", "StopForClone"] = "Keep"
    """What may be done to the source; it is always put back as it was. Keep (default): nothing. StartForCopy: a source
    that is off is started for home copies. StopForClone: one that runs is shut down while its disks are copied.
    """
    template: TemplateSpec = TemplateSpec()
    """What the clones are like, where that differs from the source."""
    home_copy: HomeCopySpec = HomeCopySpec()
    """How the home is carried over."""
    access: AccessSpec = AccessSpec()
    """Who may log in to the clones."""
    identity: IdentitySpec = IdentitySpec()
    """How sure one must be of a clone's identity."""
    rollout: RolloutSpec = RolloutSpec()
    """How replicas are made, replaced and removed."""
    retry: RetrySpec = RetrySpec()
    """How a step that failed is tried again."""
    timeouts: TimeoutsSpec = TimeoutsSpec()
    """How long a step may take."""
    deletion: DeletionSpec = DeletionSpec()
    """What becomes of clones that are no longer wanted."""
    plan: PlanSpec = PlanSpec()
    """Who lets things happen."""
    expire_after: Duration | None = None
    """This long after all replicas were ready, for example 72h, they are removed; this object stays. Default: never."""


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

    id: ProviderID = ""
    """The backend's own id of the source VM."""
    backend: ShortText = ""
    """The CloneBackend that holds it: needed to remove frozen points even when the CloneSource is gone."""
    clone_source: ShortText = ""
    """The CloneSource whose grants and limits apply; of a session, the one at its root."""
    fingerprint: ShortText = ""
    """sha256 over what makes the source this source: id, disks, sizes."""
    addresses: Annotated[tuple[ShortText, ...], Field(max_length=32, json_schema_extra=_ATOMIC)] = ()
    """Addresses of the source when it was frozen; no clone may have one of them."""


class FrozenPointStatus(ApiModel):
    """One point-in-time image of the source's disks: first the promise to make it, then the proof."""

    id: ShortText
    """Token of the attempt; part of every file name it made."""
    handle: ProviderID = ""
    """What the backend must know at its next call about this attempt; only the backend reads it."""
    borrowed: bool = False
    """An administrator's image or template, used as it is: nothing was copied, and nothing is removed."""
    source_id: Annotated[ProviderID, Field(alias="sourceID")]
    """The backend's own id of the source VM."""
    recorded_time: Timestamp
    """When the intent was recorded, before the source was touched."""
    deadline: Timestamp = ""
    """When the guest must be thawed at the latest; a pass that sees an open intent thaws first."""
    frozen_time: Timestamp = ""
    """The point in time that the image shows. Empty while the freeze is only intended."""
    completion_time: Timestamp = ""
    """When the image was complete. Empty while it is still copied."""
    release_time: Timestamp = ""
    """When its removal was decided: nothing is cloned from it any more."""
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


class ProgressStatus(ApiModel):
    """How far the whole VMClone is."""

    percent: Annotated[int, Field(ge=0, le=100)] = 0
    """0 to 100 over all wanted replicas."""
    eta_seconds: Annotated[int, Field(ge=0, le=2**31)] = 0
    """Seconds until the home copies that run are done, where that is known."""
    done_bytes: Annotated[int, Field(ge=0, le=2**62)] = 0
    """Bytes of homes that are on clones: of first copies that are done, and of what attempts that run carried over."""
    total_bytes: Annotated[int, Field(ge=0, le=2**62)] = 0
    """Bytes of those homes; of copies that are still to begin nobody knows them."""


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
    updated_replicas: Annotated[int, Field(ge=0, le=1000)] = 0
    """Replicas that were made from the template as it is now."""
    failed_replicas: Annotated[int, Field(ge=0, le=1000)] = 0
    """Replicas that need a person or are between retries."""
    ready_time: Timestamp = ""
    """When all wanted replicas were ready for the first time; expireAfter counts from it."""
    selector: ShortText = ""
    """Label selector of the replicas, for the scale subresource."""
    summary: ShortText = ""
    """One line for people."""
    mode: ShortText = ""
    """The mode in use."""
    source: SourceStatus = SourceStatus()
    """The source as it was found."""
    source_power: SourcePowerStatus | None = None
    """There while the source is switched for this VMClone."""
    frozen_points: Annotated[
        tuple[FrozenPointStatus, ...], Field(max_length=16, json_schema_extra=_map_list("id"))
    ] = ()
    """Images of the source, intended, being copied, or complete."""
    retry: RetryStatus | None = None
    """The freeze that failed last, until one is complete."""
    sessions: Annotated[tuple[SessionStatus, ...], Field(max_length=100, json_schema_extra=_map_list("ordinal"))] = ()
    """The session of every ordinal that ever was."""
    left_behind: Annotated[tuple[LeftBehindStatus, ...], Field(max_length=200, json_schema_extra=_map_list("uid"))] = ()
    """Replicas that are being scaled down and whose VMs stay."""
    copy_: Annotated[CopyStatus, Field(alias="copy")] = CopyStatus()
    """How disks are really made."""
    plan: PlanStatus = PlanStatus()
    """What is about to be done, and what speaks against it."""
    filter: FilterStatus = FilterStatus()
    """Which filter decides what home copies leave out."""
    progress: ProgressStatus = ProgressStatus()
    """How far the whole VMClone is."""
    replica_statuses: Annotated[
        tuple[ReplicaRow, ...], Field(max_length=100, json_schema_extra=_map_list("ordinal"))
    ] = ()
    """One short row a replica."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16, json_schema_extra=_map_list("type"))] = ()
    """Ready, Reconciling, Stalled, SourceReady, Planned, Paused, Drifted, Expired, Deleting."""
