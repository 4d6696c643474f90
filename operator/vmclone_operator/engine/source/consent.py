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
from vmclone_operator.domain.backend import Mode
from vmclone_operator.domain.grants import allows, needs_labels
from vmclone_operator.domain.steps import Blocker
from vmclone_operator.engine.context import Engine
from vmclone_operator.engine.objects.parsed import vmclone_spec
from vmclone_operator.engine.source import session_source
from vmclone_operator.engine.source.session_source import SessionSource
from vmclone_operator.homecopy.scrub import scrub_refusal
from vmclone_operator.kube.cluster import Document, Key, Kind

Read = Callable[[Key], Awaitable[Document | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """The source and backend in use, and what speaks against using them."""

    blocker: Blocker | None = None
    source: CloneSourceSpec | None = None
    backend: CloneBackendSpec | None = None
    backend_name: str = ""
    """Where the clones go."""
    source_backend: str = ""
    """Where the source is."""
    mode: str = ""
    image: str = ""
    """Mode Clean: the golden image at that backend."""
    origin: SessionSource | None = None
    """The clone that is the source, when a session is."""
    clone_source: str = ""
    """The CloneSource whose word counts."""


async def check(engine: Engine, vmclone: Document, *, live: bool = False) -> Consent:
    """Return what the VMClone may use; with `live`, nothing is taken from the cache."""

    async def cached(key: Key) -> Document | None:
        return engine.cache.get(key) or await engine.live(key)

    return await _resolve(engine, vmclone, engine.live if live else cached)


async def _resolve(engine: Engine, vmclone: Document, read: Read) -> Consent:
    spec = vmclone_spec(vmclone)
    namespace = vmclone["metadata"]["namespace"]
    allowed = await _source(engine, vmclone, spec, read)
    source, origin, root = allowed.source, allowed.origin, allowed.clone_source
    if source is None or allowed.blocker is not None:
        return allowed
    mode = spec.mode or source.modes[0]
    name = spec.backend.name if spec.backend is not None else source.backend.name
    mismatch = _mismatch(source, mode, name)
    if mismatch:
        return Consent(blocker=Blocker(reason="BackendMismatch", message=mismatch), source=source)
    document = await read(Key(Kind.BACKEND, "", name))
    if document is None:
        message = f"CloneBackend {name} does not exist; ask the platform team to create it"
        return Consent(blocker=Blocker(reason="BackendNotReady", message=message), source=source)
    backend = CloneBackendSpec.model_validate(document["spec"])
    if await _granted(read, backend.allowed_namespaces, namespace):
        blocker = _not_allowed(spec, source, mode, root)
    else:
        message = f"CloneBackend {name} does not allow namespace {namespace}; ask the platform team"
        blocker = Blocker(reason="SourceNotGranted", message=message)
    return Consent(
        blocker=blocker,
        source=source,
        backend=backend,
        backend_name=name,
        source_backend=source.backend.name,
        mode=mode,
        image=_images(source).get(name, "") if mode == Mode.CLEAN.value else "",
        origin=origin,
        clone_source=root,
    )


def _not_allowed(spec: VMCloneSpec, source: CloneSourceSpec, mode: str, name: str) -> Blocker | None:
    """Return what of the wish the source's owner does not allow, or what of the owner's own word cannot be kept."""
    if mode not in source.modes:
        message = f"mode {mode} is not allowed by CloneSource {name}; write one of: {', '.join(source.modes)}"
        return Blocker(reason="ModeNotAllowed", message=message)
    if spec.source_power != "Keep" and spec.source_power not in source.allowed_source_power:
        message = (
            f"spec.sourcePower is {spec.source_power}, which CloneSource {name} does not allow (allowedSourcePower);"
            " write Keep, or ask the platform team"
        )
        return Blocker(reason="SourcePowerNotAllowed", message=message)
    return _scrub_refused(source, mode, name)


def _scrub_refused(source: CloneSourceSpec, mode: str, name: str) -> Blocker | None:
    """Return what of the owner's scrub cannot be sent to a guest: nothing is made that could not be scrubbed."""
    problem = scrub_refusal(source) if mode == Mode.DISK.value else ""
    return Blocker(reason="SourceUnhealthy", message=f"CloneSource {name}: {problem}") if problem else None


async def _source(engine: Engine, vmclone: Document, spec: VMCloneSpec, read: Read) -> Consent:
    """Return the source alone, or why this namespace has none: its owner's word, as it stands for a clone as well."""
    namespace = vmclone["metadata"]["namespace"]
    origin = await session_source.find(engine, read, vmclone) if spec.source.session else None
    if spec.source.session and origin is None:
        return Consent(blocker=await _no_source(engine, read, f"session {spec.source.session}", namespace))
    root = origin.clone_source if origin is not None else spec.source.name
    document = await read(Key(Kind.SOURCE, "", root))
    source = None if document is None else CloneSourceSpec.model_validate(document["spec"])
    if source is None or not await _granted(read, source.allowed_namespaces, namespace):
        return Consent(blocker=await _no_source(engine, read, root, namespace, exists=source is not None))
    if origin is None:
        return Consent(source=source, clone_source=root)
    refused = _session_refused(source, origin)
    return Consent(blocker=refused, source=origin.narrowed(source), origin=origin, clone_source=root)


def _session_refused(root: CloneSourceSpec, origin: SessionSource) -> Blocker | None:
    """Return why the owner of the root, or the clone's state, forbids to clone it."""
    if not root.clone_of_clones or Mode.DISK.value not in root.modes:
        message = (
            f"CloneSource {origin.clone_source} does not allow that its clones are cloned (cloneOfClones, mode Disk);"
            " clone the source itself, or ask the platform team"
        )
        return Blocker(reason="ModeNotAllowed", message=message)
    if not origin.ready:
        message = f"session {origin.session} is not Ready; it is cloned once it is"
        return Blocker(reason="SourceUnhealthy", message=message, retrying=True)
    return None


def _images(source: CloneSourceSpec) -> dict[str, str]:
    return {image.backend: image.volume for image in source.images}


def _mismatch(source: CloneSourceSpec, mode: str, backend: str) -> str:
    """Return why clones of this mode cannot go to a backend, empty when they can."""
    if mode == Mode.CLEAN.value and Mode.CLEAN.value in source.modes:
        granted = sorted(_images(source))
        if backend not in granted:
            return f"the source grants no image for backend {backend}; write one of: {', '.join(granted)}"
    elif backend != source.backend.name:
        return f"spec.backend is {backend}, but mode Disk stays on {source.backend.name}; write that or leave it out"
    return ""


async def _granted(read: Read, allowed: AllowedNamespaces | None, namespace: str) -> bool:
    labels: dict[str, str] = {}
    if needs_labels(allowed):
        document = await read(Key(Kind.NAMESPACE, "", namespace))
        labels = {} if document is None else document["metadata"].get("labels", {})
    return allows(allowed, namespace, labels)


async def _no_source(engine: Engine, read: Read, name: str, namespace: str, *, exists: bool = False) -> Blocker:
    """Name what this namespace may use, never what others may: a source that is not granted looks like none."""
    usable = []
    for document in engine.cache.all(Kind.SOURCE):
        grant = document["spec"].get("allowedNamespaces")
        allowed = None if grant is None else AllowedNamespaces.model_validate(grant)
        if await _granted(read, allowed, namespace):
            usable.append(document["metadata"]["name"])
    usable += [f"session {session}" for session in session_source.usable_sessions(engine, namespace)]
    hint = (
        f"it may use: {', '.join(sorted(usable)[:20])}"
        if usable
        else "it may use no source yet; ask the platform team for a CloneSource"
    )
    reason = "SourceNotGranted" if exists else "SourceNotFound"
    return Blocker(reason=reason, message=f"source {name} is not there for namespace {namespace}; {hint}")
