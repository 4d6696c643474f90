"""What the API server refuses, told where people look: on the object that the pass was for, and as an Event.

A refused request is no bug and no outage: a quota, a policy, a webhook that is down. Without a word the object would
look as if work went on for ever. Where even the status is refused (a policy may match that too), the Event remains.
"""

from __future__ import annotations

import logging

from vmclone_operator.api.vmclone import VMCloneStatus
from vmclone_operator.domain.api_refusals import SENTENCE_LIMIT, sorted_refusal
from vmclone_operator.domain.conditions import find, printable, without
from vmclone_operator.domain.errors import AdmissionUnavailable, CloneError, RetryLater
from vmclone_operator.domain.steps import Blocker
from vmclone_operator.engine.context import Engine
from vmclone_operator.engine.ledger.written import dumped
from vmclone_operator.engine.vmclone.clone_report import summarised
from vmclone_operator.kube.cluster import ClusterError, Document, HookDown, Kind, Refused, Unavailable, key_of

log = logging.getLogger(__name__)

WAIT_SECONDS = 60.0
"""How long after a refusal the same is asked again: a person has to do something first."""


def in_words(error: Refused | HookDown) -> CloneError:
    """Return a refusal as what a condition says."""
    if isinstance(error, HookDown):
        return AdmissionUnavailable(
            f"the API server refuses: {printable(str(error), SENTENCE_LIMIT)}; the webhook has to be repaired or its"
            " configuration removed; it is tried again"
        )
    return sorted_refusal(str(error))


def as_blocker(error: CloneError) -> Blocker:
    """Return what a VMClone says of it."""
    return Blocker(reason=error.reason, message=str(error), retrying=isinstance(error, RetryLater))


async def post(engine: Engine, kind: Kind, document: Document, error: CloneError) -> None:
    """Tell it as an Event, one for each reason."""
    await engine.events.post(
        kind, document, reason=error.reason, action="Request", note=str(error), warning=True, once=True
    )


async def tell_vmclone(engine: Engine, document: Document, error: CloneError) -> None:
    """Say on a VMClone what refuses it, by condition and Event, as far as that is not refused as well."""
    current = engine.newest(Kind.VMCLONE, document)
    status = VMCloneStatus.model_validate(current.get("status") or {})
    replicas = engine.cache.replicas_of(current["metadata"]["uid"])
    writer, told = engine.writer_for(current), as_blocker(error)
    final = summarised(
        current,
        replicas,
        status,
        mode=status.mode,
        blocker=None,
        verdict=told,
        writer=writer,
        clocks=engine.clocks(),
    )
    before = find(status.conditions, "SourceReady")  # nobody looked at the source this time
    conditions = (*without(final.conditions, "SourceReady"), *([before] if before is not None else []))
    ordered = tuple(sorted(conditions, key=lambda c: c.type))
    final = final.model_copy(update={"conditions": ordered})
    try:
        await engine.write_status(Kind.VMCLONE, current, dumped(final))
    except (Refused, Unavailable) as refused:
        where = str(key_of(Kind.VMCLONE, current))
        log.error("a refusal could not be told", extra={"object": where, "error": str(refused)})  # noqa: TRY400
    except ClusterError:
        return  # it was changed or is gone: the next pass sees
    await post(engine, Kind.VMCLONE, current, error)
