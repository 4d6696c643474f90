"""A user's own cloud-config: a Secret in their namespace, which only they can let the operator read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vmclone_operator.api.template import CloudInitSpec
from vmclone_operator.domain.cloud_config import CloudConfigRefused, parse_cloud_config
from vmclone_operator.domain.errors import ActionNeeded
from vmclone_operator.engine.context import Engine
from vmclone_operator.engine.secrets.secret_file import SecretFileUnusable, text_of
from vmclone_operator.kube.cluster import Key, Kind, Refused

_FILE = "user-data"


class SecretNotReadable(ActionNeeded):
    """The Secret that the spec names is not there, may not be read, or holds something else."""

    reason = "SecretNotReadable"


async def read(engine: Engine, namespace: str, cloud_init: CloudInitSpec | None) -> Mapping[str, Any]:
    """Return the user's cloud-config, empty when they have none; raises SecretNotReadable."""
    if cloud_init is None:
        return {}
    name = cloud_init.secret_ref.name
    if namespace == engine.pods.namespace:
        raise SecretNotReadable(
            f"spec.template.cloudInit.secretRef: {namespace} is the operator's own namespace, whose Secrets go into no"
            " clone; create the VMClone in another namespace"
        )
    place = f"spec.template.cloudInit.secretRef: Secret {name} in namespace {namespace}"
    try:
        secret = await engine.cluster.get(Key(Kind.SECRET, namespace, name))
    except Refused as error:
        raise SecretNotReadable(
            f"{place} may not be read: bind the ClusterRole vmclone-user-secrets to the operator in that namespace"
        ) from error
    try:
        return parse_cloud_config(text_of(secret, _FILE))
    except SecretFileUnusable as error:
        raise SecretNotReadable(f"{place} {error}; write the cloud-config there, under {_FILE}") from error
    except CloudConfigRefused as error:
        raise SecretNotReadable(f"{place}, key {_FILE}: {error}") from error
