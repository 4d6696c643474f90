"""Switches the source for a freeze or a home copy where `spec.sourcePower` lets us, and puts it back as it was.

How it was found is written to the status of VMClone before it is switched, and to that of its CloneSource in case the
first is wiped; that it goes back is written before it does. All of it happens under the gate that freezes take, and
what other VMClones wrote down is read live.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from vmclone_operator.api.source_power import SourcePowerStatus
from vmclone_operator.api.vmclone import VMCloneSpec, VMCloneStatus
from vmclone_operator.domain.backend import BackendSession, Mode, Power
from vmclone_operator.domain.errors import SourceChanged, SourceLocked, SourceNotFound
from vmclone_operator.domain.source_power import PowerSituation, Switch, decide, found, why_not_yet
from vmclone_operator.domain.steps import SAFETY_NET_SECONDS
from vmclone_operator.engine.backends.endpoints import host_of
from vmclone_operator.engine.context import Engine
from vmclone_operator.engine.ledger.written import dumped
from vmclone_operator.engine.objects.lineage import is_copying, is_deleting
from vmclone_operator.engine.source import consent, copy_queue, switched
from vmclone_operator.engine.source.freezing import copied_elsewhere
from vmclone_operator.engine.source.source_vm import id_by_source
from vmclone_operator.kube.cluster import Document, Kind, key_of

Commit = Callable[[VMCloneStatus], Awaitable[VMCloneStatus]]
AGAIN_SECONDS = 2.0
_AGAIN = timedelta(seconds=AGAIN_SECONDS)
_SHUTDOWN_LIMIT = timedelta(minutes=2)
"""After that a guest that was asked to shut down, and then left alone, has obeyed or never will."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcePower:
    """The power of one VMClone's source."""

    engine: Engine
    document: Document
    commit: Commit
    backend: str = ""
    """Where the source is; empty: where its frozen points are."""

    async def ensure(self, status: VMCloneStatus, wanted: Power | None) -> tuple[VMCloneStatus, bool]:
        """Bring the source a step closer to what is needed; return the status and whether it is there."""
        ledger = status.source_power
        backend, source_id = self._vm(status)
        if ledger is None and (wanted is None or not source_id):
            return status, True
        session = await self.engine.session(backend)
        async with self.engine.source_gate(backend, source_id):
            situation = await self._look(ledger, wanted, session, (backend, source_id))
            _complain(situation)
            status = await self._carry_out(decide(situation), situation, status, session)
        return status, wanted is None or (situation.observed is wanted and not _goes_back(status))

    def _vm(self, status: VMCloneStatus) -> tuple[str, str]:
        """Return the source's backend and id: as written down if it is switched, else as they are known now."""
        ledger = status.source_power
        if ledger is not None:
            return ledger.backend, ledger.id
        return self.backend or status.source.backend, status.source.id or id_by_source(self.engine, self.document)

    async def settle(self, status: VMCloneStatus, *, copies: bool) -> tuple[VMCloneStatus, float | None]:
        """Have it on while homes are copied, else put it back; return the status and when to look again."""
        copies = copies and (status.source_power is not None or await self._may_begin())
        status, there = await self.ensure(status, Power.ON if copies else None)
        ledger = status.source_power
        if there and ledger is None:
            return status, None
        # While homes are copied from it nothing is to be done; each copy that ends wakes us.
        return status, SAFETY_NET_SECONDS if there and copies and ledger and ledger.reached else AGAIN_SECONDS

    async def _may_begin(self) -> bool:
        """Read the wish and the grants live: the source is about to be switched."""
        live = await self.engine.live(key_of(Kind.VMCLONE, self.document))
        if live is None or is_deleting(live) or live["metadata"]["uid"] != self.document["metadata"]["uid"]:
            return False
        return (await consent.check(self.engine, live, live=True)).blocker is None

    async def _look(
        self, ledger: SourcePowerStatus | None, wanted: Power | None, session: BackendSession, vm: tuple[str, str]
    ) -> PowerSituation:
        backend, source_id = vm
        return PowerSituation(
            wanted=wanted,
            observed=await _observed(session, source_id, needed=wanted is not None),
            ledger=ledger,
            others=await _others(self.engine, self.document, backend, source_id),
            busy=self._busy(ledger, wanted, backend, source_id),
            settled=ledger is not None and self._settled(ledger),
        )

    def _busy(self, ledger: SourcePowerStatus | None, wanted: Power | None, backend: str, source_id: str) -> str:
        """Return what others do with the source that a switch would cut off; a VMClone that goes waits for nobody."""
        goes_off = wanted is Power.OFF or (ledger is not None and wanted is None and ledger.was == Power.OFF.value)
        if is_deleting(self.document):
            return ""
        vm = (backend, source_id)
        if (ledger is None or goes_off) and copied_elsewhere(self.engine, self.document, vm) is not None:
            return "is being copied for another VMClone"
        running, _ = copy_queue.counts(self.engine, copy_queue.source_name(self.engine, backend, source_id))
        return "has its home copied just now" if goes_off and running else ""

    def _settled(self, ledger: SourcePowerStatus) -> bool:
        if not ledger.return_time:
            return False
        return self.engine.now() - datetime.fromisoformat(ledger.return_time) > _SHUTDOWN_LIMIT

    async def _carry_out(
        self, step: Switch, situation: PowerSituation, status: VMCloneStatus, session: BackendSession
    ) -> VMCloneStatus:
        ledger, wanted = status.source_power, situation.wanted
        if step is Switch.RECORD and wanted is not None:
            return await self._record(situation, wanted, status, session)
        if ledger is None or step is Switch.NOTHING:
            return status
        if step is Switch.FORGET:
            await switched.forget(self.engine, self.document)
            return await self.commit(status.model_copy(update={"source_power": None}))
        if step is Switch.SWITCH and wanted is not None:
            await session.set_source_power(ledger.id, wanted)
            return status
        there = ledger.model_copy(update={"reached": ledger.reached or situation.observed is Power(ledger.wanted)})
        if step is Switch.RETURN:
            there = there.model_copy(update={"return_time": self.engine.timestamp()})
        if there != ledger:
            status = await self.commit(status.model_copy(update={"source_power": there}))
        if step in {Switch.RETURN, Switch.PUT_BACK}:
            await session.set_source_power(ledger.id, Power(ledger.was))
        return status

    async def _record(
        self, situation: PowerSituation, wanted: Power, status: VMCloneStatus, session: BackendSession
    ) -> VMCloneStatus:
        backend, source_id = self._vm(status)
        ledger = SourcePowerStatus(
            id=source_id,
            backend=backend,
            was=found(situation).value,
            wanted=wanted.value,
            reached=situation.observed is wanted,
            recorded_time=self.engine.timestamp(),
        )
        await switched.remember(self.engine, self.document, ledger)
        status = await self.commit(status.model_copy(update={"source_power": ledger}))
        if not ledger.reached and not await session.set_source_power(ledger.id, wanted):
            # Somebody else was quicker: it is theirs to put back.
            await switched.forget(self.engine, self.document)
            return await self.commit(status.model_copy(update={"source_power": None}))
        return status


