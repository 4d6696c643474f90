"""Whether a VMClone may use its source and backend now: looked up, then decided by the grants alone.

Admission is a courtesy; this is the control. It is asked again, live, before a source is frozen and before
a clone is begun.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from vmclone_operator.api.backend import CloneBackendSpec
from vmclone_operator.api.base import AllowedNamespaces
from vmclone_operator.api.source import CloneSourceSpec
from vmclone_operator.api.vmclone import VMCloneSpec
from vmclone_operator.domain.grants import allows, needs_labels
from vmclone_operator.domain.plan import Blocker
from vmclone_operator.engine.context import Engine
from vmclone_operator.kube.cluster import Document, Key, Kind

Read = Callable[[Key], Awaitable[Document | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """The source and backend in use, and what speaks against using them."""

    blocker: Blocker | None = None
    source: CloneSourceSpec | None = None
    backend: CloneBackendSpec | None = None
    backend_name: str = ""
    mode: str = ""


async def check(engine: Engine, vmclone: Document, *, live: bool = False) -> Consent:
    """Return what the VMClone may use; with `live`, nothing is taken from the cache."""

    async def cached(key: Key) -> Document | None:
        return engine.cache.get(key) or await engine.live(key)

    return await _resolve(engine, vmclone, engine.live if live else cached)


async def _resolve(engine: Engine, vmclone: Document, read: Read) -> Consent:
    spec = VMCloneSpec.model_validate(vmclone["spec"])
    namespace = vmclone["metadata"]["namespace"]
    document = await read(Key(Kind.SOURCE, "", spec.source.name))
    source = None if document is None else CloneSourceSpec.model_validate(document["spec"])
    if source is None or not await _granted(read, source.allowed_namespaces, namespace):
        return Consent(blocker=await _no_source(engine, read, spec.source.name, namespace, exists=source is not None))
    name = source.backend.name
    if spec.backend is not None and spec.backend.name != name:
        message = f"spec.backend is {spec.backend.name}, but mode Disk stays on {name}; write that or leave it out"
        return Consent(blocker=Blocker(reason="BackendMismatch", message=message), source=source)
    document = await read(Key(Kind.BACKEND, "", name))
    if document is None:
        message = f"CloneBackend {name} does not exist; ask the platform team to create it"
        return Consent(blocker=Blocker(reason="BackendNotReady", message=message), source=source)
    backend = CloneBackendSpec.model_validate(document["spec"])
    mode = spec.mode or source.modes[0]
    blocker = None
    if not await _granted(read, backend.allowed_namespaces, namespace):
        message = f"CloneBackend {name} does not allow namespace {namespace}; ask the platform team"
        blocker = Blocker(reason="SourceNotGranted", message=message)
    elif mode not in source.modes:
        message = (
            f"mode {mode} is not allowed by CloneSource {spec.source.name}; write one of: {', '.join(source.modes)}"
        )
        blocker = Blocker(reason="ModeNotAllowed", message=message)
    else:
        blocker = _over_limits(engine, vmclone, spec, source)
    return Consent(blocker=blocker, source=source, backend=backend, backend_name=name, mode=mode)


async def _granted(read: Read, allowed: AllowedNamespaces | None, namespace: str) -> bool:
    labels: dict[str, str] = {}
    if needs_labels(allowed):
        document = await read(Key(Kind.NAMESPACE, "", namespace))
        labels = {} if document is None else document["metadata"].get("labels", {})
    return allows(allowed, namespace, labels)


async def _no_source(engine: Engine, read: Read, name: str, namespace: str, *, exists: bool) -> Blocker:
    """Name what this namespace may use, never what others may: a source that is not granted looks like none."""
    usable = []
    for document in engine.cache.all(Kind.SOURCE):
        grant = document["spec"].get("allowedNamespaces")
        allowed = None if grant is None else AllowedNamespaces.model_validate(grant)
        if await _granted(read, allowed, namespace):
            usable.append(document["metadata"]["name"])
    hint = (
        f"it may use: {', '.join(sorted(usable)[:20])}"
        if usable
        else "it may use no source yet; ask the platform team for a CloneSource"
    )
    reason = "SourceNotGranted" if exists else "SourceNotFound"
    return Blocker(reason=reason, message=f"source {name} is not there for namespace {namespace}; {hint}")


def _over_limits(engine: Engine, vmclone: Document, spec: VMCloneSpec, source: CloneSourceSpec) -> Blocker | None:
    limit = source.limits.max_replicas_per_clone
    if spec.replicas > limit:
        message = f"spec.replicas is {spec.replicas}; CloneSource {spec.source.name} allows {limit} in one VMClone"
        return Blocker(reason="QuotaExceeded", message=message)
    others = [
        other
        for other in engine.cache.all(Kind.VMCLONE)
        if other["metadata"]["uid"] != vmclone["metadata"]["uid"]
        and (other["spec"].get("source") or {}).get("name") == spec.source.name
    ]
    held = sum(len(engine.cache.replicas_of(other["metadata"]["uid"])) for other in others)
    if held + spec.replicas > source.limits.max_clones:
        message = (
            f"{spec.replicas} more clones of {spec.source.name} beside {held} of other VMClones"
            f" exceed its limit of {source.limits.max_clones}; lower spec.replicas or ask the platform team"
        )
        return Blocker(reason="QuotaExceeded", message=message)
    return None
