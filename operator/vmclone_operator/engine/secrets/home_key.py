"""The private key that opens a source's home: read from the Secret that its CloneSource names, never shown."""

from __future__ import annotations

from vmclone_operator.api.home import HomeSpec
from vmclone_operator.domain.errors import ActionNeeded
from vmclone_operator.engine.context import Engine
from vmclone_operator.engine.secrets.secret_file import SecretFileUnusable, text_of
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
    try:
        return text_of(secret, _FILE)
    except SecretFileUnusable as error:
        raise HomeAccessMissing(
            f"Secret {name} in namespace {namespace} {error}; the platform team writes the private key for the source"
            f" there, under {_FILE}"
        ) from error


async def problem(engine: Engine, home: HomeSpec) -> str:
    """Return why the key cannot be used, empty when it can."""
    try:
        await read(engine, home)
    except HomeAccessMissing as error:
        return str(error)
    return ""
