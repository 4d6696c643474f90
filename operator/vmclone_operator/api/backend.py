"""CloneBackend: one hypervisor or cloud endpoint, who may use it and how hard. Cluster-scoped, admins write it.

Users never write an endpoint, URI, path or command; admins write fields, from which the adapter builds its URI.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from vmclone_operator.api.azure import AzureSettings
from vmclone_operator.api.base import (
    AllowedNamespaces,
    ApiModel,
    Condition,
    ProviderID,
    SecretRef,
    ShortText,
    cel,
    rules,
)
from vmclone_operator.api.home import Duration, HostKey
from vmclone_operator.api.proxmox import ProxmoxSettings
from vmclone_operator.api.template import Network

_BY_TYPE = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
_ATOMIC = {"x-kubernetes-list-type": "atomic"}
_TLS_PORT, _SSH_PORT = 16514, 22
HOST_PATTERN = r"^[A-Za-z0-9]([-A-Za-z0-9.:]{0,251}[A-Za-z0-9])?$"


class LibvirtSettings(ApiModel):
    """A libvirt host."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "self.transport == 'local' ? !has(self.host) : has(self.host)",
                "transports tls and ssh need a host, for example host: hv1.example; transport local takes none",
            ),
            cel(
                "self.transport == 'ssh' ? has(self.user) && has(self.knownHosts) && size(self.knownHosts) > 0"
                " : !has(self.user) && !has(self.knownHosts)",
                "transport ssh needs user and knownHosts: all public keys of the host as ssh-keyscan shows them,"
                " without the host's name; other transports take neither",
            ),
            cel(
                "self.transport == oldSelf.transport && has(self.host) == has(oldSelf.host)"
                " && (!has(self.host) || self.host == oldSelf.host)",
                "transport and host are immutable: the clones are on that host; create another CloneBackend",
            ),
            cel(
                "has(self.pool) == has(oldSelf.pool) && (!has(self.pool) || self.pool == oldSelf.pool)",
                "pool is immutable: the clones' disks are in it; create another CloneBackend",
            ),
        )
    )

    transport: Literal["tls", "ssh", "local"]
    """tls: qemu+tls with client certificates from the Secret. ssh: with its private key (ed25519 or ecdsa),
    to a host that has virt-ssh-helper. local: the socket of the machine the operator runs on."""
    host: Annotated[str | None, Field(max_length=253, pattern=HOST_PATTERN)] = None
    """Host name or address; for tls as in the server's certificate."""
    port: Annotated[int | None, Field(ge=1, le=65535)] = None
    """Port. Default: 16514 for tls, 22 for ssh."""
    user: Annotated[str | None, Field(min_length=1, max_length=32, pattern=r"^[a-z_][a-z0-9_-]*$")] = None
    """ssh: the account on the host; it must be allowed to use libvirt's socket (root, or in the group libvirt)."""
    known_hosts: Annotated[tuple[HostKey, ...], Field(max_length=8, json_schema_extra=_ATOMIC)] = ()
    """ssh: all public keys of the host, of every kind it has; a host with another one is not connected to."""
    pool: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] = "default"
    """Directory pool that takes frozen points, overlays and seeds (default `default`)."""
    network: Network = "default"
    """Network of clones whose source is on another host (mode Clean) and whose template names none (default
    `default`). It may be changed: clones that are there keep theirs.
    """

    @property
    def service_port(self) -> int:
        """The port that is connected to."""
        return self.port or (_SSH_PORT if self.transport == "ssh" else _TLS_PORT)


class FakeSettings(ApiModel):
    """VMs that exist only in the operator's memory: for tests and benchmarks, refused unless the operator allows it."""

    boot_seconds: Annotated[int, Field(ge=0, le=3600)] = 0
    """Seconds from power-on to a booted guest."""


class Credentials(ApiModel):
    """Where the operator finds its credentials."""

    secret_ref: SecretRef
    """A Secret in the operator's namespace; libvirt over TLS: tls.crt, tls.key, ca.crt; over SSH: ssh-privatekey;
    Proxmox VE: token-id (user@realm!name), token-secret; Azure: client-secret, or client-certificate (PEM with its
    key)."""


class BackendLimits(ApiModel):
    """How hard the backend may be used."""

    max_in_flight: Annotated[int, Field(ge=1, le=1000)] = 10
    """Clones being made at the same time over all VMClones (default 10)."""


class DriftSpec(ApiModel):
    """What is done about clones that somebody changed at the backend."""

    interval: Duration | None = None
    """Time between two comparisons with the backend's own list; absent: the operator's --resync-seconds (5m)."""
    action: Literal["Report", "Recreate"] = "Report"
    """For a clone whose CPUs, memory or networks were changed. Report (default): say so in Drifted and leave it.
    Recreate: it is removed and made anew, one at a time. One that is gone is made again either way, and a VM
    without our stamp is never touched.
    """


