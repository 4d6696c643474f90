"""The Secret behind a clone of mode Clean: its host key, made before the clone and forgotten once it is verified.

It exists before the seed does, so a clone that is adopted after a crash has the key that we know.
"""

from __future__ import annotations

import base64

from vmclone_operator.domain.errors import CloneFailed
from vmclone_operator.domain.labels import INCARNATION_LABEL, recommended
from vmclone_operator.engine.context import Engine
from vmclone_operator.engine.secrets.secret_file import SecretFileUnusable, text_of
from vmclone_operator.engine.secrets.ssh_keys import KeyPair, new_key, read_key
from vmclone_operator.kube.cluster import Conflict, Document, Key, Kind

_FILE = "host_key"


def secret_name(incarnation: str) -> str:
    """Return the name of the Secret of an incarnation."""
    return f"vmclone-seed-{incarnation}"


async def host_key(engine: Engine, incarnation: str) -> KeyPair | None:
    """Return the host key that was made for a clone, None when there is none (any more)."""
    document = await engine.cluster.get(_key(engine, incarnation))
    return None if document is None else _read(document)


async def ensure_host_key(engine: Engine, incarnation: str) -> KeyPair:
    """Return the host key of a clone; the first call makes it."""
    known = await host_key(engine, incarnation)
    if known is not None:
        return known
    made = new_key()
    manifest = {
        "metadata": {
            "name": secret_name(incarnation),
            "namespace": engine.pods.namespace,
            "labels": recommended("seed") | {INCARNATION_LABEL: incarnation},
        },
        "type": "Opaque",
        "immutable": True,
        "data": {_FILE: base64.b64encode(made.private.encode()).decode()},
    }
    try:
        await engine.cluster.create(Kind.SECRET, manifest)
    except Conflict:  # ours, from a pass whose reply was lost
        document = await engine.cluster.get(_key(engine, incarnation))
        if document is None:
            raise
        return _read(document)
    return made


async def forget_host_key(engine: Engine, incarnation: str) -> None:
    """Remove the Secret; what the clone presents is recorded, or the clone is gone."""
    document = await engine.cluster.get(_key(engine, incarnation))
    if document is not None:
        await engine.cluster.delete(Kind.SECRET, document)


def _key(engine: Engine, incarnation: str) -> Key:
    return Key(Kind.SECRET, engine.pods.namespace, secret_name(incarnation))


def _read(document: Document) -> KeyPair:
    place = f"Secret {document['metadata']['name']} in the operator's namespace"
    try:
        return read_key(text_of(document, _FILE))
    except SecretFileUnusable as error:
        raise CloneFailed(f"{place} {error}; delete the Secret, which was another when it was made") from error
    except ValueError as error:
        raise CloneFailed(f"{place} holds another key than was made; delete it") from error
