"""The source's VM at its backend, as it is now."""

from __future__ import annotations

from vmclone_operator.domain.backend import SourceInfo
from vmclone_operator.domain.errors import SourceNotFound
from vmclone_operator.engine import consent, session_source
from vmclone_operator.engine.context import Engine


async def described(engine: Engine, found: consent.Consent) -> SourceInfo:
    """Describe the source that a VMClone may use; raises SourceNotFound, and what the backend fails with."""
    if found.source is None:
        raise SourceNotFound("there is no source to look at")
    if found.origin is not None:
        return await session_source.described(engine, found.origin)
    session = await engine.session(found.source_backend)
    return await session.describe_source(found.source.vm.name)
