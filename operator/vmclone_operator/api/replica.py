"""VMCloneReplica: one replica's intent ledger, steps and conditions. The operator alone writes it."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from vmclone_operator.api.base import UID_PATTERN, ApiModel, Condition, ShortText, Timestamp, cel, rules

_ATOMIC = {"x-kubernetes-list-type": "atomic"}


def _map_list(key: str) -> dict[str, object]:
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}


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
    vm_clone_uid: Annotated[str, Field(alias="vmCloneUID", min_length=1, max_length=64, pattern=UID_PATTERN)]
    """The uid of the VMClone it belongs to."""
    backend: Annotated[str, Field(min_length=1, max_length=253)]
    """The CloneBackend that holds the clone: needed to remove it even when its CloneSource is gone."""


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
    vm_name: Annotated[ShortText, Field(alias="vmName")] = ""
    """The provider VM's name; shown here, recomputed before use."""
    uuid: ShortText = ""
    """The provider VM's UUID; shown here, recomputed before use."""
    frozen_point: ShortText = ""
    """The frozen point this attempt clones from."""
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
    message: Annotated[str, Field(max_length=256)] = ""
    """What it waits for, or why it failed."""


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


class ClonedFromStatus(ApiModel):
    """Where the disks came from."""

    frozen_point: ShortText = ""
    """Id of the frozen point in VMClone status."""
    fingerprint: ShortText = ""
    """Fingerprint of the source at that time."""


class VMCloneReplicaStatus(ApiModel):
    """What is. Written by the replica's own pass alone."""

    observed_generation: Annotated[int, Field(ge=-1, le=2**53, json_schema_extra={"server_default": True})] = -1
    """The generation of the spec that this status speaks about; -1 means not seen yet."""
    state: ShortText = ""
    """The step it is in, or Ready, Failed, Deleting; for people, derived from the conditions."""
    percent: Annotated[int, Field(ge=0, le=100)] = 0
    """How far it is, 0 to 100."""
    external_id: Annotated[ShortText, Field(alias="externalID")] = ""
    """The backend's own id of the VM (libvirt: the domain's UUID)."""
    intent: IntentStatus | None = None
    """What is about to be done, or was: written before the call."""
    steps: Annotated[tuple[StepStatus, ...], Field(max_length=16, json_schema_extra=_map_list("name"))] = ()
    """The steps so far."""
    guest: GuestStatus | None = None
    """The identity that was read back from the running guest."""
    cloned_from: ClonedFromStatus | None = None
    """Where the disks came from."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16, json_schema_extra=_map_list("type"))] = ()
    """Ready, Reconciling, Stalled, Provisioned, IdentityReset, HomeCopied, Drifted, Deleting."""
