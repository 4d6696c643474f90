"""VMCloneReplica: one replica's intent ledger, steps and conditions. The operator alone writes it."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from vmclone_operator.api.base import UID_PATTERN, ApiModel, Condition, ProviderID, ShortText, Timestamp, cel, rules
from vmclone_operator.api.disk import ReplicaDiskSpec
from vmclone_operator.api.home import HomeCopyStatus
from vmclone_operator.api.template import TemplateSpec

_ATOMIC = {"x-kubernetes-list-type": "atomic"}


def _map_list(key: str) -> dict[str, object]:
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}


_Uid = Annotated[str, Field(min_length=1, max_length=64, pattern=UID_PATTERN)]


class AdoptedSpec(ApiModel):
    """Whose VM the replica goes on with: what the VM's stamp says, which stays as it is."""

    vm_clone_uid: Annotated[_Uid, Field(alias="vmCloneUID")]
    """The uid that its VMClone had when the VM was made."""
    incarnation: _Uid
    """The uid of the VMCloneReplica that the VM was made for; all names and ids of the VM are computed from it."""


class VMCloneReplicaSpec(ApiModel):
    """Which replica this is. Written once, when the operator makes it."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel("self == oldSelf", "the spec is immutable; remove this VMCloneReplica to have the replica rebuilt")
        )
    )

    ordinal: Annotated[int, Field(ge=1, le=100)]
    """The replica's number, from 1."""
    session: Annotated[str, Field(min_length=1, max_length=63)]
    """The clone's name for people."""
    vm_clone_uid: Annotated[_Uid, Field(alias="vmCloneUID")]
    """The uid of the VMClone it belongs to."""
    backend: Annotated[str, Field(min_length=1, max_length=253)]
    """The CloneBackend that holds the clone: needed to remove it even when its CloneSource is gone."""
    revision: Annotated[str, Field(max_length=16, pattern=r"^[0-9a-f]*$")] = ""
    """Hash of the template that it was made from; empty for those made before there were revisions."""
    template: TemplateSpec | None = None
    """That template, as the user wrote it: a later change does not reach this replica."""
    disk: ReplicaDiskSpec | None = None
    """How its disks are made, as the user wrote it; absent: as the VMClone says."""
    adopted: AdoptedSpec | None = None
    """Set when its VM was there before it: the VMClone was restored, and the VM found by its stamp."""


OBJECT_RULES = (
    cel(
        # endsWith would read better; the API server estimates its cost at 100 times the budget.
        "self.metadata.name.lastIndexOf('-') > 0 && "
        "self.metadata.name.substring(self.metadata.name.lastIndexOf('-') + 1) == string(self.spec.ordinal)",
        "metadata.name needs the form <vmclone>-<ordinal>, with the number in spec.ordinal",
    ),
)
"""CEL rules over the whole object."""


class IntentStatus(ApiModel):
    """What is about to be done, written before the call."""

    op: ShortText = ""
    """Clone: the VM is reserved under these names."""
    token: ShortText = ""
    """The attempt; part of every volume name it makes."""
    handle: ProviderID = ""
    """What the backend must know at its next call about this attempt; only the backend reads it."""
    vm_name: Annotated[ShortText, Field(alias="vmName")] = ""
    """The provider VM's name; shown here, recomputed before use."""
    uuid: ShortText = ""
    """The provider VM's UUID; shown here, recomputed before use."""
    frozen_point: ShortText = ""
    """The frozen point this attempt clones from."""
    copy_: Annotated[ShortText, Field(alias="copy")] = ""
    """How its disks are made: Linked or Full."""
    finished: Annotated[tuple[ShortText, ...], Field(max_length=32, json_schema_extra=_ATOMIC)] = ()
    """Full: the disks of this attempt that are complete; they are not copied again."""
    recorded_time: Timestamp = ""
    """When the intent was recorded."""


