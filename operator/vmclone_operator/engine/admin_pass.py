"""The passes of CloneBackend and CloneSource: is the backend there, is the VM there? Reported, never changed."""

from __future__ import annotations

from vmclone_operator.api.backend import CloneBackendStatus
from vmclone_operator.api.source import CloneSourceSpec, CloneSourceStatus
from vmclone_operator.domain.conditions import ConditionWriter, Progress, Readiness
from vmclone_operator.domain.errors import CloneError, RetryLater
from vmclone_operator.engine.context import Engine
from vmclone_operator.engine.written import dumped
from vmclone_operator.kube.cluster import Document, Kind

_RETRY_SECONDS = 30.0


async def check_backend(engine: Engine, document: Document) -> float | None:
    """Ask the backend for its version and report whether it answers."""
    status = CloneBackendStatus.model_validate(document.get("status") or {})
    name = document["metadata"]["name"]
    try:
        info = await (await engine.sessions.get(document, name)).check()
    except CloneError as error:
        await _write(engine, Kind.BACKEND, document, status, _failure(error), {})
        return _RETRY_SECONDS
    state = Readiness(ready=True, reason="Reachable", message="the backend answers", progress=Progress.SETTLED)
    await _write(engine, Kind.BACKEND, document, status, state, {"version": info.version})
    return None


async def check_source(engine: Engine, document: Document) -> float | None:
    """Look the source's VM up and report whether it is there."""
    status = CloneSourceStatus.model_validate(document.get("status") or {})
    spec = CloneSourceSpec.model_validate(document["spec"])
    backend = spec.backend.name
    try:
        session = await engine.session(backend)
        info = await session.describe_source(spec.vm.name)
    except CloneError as error:
        await _write(engine, Kind.SOURCE, document, status, _failure(error), {})
        return _RETRY_SECONDS
    state = Readiness(
        ready=True, reason="Found", message=f"the VM is {info.power.value.lower()}", progress=Progress.SETTLED
    )
    update = {"fingerprint": info.fingerprint, "power": info.power.value}
    await _write(engine, Kind.SOURCE, document, status, state, update)
    return None


def _failure(error: CloneError) -> Readiness:
    progress = Progress.WORKING if isinstance(error, RetryLater) else Progress.STALLED
    return Readiness(ready=False, reason=error.reason, message=str(error), progress=progress, step=error.reason)


async def _write(  # noqa: PLR0917  - one call shape for two kinds
    engine: Engine,
    kind: Kind,
    document: Document,
    status: CloneBackendStatus | CloneSourceStatus,
    state: Readiness,
    update: dict[str, str],
) -> None:
    generation = document["metadata"].get("generation", 1)
    writer = ConditionWriter(generation=generation, now=engine.timestamp())
    conditions = writer.put_readiness(status.conditions, state)
    changed = status.model_copy(update={**update, "observed_generation": generation, "conditions": conditions})
    await engine.write_status(kind, document, dumped(changed))
