"""Open connections to backends, one per CloneBackend, made again when its spec or its Secret changes.

One slow or dead host never delays another's replicas: each backend is opened under its own lock.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from vmclone_operator.api.backend import CloneBackendSpec
from vmclone_operator.domain.backend import Backend, BackendConfig, BackendSession, Capabilities, Fence, Wake
from vmclone_operator.domain.errors import ActionNeeded, BackendUnreachable, CloneError, CredentialsInvalid
from vmclone_operator.kube.cluster import Cluster, Document, Key, Kind

_SECRET_FRESH_SECONDS = 30.0
_FAILED_FRESH_SECONDS = 5.0
_OPEN_SECONDS = 15.0


class BackendNotFound(ActionNeeded):
    """No CloneBackend of that name exists."""

    reason = "BackendNotReady"


@dataclass(slots=True)
class _Open:
    version: tuple[str, ...]
    session: BackendSession
    checked_at: float
    able: dict[str, Capabilities] = field(default_factory=dict)
    """By pool; an empty name is the backend's own."""


@dataclass(slots=True, kw_only=True)
class Sessions:
    """Opens sessions on demand and keeps them."""

    cluster: Cluster
    namespace: str
    """The operator's own: credentials are read nowhere else."""
    load: Callable[[str], Backend]
    wake: Wake
    fence: Fence
    clock: Callable[[], float]
    _open: dict[str, _Open] = field(default_factory=dict)
    _locks: dict[str, asyncio.Lock] = field(default_factory=dict)
    _failed: dict[str, tuple[tuple[str, ...], float, CloneError]] = field(default_factory=dict)
    _closing: set[asyncio.Task[None]] = field(default_factory=set)

    async def get(self, backend: Document | None, name: str) -> BackendSession:
        """Return the session of a CloneBackend; raises BackendNotFound, CredentialsInvalid, BackendUnreachable."""
        if backend is None:
            raise BackendNotFound(f"CloneBackend {name} does not exist; ask the platform team to create it")
        meta = backend["metadata"]
        spec_version = (str(meta["uid"]), str(meta.get("generation", 0)))
        self._refuse_failed(name, spec_version)
        async with self._locks.setdefault(name, asyncio.Lock()):
            self._refuse_failed(name, spec_version)
            known = self._open.get(name)
            fresh = known is not None and self.clock() - known.checked_at < _SECRET_FRESH_SECONDS
            if known is not None and fresh and known.version[:2] == spec_version:
                return known.session
            try:
                return await self._reopen(name, CloneBackendSpec.model_validate(backend["spec"]), spec_version)
            except CloneError as error:
                self._failed[name] = (spec_version, self.clock(), error)
                raise

    async def capabilities(self, backend: Document | None, name: str, pool: str) -> Capabilities:
        """Return what a CloneBackend can do in a pool; asked once for each connection. Raises what `get` does."""
        session = await self.get(backend, name)
        known = self._open[name]
        if known.session is not session or pool not in known.able:
            known.able[pool] = (await session.check(pool)).capabilities
        return known.able[pool]

    def learned(self, name: str, session: BackendSession, able: Capabilities) -> None:
        """Keep what a check of a connection that is open told."""
        known = self._open.get(name)
        if known is not None and known.session is session:
            known.able[""] = able

    def look_seconds(self, name: str) -> float:
        """Return the least time between two looks at a CloneBackend; 0 until it was asked what it can do."""
        known = self._open.get(name)
        return 0 if known is None else max((able.look_seconds for able in known.able.values()), default=0)

    def _refuse_failed(self, name: str, spec_version: tuple[str, ...]) -> None:
        """Fail at once while the last attempt to connect is fresh: a dead host must not hold up N passes."""
        failed = self._failed.get(name)
        if failed is None:
            return
        if failed[0] == spec_version and self.clock() - failed[1] < _FAILED_FRESH_SECONDS:
            raise failed[2]
        del self._failed[name]

    async def close(self) -> None:
        """End every connection; one that fails to end raises once the others are ended."""
        async with AsyncExitStack() as stack:
            for known in self._open.values():
                stack.push_async_callback(known.session.close)
            self._open.clear()

    async def _reopen(self, name: str, spec: CloneBackendSpec, spec_version: tuple[str, ...]) -> BackendSession:
        secret_version, credentials = await self._credentials(spec)
        version = (*spec_version, secret_version)
        known = self._open.get(name)
        if known is not None and known.version == version:
            known.checked_at = self.clock()
            return known.session
        block = getattr(spec, spec.kind)
        config = BackendConfig(
            name=name,
            settings=block.model_dump(by_alias=True, exclude_none=True),
            credentials=credentials,
            secret="" if spec.credentials is None else spec.credentials.secret_ref.name,
        )
        try:
            async with asyncio.timeout(_OPEN_SECONDS):
                session = await self.load(spec.kind).open(config, wake=self.wake, fence=self.fence)
        except TimeoutError as error:
            raise BackendUnreachable(f"CloneBackend {name} did not answer within {_OPEN_SECONDS:.0f} s") from error
        self._open[name] = _Open(version, session, self.clock())
        if known is not None:
            task = asyncio.create_task(known.session.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
        return session

    async def _credentials(self, spec: CloneBackendSpec) -> tuple[str, Mapping[str, bytes]]:
        if spec.credentials is None:
            return "", {}
        name = spec.credentials.secret_ref.name
        secret = await self.cluster.get(Key(Kind.SECRET, self.namespace, name))
        if secret is None:
            raise CredentialsInvalid(f"Secret {name} does not exist in namespace {self.namespace}; create it")
        try:
            data = {key: base64.b64decode(value, validate=True) for key, value in (secret.get("data") or {}).items()}
        except binascii.Error as error:
            raise CredentialsInvalid(f"Secret {name} holds a value that is not base64") from error
        return str(secret["metadata"]["resourceVersion"]), data
