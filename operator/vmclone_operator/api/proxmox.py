"""The block of a CloneBackend that names a Proxmox VE cluster."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from vmclone_operator.api.base import ApiModel, cel, rules

_ATOMIC = {"x-kubernetes-list-type": "atomic"}
_NAME = r"^[A-Za-z][A-Za-z0-9._-]{0,62}$"
_NODE = r"^[A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?$"
_ENDPOINT = r"^[A-Za-z0-9]([-A-Za-z0-9.]{0,251}[A-Za-z0-9])?(:[1-9][0-9]{0,4})?$"
_FINGERPRINT = r"^([0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}$"
_FIRST, _LAST = 100, 999_999_999
_OptionalName = Annotated[str, Field(max_length=63, pattern=f"^$|{_NAME}")]


class VMIDRange(ApiModel):
    """The ids that frozen points and clones may have; both ends are in it."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "self.start <= self.end",
                "vmIDRange needs start and end in this order, for example start: 9100, end: 9999",
            )
        )
    )

    start: Annotated[int, Field(ge=_FIRST, le=_LAST)]
    """The first id."""
    end: Annotated[int, Field(ge=_FIRST, le=_LAST)]
    """The last id."""


class ProxmoxSettings(ApiModel):
    """A Proxmox VE cluster, release 8 or 9, spoken to with an API token."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "!(has(self.caBundle) && self.caBundle != '' && has(self.fingerprint) && self.fingerprint != '')",
                "write caBundle or fingerprint, not both: a fingerprint takes one certificate, whoever signed it",
            ),
            cel(
                "(has(self.vmIDRange) ? self.vmIDRange.start : 9100)"
                " <= (has(oldSelf.vmIDRange) ? oldSelf.vmIDRange.start : 9100)"
                " && (has(self.vmIDRange) ? self.vmIDRange.end : 9999)"
                " >= (has(oldSelf.vmIDRange) ? oldSelf.vmIDRange.end : 9999)",
                "vmIDRange may only grow: clones have ids of it; create another CloneBackend",
            ),
            cel(
                "(has(self.pool) ? self.pool : '') == (has(oldSelf.pool) ? oldSelf.pool : '')",
                "pool is immutable: the clones are in it; create another CloneBackend",
            ),
        )
    )

    endpoints: Annotated[
        tuple[Annotated[str, Field(max_length=259, pattern=_ENDPOINT)], ...],
        Field(min_length=1, max_length=16, json_schema_extra=_ATOMIC),
    ]
    """Nodes of the cluster as host or host:port (default port 8006); the next one is asked when one is away."""
    ca_bundle: Annotated[str, Field(max_length=16384)] = ""
    """PEM of the authority that signed the nodes' certificates: /etc/pve/pve-root-ca.pem. Default: the system's."""
    fingerprint: Annotated[str, Field(max_length=95, pattern=f"^$|{_FINGERPRINT}")] = ""
    """SHA-256 of the only certificate that is taken, in place of an authority: `pvenode cert info`."""
    vm_id_range: Annotated[VMIDRange, Field(alias="vmIDRange")] = VMIDRange(start=9100, end=9999)
    """Ids for frozen points and clones (default 9100 to 9999)."""
    nodes: Annotated[
        tuple[Annotated[str, Field(max_length=63, pattern=_NODE)], ...], Field(max_length=64, json_schema_extra=_ATOMIC)
    ] = ()
    """Nodes that sources are looked for on. Default: all."""
    storage: _OptionalName = ""
    """Where frozen points and full copies go. Default: where the source's disks are."""
    seed_storage: _OptionalName = ""
    """Where the clones' cloud-init seeds go, as ISO images. Default: the first storage that takes them."""
    pool: _OptionalName = ""
    """The resource pool that our VMs are put into, where the token has its rights. Default: none."""
    requests_per_second: Annotated[int, Field(ge=1, le=100)] = 10
    """Calls of its API in a second (default 10); twice as many at once after a pause."""