class StepStatus(ApiModel):
    """How one step of the replica's life stands. A report: the pass looks at the VM, not at this."""

    name: ShortText
    """Reserve, Freeze, Clone, Configure, Boot, Identity, HomeCopy or Verify."""
    state: ShortText
    """Running, Waiting, Done or Failed."""
    attempt: Annotated[int, Field(ge=0, le=2**31)] = 0
    """How often it failed and was tried again."""
    start_time: Timestamp = ""
    """When it began."""
    completion_time: Timestamp = ""
    """When it was done."""
    percent: Annotated[int, Field(ge=0, le=100)] = 0
    """How far it is, where that is known."""
    eta_seconds: Annotated[int, Field(ge=0, le=2**31)] = 0
    """Seconds it may still take, where that is known."""
    done_bytes: Annotated[int, Field(ge=0, le=2**62)] = 0
    """HomeCopy, while it runs: bytes that this attempt has carried over."""
    total_bytes: Annotated[int, Field(ge=0, le=2**62)] = 0
    """HomeCopy, while it runs: bytes of the home without what is left out."""
    job: ShortText = ""
    """The Job that does it, in the operator's namespace."""
    queue_position: Annotated[int, Field(ge=0, le=100_000)] = 0
    """Its place in the queue of the source; 1 goes next."""
    message: Annotated[str, Field(max_length=256)] = ""
    """What it waits for, or why it failed."""


class OperationStatus(ApiModel):
    """A long task that was begun or is about to be; written before it begins."""

    kind: ShortText = ""
    """HomeCopy: a Job copies the home. HomeCopyEnded: its Job and Secret are removed. HomeCopyRetry: it waits."""
    token: ShortText = ""
    """The attempt; part of the names of what it makes."""
    refresh: Annotated[str, Field(max_length=128)] = ""
    """The request that this copy answers; empty for the first copy."""
    user: Annotated[str, Field(max_length=32)] = ""
    """Whose home it is: the key is taken out of it again even when the CloneSource is gone."""
    not_before: Timestamp = ""
    """When the next attempt may begin."""


class RetryStatus(ApiModel):
    """A step that failed, and when it is tried again."""

    step: ShortText = ""
    """The step."""
    failures: Annotated[int, Field(ge=0, le=2**31)] = 0
    """How often it failed in a row."""
    reason: ShortText = ""
    """Why it failed last."""
    message: Annotated[str, Field(max_length=512)] = ""
    """The same for people."""
    not_before: Timestamp = ""
    """When it may be tried again at the earliest; a replica's is empty while an attempt runs."""
    handled_retry_at: Annotated[str, Field(max_length=128)] = ""
    """Echo of the annotation vmclone.dev/retry-at that was heeded last."""


class GuestTaskStatus(ApiModel):
    """A task in a guest that runs tasks (Azure); written before it begins."""

    run: ShortText = ""
    """The task's run at the backend: a digest of what it says and of the attempt. Empty while none is wanted."""
    attempt: ShortText = ""
    """The attempt; another one is another run."""
    replaces: ShortText = ""
    """The run before it, which is not waited for any more."""
    recorded_time: Timestamp = ""
    """When the run was recorded."""


class GuestStatus(ApiModel):
    """The identity that was read back from the running guest."""

    addresses: Annotated[tuple[ShortText, ...], Field(max_length=32, json_schema_extra=_ATOMIC)] = ()
    """Addresses, loopback and link-local left out."""
    hostname: ShortText = ""
    """Hostname, as the kernel says."""
    machine_id_hash: Annotated[ShortText, Field(alias="machineIDHash")] = ""
    """sha256 of the machine-id (the id itself is confidential by its own manual page)."""
    ssh_host_keys: Annotated[
        tuple[Annotated[str, Field(max_length=1024)], ...], Field(max_length=8, json_schema_extra=_ATOMIC)
    ] = ()
    """Public host keys as the running sshd presents them; enough to write a known_hosts line."""


class ScrubStatus(ApiModel):
    """What was scrubbed in the clone before it reached the network (mode Disk)."""

    scope: ShortText = ""
    """Version of the rules."""
    files: Annotated[int, Field(ge=0, le=2**53)] = 0
    """Files that were overwritten and removed."""
    units_masked: Annotated[int, Field(ge=0, le=2**31)] = 0
    """Units that were masked."""
    verified_time: Timestamp = ""
    """When a second look found nothing left."""


