"""CloneBackend: one hypervisor or cloud endpoint, who may use it and how hard. Cluster-scoped, admins write it.

Users never write an endpoint, URI, path or command; admins write fields, from which the adapter builds its URI.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from vmclone_operator.api.base import AllowedNamespaces, ApiModel, Condition, SecretRef, ShortText, cel, rules

_BY_TYPE = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
HOST_PATTERN = r"^[A-Za-z0-9]([-A-Za-z0-9.:]{0,251}[A-Za-z0-9])?$"


class LibvirtSettings(ApiModel):
    """A libvirt host."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "self.transport == 'local' ? !has(self.host) : has(self.host)",
                "transport tls needs a host, for example host: hv1.example; transport local takes none",
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

    transport: Literal["tls", "local"]
    """tls: qemu+tls with client certificates from the Secret. local: the socket of the machine the operator runs on."""
    host: Annotated[str | None, Field(max_length=253, pattern=HOST_PATTERN)] = None
    """Host name or address, as in the server's certificate."""
    port: Annotated[int, Field(ge=1, le=65535)] = 16514
    """TLS port (default 16514)."""
    pool: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] = "default"
    """Directory pool that takes frozen points, overlays and seeds (default `default`)."""


class FakeSettings(ApiModel):
    """VMs that exist only in the operator's memory: for tests and benchmarks, refused unless the operator allows it."""

    boot_seconds: Annotated[int, Field(ge=0, le=3600)] = 0
    """Seconds from power-on to a booted guest."""


class Credentials(ApiModel):
    """Where the operator finds its credentials."""

    secret_ref: SecretRef
    """A Secret in the operator's namespace; for libvirt over TLS: tls.crt, tls.key, ca.crt."""


class BackendLimits(ApiModel):
    """How hard the backend may be used."""

    max_in_flight: Annotated[int, Field(ge=1, le=1000)] = 10
    """Clones being made at the same time over all VMClones (default 10)."""


class CloneBackendSpec(ApiModel):
    """One libvirt host: where it is, who may use it and how hard."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel("has(self.libvirt) != has(self.fake)", "a backend needs exactly one block: libvirt or fake"),
            cel(
                "has(self.libvirt) == has(oldSelf.libvirt) && has(self.fake) == has(oldSelf.fake)",
                "the kind of a backend is immutable; create another CloneBackend",
            ),
            cel(
                "!has(self.libvirt) || self.libvirt.transport != 'tls' || has(self.credentials)",
                "transport tls needs credentials.secretRef: a Secret with tls.crt, tls.key and ca.crt",
            ),
        )
    )

    libvirt: LibvirtSettings | None = None
    """A libvirt host."""
    fake: FakeSettings | None = None
    """VMs in memory, for tests."""
    credentials: Credentials | None = None
    """Where the operator finds its credentials."""
    allowed_namespaces: AllowedNamespaces | None = None
    """Which namespaces may clone on it. Absent: nobody."""
    limits: BackendLimits = BackendLimits()
    """How hard the backend may be used."""

    @property
    def kind(self) -> str:
        """Return the provider's registry name."""
        return "libvirt" if self.libvirt is not None else "fake"


class CloneBackendStatus(ApiModel):
    """What is known of the backend."""

    observed_generation: Annotated[int, Field(ge=-1, le=2**53, json_schema_extra={"server_default": True})] = -1
    """The generation of the spec that this status speaks about; -1 means not seen yet."""
    version: ShortText = ""
    """Version of the backend's software."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=8, json_schema_extra=_BY_TYPE)] = ()
    """Ready: the backend answers and accepts our credentials."""
