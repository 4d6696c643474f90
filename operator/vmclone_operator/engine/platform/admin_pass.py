"""The passes of CloneBackend and CloneSource: is the backend there, is the VM there? Reported, never changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from vmclone_operator.api.backend import CapabilitiesStatus, CloneBackendStatus
from vmclone_operator.api.source import CloneSourceSpec, CloneSourceStatus
from vmclone_operator.domain.backend import Capabilities, DiskCopy, Mode
from vmclone_operator.domain.conditions import ConditionWriter, Progress, Readiness, without
from vmclone_operator.domain.errors import BackendUnreachable, CloneError, CredentialsInvalid, RetryLater
from vmclone_operator.engine.context import Engine
from vmclone_operator.engine.ledger.written import dumped
from vmclone_operator.engine.platform import sweep
from vmclone_operator.engine.secrets import home_key
from vmclone_operator.engine.source import copy_queue, switched
from vmclone_operator.engine.vmclone.clone_report import SKEWED
from vmclone_operator.kube.cluster import Document, Kind

Admins = TypeVar("Admins", CloneBackendStatus, CloneSourceStatus)
_RETRY_SECONDS = 30.0
_ANSWERS = "the backend answers"


async def check_backend(engine: Engine, document: Document) -> float | None:
    """Ask the backend for its version and report whether it answers."""
    status = CloneBackendStatus.model_validate(document.get("status") or {})
    name = document["metadata"]["name"]
    try:
        session = await engine.sessions.get(document, name)
        info = await session.check()
        engine.sessions.learned(document["metadata"]["name"], session, info.capabilities)
    except CloneError as error:
        status = _of_clocks(engine, document, _of_connection(status, engine.writer_for(document), error))
        await _write(engine, Kind.BACKEND, document, status, _failure(error), {})
        return _RETRY_SECONDS
    state = Readiness(ready=True, reason="Reachable", message=_ANSWERS, progress=Progress.SETTLED)
    status = _of_clocks(engine, document, _of_connection(status, engine.writer_for(document), None))
    if engine.keeps_shared():
        status = await sweep.swept(engine, document, session, status)
    await _write(
        engine,
        Kind.BACKEND,
        document,
        status,
        state,
        {"version": info.version, "capabilities": _told(info.capabilities)},
    )
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
        status = _reachable(status, engine.writer_for(document), error)
        await _write(engine, Kind.SOURCE, document, status, _failure(error), {})
        return _RETRY_SECONDS
    state = Readiness(
        ready=True, reason="Found", message=f"the VM is {info.power.value.lower()}", progress=Progress.SETTLED
    )
    running, waiting = copy_queue.counts(engine, copy_queue.source_name(engine, backend, info.source_id))
    update = {
        "id": info.source_id,
        "fingerprint": info.fingerprint,
        "power": info.power.value,
        "clones": engine.cache.admission.held(document["metadata"]["name"]),
        "active_copies": running,
        "queued_copies": waiting,
        "switched_for": switched.still_switched(engine, status),
    }
    status = _reachable(status, engine.writer_for(document), None)
    status = await _with_home_access(engine, document, spec, status)
    await _write(engine, Kind.SOURCE, document, status, state, update)
    return None


def _of_clocks(engine: Engine, document: Document, status: CloneBackendStatus) -> CloneBackendStatus:
    """Say that the operator's clock is off, while it is: admins look at their CloneBackends."""
    complaint = engine.clocks().complaint()
    if not complaint:
        return status.model_copy(update={"conditions": without(status.conditions, SKEWED)})
    writer = engine.writer_for(document)
    conditions = writer.put(status.conditions, SKEWED, status=True, reason=SKEWED, message=complaint)
    return status.model_copy(update={"conditions": conditions})


def _of_connection(status: CloneBackendStatus, writer: ConditionWriter, error: CloneError | None) -> CloneBackendStatus:
    """Say whether the host answers and whether it takes our credentials; what was not found out stays as it was."""
    status = _reachable(status, writer, error)
    if error is not None and not isinstance(error, CredentialsInvalid):
        return status
    word, message = ("CredentialsValid", "our credentials are taken") if error is None else (error.reason, str(error))
    conditions = writer.put(status.conditions, "CredentialsValid", status=error is None, reason=word, message=message)
    return status.model_copy(update={"conditions": conditions})


def _reachable(status: Admins, writer: ConditionWriter, error: CloneError | None) -> Admins:
    """Say whether the backend answers; one that refuses us or does not know the VM may or may not have been asked."""
    if error is not None and not isinstance(error, BackendUnreachable):
        return status
    word, message = ("Reachable", _ANSWERS) if error is None else (error.reason, str(error))
    conditions = writer.put(status.conditions, "Reachable", status=error is None, reason=word, message=message)
    return status.model_copy(update={"conditions": conditions})


def _told(able: Capabilities) -> CapabilitiesStatus:
    copies = [copy.value for copy, can in ((DiskCopy.LINKED, able.linked), (DiskCopy.FULL, able.full)) if can]
    return CapabilitiesStatus(modes=tuple(m.value for m in Mode if m in able.modes), copies=tuple(copies))


async def _with_home_access(
    engine: Engine, document: Document, spec: CloneSourceSpec, status: CloneSourceStatus
) -> CloneSourceStatus:
    """Say whether the key for the home is there; nothing is said of a source that gives no access to its home."""
    if spec.home is None or spec.home.ssh_key_secret_ref is None:
        return status.model_copy(update={"conditions": without(status.conditions, "HomeAccess")})
    writer = engine.writer_for(document)
    problem = await home_key.problem(engine, spec.home)
    word, message = ("HomeAccessMissing", problem) if problem else ("KeyFound", "the key for the home is there")
    conditions = writer.put(status.conditions, "HomeAccess", status=not problem, reason=word, message=message)
    return status.model_copy(update={"conditions": conditions})


def _failure(error: CloneError) -> Readiness:
    progress = Progress.WORKING if isinstance(error, RetryLater) else Progress.STALLED
    return Readiness(ready=False, reason=error.reason, message=str(error), progress=progress, step=error.reason)


async def _write(  # noqa: PLR0917  - one call shape for two kinds
    engine: Engine,
    kind: Kind,
    document: Document,
    status: CloneBackendStatus | CloneSourceStatus,
    state: Readiness,
    update: Mapping[str, object],
) -> None:
    if not engine.keeps_shared():
        return  # another installation, with other namespaces, tells how it is: two would write each other's figures
    generation = document["metadata"].get("generation", 1)
    conditions = engine.writer_for(document).put_readiness(status.conditions, state)
    changed = status.model_copy(update={**update, "observed_generation": generation, "conditions": conditions})
    await engine.write_status(kind, document, dumped(changed))
