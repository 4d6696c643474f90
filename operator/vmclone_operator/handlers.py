"""kopf as informer: each event updates the cache and wakes a key; no work is done here.

kopf's create, update and delete handlers block their object and write to it; `on.event` does neither.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import kopf

from vmclone_operator.api import GROUP, VERSION
from vmclone_operator.engine.context import Engine
from vmclone_operator.engine.queue import Priority
from vmclone_operator.engine.replica import controller_of
from vmclone_operator.kube.cluster import Document, Key, Kind, key_of

_WATCHED = (Kind.BACKEND, Kind.SOURCE, Kind.VMCLONE, Kind.REPLICA)


class ForeverWithJitter:
    """Endless waits in seconds, growing to 30: an API server that is away longer must not end the watch."""

    def __iter__(self) -> Iterator[float]:
        """Yield the waits."""
        seconds = 1.0
        while True:
            yield seconds * random.uniform(0.8, 1.2)  # noqa: S311  - jitter
            seconds = min(30.0, seconds * 2)


def build_registry(engine: Engine) -> kopf.OperatorRegistry:
    """Return kopf handlers that feed the engine."""
    registry = kopf.OperatorRegistry()
    kopf.on.startup(registry=registry, id="settings")(_configure)
    kopf.on.login(registry=registry, id="login")(_login)
    for kind in _WATCHED:
        kopf.on.event(GROUP, VERSION, kind.plural, registry=registry, id=kind.plural)(_watch(engine, kind))
    return registry


def take_event(engine: Engine, kind: Kind, event_type: str | None, document: Document) -> None:
    """Put what an event says into the cache and wake whom it concerns."""
    key = key_of(kind, document)
    if event_type == "DELETED":
        engine.cache.drop(kind, document)
        engine.forget(document["metadata"]["uid"])
    elif not engine.cache.put(kind, document):
        return
    priority = Priority.LOW if event_type is None else Priority.HIGH
    if event_type != "DELETED":
        engine.queue.add(key, priority)
    for other in _concerned(engine, kind, document):
        engine.queue.add(other, priority)


def _concerned(engine: Engine, kind: Kind, document: Document) -> Iterator[Key]:
    """Yield the keys that wait for what this object may have changed."""
    if kind is Kind.REPLICA:
        owner = controller_of(document)
        if owner is not None:
            yield Key(Kind.VMCLONE, document["metadata"]["namespace"], owner["name"])
        return
    name = document["metadata"]["name"]
    for vmclone in engine.cache.all(Kind.VMCLONE):
        source = (vmclone["spec"].get("source") or {}).get("name", "")
        if kind is Kind.SOURCE and source == name:
            yield key_of(Kind.VMCLONE, vmclone)
        if kind is Kind.BACKEND and _backend_of(engine, source) == name:
            yield key_of(Kind.VMCLONE, vmclone)


def _backend_of(engine: Engine, source: str) -> str:
    document = engine.cache.get(Key(Kind.SOURCE, "", source)) or {}
    name: str = ((document.get("spec") or {}).get("backend") or {}).get("name", "")
    return name


def _watch(engine: Engine, kind: Kind) -> Any:  # noqa: ANN401  - kopf's handler type is its own
    async def on_event(event: Any, **_: Any) -> None:  # noqa: ANN401  - kopf passes raw JSON
        take_event(engine, kind, event["type"], dict(event["object"]))

    return on_event


async def _configure(settings: kopf.OperatorSettings, **_: Any) -> None:  # noqa: ANN401
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.watching.chunk_size = 500
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 10
    settings.networking.error_backoffs = ForeverWithJitter()


async def _login(**kwargs: Any) -> kopf.ConnectionInfo | None:  # noqa: ANN401
    return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)
