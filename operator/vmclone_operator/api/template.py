"""One template for all replicas of a VMClone."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from vmclone_operator.api.base import LABEL_KEY_PATTERN, ApiModel, LabelValue, SecretRef, cel, rules

MEMORY_PATTERN = r"^[1-9][0-9]{0,8}(Mi|Gi|Ti|M|G|T)$"
SIZE_PATTERN = r"^[A-Za-z][A-Za-z0-9_-]*$"
NETWORK_PATTERN = r"^[A-Za-z0-9][-A-Za-z0-9._]{0,62}$"

Labels = Annotated[
    dict[str, LabelValue],
    Field(
        max_length=16,
        json_schema_extra=rules(
            cel(
                f"self.all(key, size(key) <= 317 && key.matches('{LABEL_KEY_PATTERN}'))",
                "every key in labels needs the form of a label key, for example example.com/team",
            ),
            cel(
                "self.all(key, !key.startsWith('vmclone.dev/') && !key.startsWith('app.kubernetes.io/')"
                " && !key.startsWith('argocd.argoproj.io/'))",
                "labels under vmclone.dev/, app.kubernetes.io/ and argocd.argoproj.io/ have a meaning of their own;"
                " choose another prefix, for example example.com/team",
            ),
        ),
    ),
]
Network = Annotated[str, Field(min_length=1, max_length=63, pattern=NETWORK_PATTERN)]


class CloudInitSpec(ApiModel):
    """More cloud-config for mode Clean."""

    secret_ref: SecretRef
    """A Secret in this VMClone's namespace; its key user-data holds a cloud-config. Ours goes before it.

    The operator may read it only where a RoleBinding grants it the ClusterRole vmclone-user-secrets.
    """


class TemplateSpec(ApiModel):
    """What the clones are like, where that differs from the source. All but labels makes a new revision."""

    labels: Labels = {}  # noqa: RUF012  - frozen
    """Labels on the VMCloneReplicas; a change reaches those that exist. The source's labels are not copied.

    On Azure they are tags, too, of everything that is billed for a clone, as they were when it was made; a tag's name
    has an underscore for the slash.
    """
    power: Literal["On", "Off"] = "On"
    """On (default), or Off: clones boot once to get their identity, and are delivered switched off."""
    cpus: Annotated[int | None, Field(ge=1, le=512)] = None
    """Virtual CPUs. Default: as many as the source has."""
    memory: Annotated[str | None, Field(max_length=12, pattern=MEMORY_PATTERN)] = None
    """Memory, for example 8Gi. Default: as much as the source has."""
    size: Annotated[str | None, Field(min_length=1, max_length=64, pattern=SIZE_PATTERN)] = None
    """VM size, for example Standard_D2s_v5: on Azure, in place of cpus and memory.

    Default: azure.size of the CloneBackend, else the source's.
    """
    networks: Annotated[
        tuple[Network, ...], Field(max_length=8, json_schema_extra={"x-kubernetes-list-type": "atomic"})
    ] = ()
    """Networks at the backend, one for each NIC. Default: the source's networks. MACs are always new."""
    cloud_init: CloudInitSpec | None = None
    """More cloud-config, merged under ours (mode Clean)."""


class IdentitySpec(ApiModel):
    """How sure one must be of a clone's identity."""

    verify: Literal["Require", "Warn"] = "Require"
    """Require (default): what is not proven stays disconnected. Warn: it goes on, and IdentityReset says so."""