class CloneBackendSpec(ApiModel):
    """One libvirt host, Proxmox VE cluster or Azure resource group: where it is, who may use it and how hard."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "[has(self.libvirt), has(self.proxmox), has(self.azure), has(self.fake)]"
                ".filter(block, block).size() == 1",
                "a backend needs exactly one block: libvirt, proxmox, azure or fake",
            ),
            cel(
                "has(self.libvirt) == has(oldSelf.libvirt) && has(self.proxmox) == has(oldSelf.proxmox)"
                " && has(self.azure) == has(oldSelf.azure) && has(self.fake) == has(oldSelf.fake)",
                "the kind of a backend is immutable; create another CloneBackend",
            ),
            cel(
                "!has(self.libvirt) || self.libvirt.transport != 'tls' || has(self.credentials)",
                "transport tls needs credentials.secretRef: a Secret with tls.crt, tls.key and ca.crt",
            ),
            cel(
                "!has(self.libvirt) || self.libvirt.transport != 'ssh' || has(self.credentials)",
                "transport ssh needs credentials.secretRef: a Secret with ssh-privatekey",
            ),
            cel(
                "!has(self.proxmox) || has(self.credentials)",
                "proxmox needs credentials.secretRef: a Secret with token-id and token-secret",
            ),
            cel(
                "!has(self.azure) || !has(self.credentials) || (has(self.azure.tenantID) && self.azure.tenantID != ''"
                " && has(self.azure.clientID) && self.azure.clientID != '')",
                "azure with credentials.secretRef needs azure.tenantID and azure.clientID: whose secret it is",
            ),
        )
    )

    libvirt: LibvirtSettings | None = None
    """A libvirt host."""
    proxmox: ProxmoxSettings | None = None
    """A Proxmox VE cluster."""
    azure: AzureSettings | None = None
    """A resource group of an Azure subscription."""
    fake: FakeSettings | None = None
    """VMs in memory, for tests."""
    credentials: Credentials | None = None
    """Where the operator finds its credentials."""
    allowed_namespaces: AllowedNamespaces | None = None
    """Which namespaces may clone on it. Absent: nobody."""
    limits: BackendLimits = BackendLimits()
    """How hard the backend may be used."""
    drift: DriftSpec = DriftSpec()
    """What is done about clones that somebody changed at the backend."""

    @property
    def kind(self) -> str:
        """Return the provider's registry name."""
        blocks = {"libvirt": self.libvirt, "proxmox": self.proxmox, "azure": self.azure}
        return next((name for name, block in blocks.items() if block is not None), "fake")


class OrphanStatus(ApiModel):
    """A VM or files with our stamp that belong to nobody."""

    kind: ShortText = ""
    """VM, Volume (what a clone without its VM left) or FrozenPoint."""
    name: ShortText = ""
    """Its name at the backend; of files, what their names begin with."""
    external_id: Annotated[ProviderID, Field(alias="externalID")] = ""
    """The backend's own id; what the annotation vmclone.dev/remove-orphans names."""
    vmclone: Annotated[str, Field(max_length=512)] = ""
    """Of a VM: namespace and name of the VMClone that it was made for."""
    ordinal: Annotated[int, Field(ge=0, le=100)] = 0
    """Its number there."""


class CapabilitiesStatus(ApiModel):
    """What the backend can do; a plan that asks for more is refused before the first call."""

    modes: Annotated[tuple[ShortText, ...], Field(max_length=2, json_schema_extra=_ATOMIC)] = ()
    """Disk, Clean."""
    copies: Annotated[tuple[ShortText, ...], Field(max_length=2, json_schema_extra=_ATOMIC)] = ()
    """How disks can be made: Linked, Full."""


class CloneBackendStatus(ApiModel):
    """What is known of the backend."""

    observed_generation: Annotated[int, Field(ge=-1, le=2**53, json_schema_extra={"server_default": True})] = -1
    """The generation of the spec that this status speaks about; -1 means not seen yet."""
    version: ShortText = ""
    """Version of the backend's software."""
    capabilities: CapabilitiesStatus = CapabilitiesStatus()
    """What it can do, as its adapter says."""
    orphans: Annotated[
        tuple[OrphanStatus, ...], Field(max_length=50, json_schema_extra={"x-kubernetes-list-type": "atomic"})
    ] = ()
    """VMs with our stamp that belong to nobody any more, then files without a VM; the first 50."""
    orphans_removed_for: ShortText = ""
    """Digest of the value of vmclone.dev/remove-orphans that was carried out: each value is, once."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=8, json_schema_extra=_BY_TYPE)] = ()
    """Ready: the backend answers and accepts our credentials; Reachable and CredentialsValid are its two halves.
    OrphansFound: VMs or files of ours belong to nobody."""
