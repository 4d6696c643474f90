"""Switches the source for a freeze or a home copy where `spec.sourcePower` lets us, and puts it back as it was.

How it was found is written to VMClone status before it is switched; a VMClone that goes puts it back first.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from vmclone_operator.api.vmclone import SourcePowerStatus, VMCloneSpec, VMCloneStatus
from vmclone_operator.domain.backend import BackendSession, Mode, Power
from vmclone_operator.domain.errors import SourceChanged, SourceNotFound
from vmclone_operator.domain.source_power import PowerSituation, Switch, decide, found
from vmclone_operator.engine.cache import is_copying
from vmclone_operator.engine.context import Engine, is_deleting
from vmclone_operator.kube.cluster import Document, Kind

Commit = Callable[[VMCloneStatus], Awaitable[VMCloneStatus]]
AGAIN_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcePower:
    """The power of one VMClone's source."""

    engine: Engine
    document: Document
    spec: VMCloneSpec
    commit: Commit

    async def ensure(self, status: VMCloneStatus, wanted: Power | None) -> tuple[VMCloneStatus, bool]:
        """Bring the source a step closer to what is needed; return the status and whether it is there."""
        ledger = status.source_power
        if ledger is None and (wanted is None or not status.source.id):
            return status, True
        backend = ledger.backend if ledger is not None else status.source.backend
        source_id = ledger.id if ledger is not None else status.source.id
        session = await self.engine.session(backend)
        info = await session.describe_source(source_id)
        situation = PowerSituation(
            wanted=wanted,
            observed=info.power,
            ledger=ledger,
            others=_others(self.engine, self.document, backend, source_id),
        )
        if wanted is not None and ledger is not None and ledger.reached and info.power.value != ledger.wanted:
            raise SourceChanged(
                f"somebody switched the source {info.power.value.lower()}, which was wanted {wanted.value.lower()} for"
                " spec.sourcePower; it is left as it is: switch it back, or set spec.sourcePower to Keep"
            )
        status = await self._carry_out(decide(situation), situation, status, session)
        return status, wanted is None or info.power is wanted

    async def _carry_out(
        self, step: Switch, situation: PowerSituation, status: VMCloneStatus, session: BackendSession
    ) -> VMCloneStatus:
        ledger, wanted = status.source_power, situation.wanted
        if step is Switch.RECORD and wanted is not None:
            return await self._record(situation, wanted, status, session)
        if step is Switch.SWITCH and wanted is not None and ledger is not None:
            if situation.observed is wanted:
                reached = ledger.model_copy(update={"reached": True})
                return await self.commit(status.model_copy(update={"source_power": reached}))
            await session.set_source_power(ledger.id, wanted)
        if step is Switch.PUT_BACK and ledger is not None:
            await session.set_source_power(ledger.id, Power(ledger.was))
        if step is Switch.FORGET:
            return await self.commit(status.model_copy(update={"source_power": None}))
        return status

    async def _record(
        self, situation: PowerSituation, wanted: Power, status: VMCloneStatus, session: BackendSession
    ) -> VMCloneStatus:
        ledger = SourcePowerStatus(
            id=status.source.id,
            backend=status.source.backend,
            was=found(situation).value,
            wanted=wanted.value,
            reached=situation.observed is wanted,
            recorded_time=self.engine.timestamp(),
        )
        status = await self.commit(status.model_copy(update={"source_power": ledger}))
        if not ledger.reached and not await session.set_source_power(ledger.id, wanted):
            # Somebody else was quicker: it is theirs to put back.
            return await self.commit(status.model_copy(update={"source_power": None}))
        return status


def copies_homes(spec: VMCloneSpec, mode: str, replicas: Sequence[Document]) -> bool:
    """Return whether a home is read from the source now, or waits for that."""
    if spec.source_power != "StartForCopy" or mode != Mode.CLEAN.value:
        return False
    return any(is_copying(replica) and not is_deleting(replica) for replica in replicas)


async def put_back(engine: Engine, vmclone: Document) -> bool:
    """Put the source of a VMClone that goes back as it was; true once it is, or nobody can any more."""
    ledger = VMCloneStatus.model_validate(vmclone.get("status") or {}).source_power
    if ledger is None:
        return True
    with suppress(SourceNotFound):
        session = await engine.session(ledger.backend)
        info = await session.describe_source(ledger.id)
        situation = PowerSituation(
            wanted=None,
            observed=info.power,
            ledger=ledger,
            others=_others(engine, vmclone, ledger.backend, ledger.id),
        )
        if decide(situation) is Switch.PUT_BACK:
            await session.set_source_power(ledger.id, Power(ledger.was))
            return False
    return True


def _others(engine: Engine, vmclone: Document, backend: str, source_id: str) -> list[SourcePowerStatus]:
    """Return what other VMClones, of any namespace, wrote down about the same VM."""
    ledgers = []
    for other in engine.cache.all(Kind.VMCLONE):
        told = (other.get("status") or {}).get("sourcePower") or {}
        same = (told.get("backend"), told.get("id")) == (backend, source_id)
        if same and other["metadata"]["uid"] != vmclone["metadata"]["uid"]:
            ledgers.append(SourcePowerStatus.model_validate(told))
    return ledgers
