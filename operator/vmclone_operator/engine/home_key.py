"""The private key that opens a source's home: read from the Secret that its CloneSource names, never shown."""

from __future__ import annotations

import base64
import binascii

from vmclone_operator.api.home import HomeSpec
from vmclone_operator.domain.errors import ActionNeeded
from vmclone_operator.engine.context import Engine
from vmclone_operator.kube.cluster import Key, Kind

_FILE = "ssh-privatekey"


class HomeAccessMissing(ActionNeeded):
    """The source's home cannot be reached with what its owner gave."""

    reason = "HomeAccessMissing"


async def read(engine: Engine, home: HomeSpec) -> str:
    """Return the private key; raises HomeAccessMissing with what to create."""
    name = home.ssh_key_secret_ref.name if home.ssh_key_secret_ref is not None else ""
    namespace = engine.pods.namespace
    secret = await engine.cluster.get(Key(Kind.SECRET, namespace, name))
    data = {} if secret is None else secret.get("data") or {}
    if _FILE not in data:
        raise HomeAccessMissing(
            f"Secret {name} in namespace {namespace} has no {_FILE}; the platform team creates it with the private key"
            " for the source"
        )
    try:
        return base64.b64decode(data[_FILE], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise HomeAccessMissing(f"Secret {name} in namespace {namespace} holds no private key in text") from error


async def problem(engine: Engine, home: HomeSpec) -> str:
    """Return why the key cannot be used, empty when it can."""
    try:
        await read(engine, home)
    except HomeAccessMissing as error:
        return str(error)
    return ""
