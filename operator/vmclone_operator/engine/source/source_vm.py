"""The source's VM at its backend, as it is now."""

from __future__ import annotations

from vmclone_operator.api.source import CloneSourceStatus
from vmclone_operator.domain.backend import SourceInfo
from vmclone_operator.domain.errors import SourceNotFound
from vmclone_operator.engine.context import Engine
from vmclone_operator.engine.source import consent, session_source
from vmclone_operator.kube.cluster import Document, Key, Kind


async def described(engine: Engine, found: consent.Consent) -> SourceInfo:
    """Describe the source that a VMClone may use; raises SourceNotFound, and what the backend fails with."""
    if found.source is None:
        raise SourceNotFound("there is no source to look at")
    if found.origin is not None:
        return await session_source.described(engine, found.origin)
    session = await engine.session(found.source_backend)
    return await session.describe_source(found.source.vm.name)


def id_by_source(engine: Engine, vmclone: Document) -> str:
    """Return the id that the pass of its CloneSource found: one that was restored froze nothing, and wrote none."""
    name = (vmclone["spec"].get("source") or {}).get("name") or ""
    source = engine.cache.get(Key(Kind.SOURCE, "", name)) or {}
    return CloneSourceStatus.model_validate(source.get("status") or {}).id
