"""kopf as informer: each event updates the cache and wakes a key; no work is done here.

kopf's create, update and delete handlers block their object and write to it; `on.event` does neither.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import random
from collections.abc import Iterator, Mapping
from typing import Any

import kopf

from vmclone_operator.api import GROUP, VERSION
from vmclone_operator.engine.context import Engine
from vmclone_operator.engine.work.queue import Priority
from vmclone_operator.kube.cluster import Document, Kind
from vmclone_operator.kube.proxy import proxy_for

_WATCHED = (Kind.BACKEND, Kind.SOURCE, Kind.VMCLONE, Kind.REPLICA)


class ForeverWithJitter:
    """Endless waits in seconds, growing to 30: an API server that is away longer must not end the watch."""

    def __iter__(self) -> Iterator[float]:
        """Yield the waits."""
        seconds = 1.0
        while True:
            yield seconds * random.uniform(0.8, 1.2)  # noqa: S311  - jitter
            seconds = min(30.0, seconds * 2)


class NothingKept(kopf.DiffBaseStorage):
    """Keeps kopf from copying each object that changes, to compare it with what its own handlers did last: it has none.

    Its default would copy the status of a VMClone of a hundred replicas, 60 KiB, at every event of it.
    """

    def build(self, *, body: kopf.Body, extra_fields: object = None) -> kopf.BodyEssence:  # noqa: ARG002
        """Return that there is nothing to compare."""
        return kopf.BodyEssence()

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:  # noqa: ARG002
        """Return that nothing was kept."""
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        """Write nothing: no annotation of kopf's is ever on an object."""


def build_registry(engine: Engine, ending: asyncio.Event) -> kopf.OperatorRegistry:
    """Return kopf handlers that feed the engine, and set `ending` as soon as kopf begins to end."""
    registry = kopf.OperatorRegistry()

    async def ends(**_: Any) -> None:  # noqa: ANN401  - kopf passes what it has
        ending.set()

    kopf.on.startup(registry=registry, id="settings")(configure)
    kopf.on.cleanup(registry=registry, id="ending")(ends)
    kopf.on.login(registry=registry, id="login")(_login)
    for kind in _WATCHED:
        kopf.on.event(GROUP, VERSION, kind.plural, registry=registry, id=kind.plural)(_watch(engine, kind))
    return registry


def take_event(engine: Engine, kind: Kind, event_type: str | None, document: Document) -> None:
    """Put what an event says into the cache and wake whom it concerns."""
    engine.hear(kind)
    if event_type == "DELETED":
        engine.lost(kind, document)
    else:
        engine.saw(kind, document, Priority.LOW if event_type is None else Priority.HIGH)


def _watch(engine: Engine, kind: Kind) -> Any:  # noqa: ANN401  - kopf's handler type is its own
    async def on_event(event: Any, **_: Any) -> None:  # noqa: ANN401  - kopf passes raw JSON
        take_event(engine, kind, event["type"], dict(event["object"]))

    return on_event


async def configure(settings: kopf.OperatorSettings, **_: Any) -> None:  # noqa: ANN401
    """Set kopf up as an informer."""
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.persistence.diffbase_storage = NothingKept()
    settings.watching.chunk_size = 500
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 10
    settings.networking.error_backoffs = ForeverWithJitter()


async def _login(**kwargs: Any) -> kopf.ConnectionInfo | None:  # noqa: ANN401
    inside = kopf.login_with_service_account(**kwargs)
    login = by_address(inside, os.environ) if inside is not None else kopf.login_with_kubeconfig(**kwargs)
    return None if login is None else by_proxy(login, os.environ)


def by_proxy(login: kopf.ConnectionInfo, environment: Mapping[str, str]) -> kopf.ConnectionInfo:
    """Return the login with the proxy that kubectl would take; what a kubeconfig says comes first."""
    proxy = login.proxy_url or proxy_for(login.server, environment) or None
    return dataclasses.replace(login, proxy_url=proxy, trust_env=False)


def by_address(login: kopf.ConnectionInfo, environment: Mapping[str, str]) -> kopf.ConnectionInfo:
    """Return the login with the API server's address, as every client library has it: kopf's name needs a DNS."""
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        return login
    return dataclasses.replace(login, server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}")