class ClonedFromStatus(ApiModel):
    """Where the disks came from."""

    frozen_point: ShortText = ""
    """Id of the frozen point in VMClone status."""
    fingerprint: ShortText = ""
    """Fingerprint of the source at that time."""


class ShapeStatus(ApiModel):
    """What a clone has beside its disks."""

    cpus: Annotated[int, Field(ge=0, le=2**31)] = 0
    """CPUs."""
    memory_bytes: Annotated[int, Field(ge=0, le=2**53)] = 0
    """Memory in bytes."""
    networks: Annotated[tuple[ShortText, ...], Field(max_length=64, json_schema_extra=_ATOMIC)] = ()
    """The network of each NIC, as the backend calls it."""


class AccessStatus(ApiModel):
    """Which keys of ours may log in to the clone; those that somebody added in the guest are not told."""

    user: ShortText = ""
    """The user whose authorized_keys they are in."""
    keys: Annotated[tuple[ShortText, ...], Field(max_length=96, json_schema_extra=_ATOMIC)] = ()
    """Fingerprints (`ssh-keygen -l`) of the keys that may be in the clone; during a change, the old and the new."""
    former_users: Annotated[tuple[ShortText, ...], Field(max_length=16, json_schema_extra=_ATOMIC)] = ()
    """Users that were renamed before the clone was ready, in whose authorized_keys keys of ours may still be."""
    applied: ShortText = ""
    """Names the list of keys that was put into the clone last."""
    pending: ShortText = ""
    """Names the list of keys that is being put into the clone; written before that begins."""
    task: GuestTaskStatus | None = None
    """The task that does it, in a guest that runs tasks (Azure); a later change waits for its end."""
    applied_time: Timestamp = ""
    """When a change of keys last reached the clone."""
    attempts: Annotated[int, Field(ge=0, le=2**31)] = 0
    """How often the clone refused the change that waits."""


class VMCloneReplicaStatus(ApiModel):
    """What is. Written by the replica's own pass alone."""

    observed_generation: Annotated[int, Field(ge=-1, le=2**53, json_schema_extra={"server_default": True})] = -1
    """The generation of the spec that this status speaks about; -1 means not seen yet."""
    state: ShortText = ""
    """The step it is in, or Ready, Failed, Deleting; for people, derived from the conditions."""
    percent: Annotated[int, Field(ge=0, le=100)] = 0
    """How far it is, 0 to 100."""
    external_id: Annotated[ProviderID, Field(alias="externalID")] = ""
    """The backend's own id of the VM (libvirt: the domain's UUID)."""
    intent: IntentStatus | None = None
    """What is about to be done, or was: written before the call."""
    steps: Annotated[tuple[StepStatus, ...], Field(max_length=16, json_schema_extra=_map_list("name"))] = ()
    """The steps so far."""
    guest_task: GuestTaskStatus | None = None
    """The task that resets the identity, until the identity is recorded."""
    guest: GuestStatus | None = None
    """The identity that was read back from the running guest."""
    access: AccessStatus | None = None
    """Who may log in; absent in a clone of an operator that kept no record of it, whose keys stay as they are."""
    operation: OperationStatus | None = None
    """The long task that runs or waits."""
    retry: RetryStatus | None = None
    """The step that failed last, until the replica is past it."""
    ready_time: Timestamp = ""
    """When it was ready for the first time."""
    home_copy: HomeCopyStatus | None = None
    """The receipt of the last home copy."""
    shape: ShapeStatus | None = None
    """What the clone was made with; what differs at the backend is Drifted/Reconfigured."""
    scrub: ScrubStatus | None = None
    """What was scrubbed."""
    cloned_from: ClonedFromStatus | None = None
    """Where the disks came from."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16, json_schema_extra=_map_list("type"))] = ()
    """Ready, Reconciling, Stalled, Provisioned, IdentityReset, HomeCopied, Drifted, Deleting."""