def _complain(s: PowerSituation) -> None:
    """Raise what people must know: somebody else switched the source, or it is held for another VMClone."""
    ledger = s.ledger
    if ledger is None:
        waits = why_not_yet(s)
        if waits:
            raise SourceLocked(f"the source {waits}; it is used once that is over", retry_after=_AGAIN)
        return
    moved = ledger.reached and not ledger.return_time and s.observed is not None and s.observed.value != ledger.wanted
    if s.wanted is not None and s.observed is not None and moved:
        raise SourceChanged(
            f"somebody switched the source {s.observed.value.lower()}, which was wanted {s.wanted.value.lower()} for"
            " spec.sourcePower; it is left as it is: switch it back, or set spec.sourcePower to Keep"
        )


def _goes_back(status: VMCloneStatus) -> bool:
    return status.source_power is not None and bool(status.source_power.return_time)


async def _observed(session: BackendSession, source_id: str, *, needed: bool) -> Power | None:
    try:
        return (await session.describe_source(source_id)).power
    except SourceNotFound:
        if needed:
            raise
        return None


def copies_homes(spec: VMCloneSpec, mode: str, replicas: Sequence[Document]) -> bool:
    """Return whether a home is read from the source now, or waits for that."""
    if spec.source_power != "StartForCopy" or mode != Mode.CLEAN.value:
        return False
    return any(is_copying(replica) and not is_deleting(replica) for replica in replicas)


async def put_back(engine: Engine, vmclone: Document) -> bool:
    """Put the source of a VMClone that goes back as it was, or hand it over; true once that is written down."""
    document = engine.newest(Kind.VMCLONE, vmclone)

    async def commit(status: VMCloneStatus) -> VMCloneStatus:
        await engine.write_status(Kind.VMCLONE, document, dumped(status))
        return status

    status = switched.status_of(engine, document)
    status, _ = await SourcePower(engine=engine, document=document, commit=commit).ensure(status, None)
    return status.source_power is None


async def _others(engine: Engine, vmclone: Document, backend: str, source_id: str) -> list[SourcePowerStatus]:
    """Return what other VMClones, of any namespace, wrote down about the same VM; one that is gone holds nothing."""
    vm = (host_of(engine.cache, backend), source_id)
    ledgers = []
    for other in switched.others(engine, vmclone):
        live = await engine.read(key_of(Kind.VMCLONE, other))
        told = None if live is None else switched.ledger_of(engine, live)
        if told is not None and (host_of(engine.cache, told.backend), told.id) == vm:
            ledgers.append(told)
    return ledgers
