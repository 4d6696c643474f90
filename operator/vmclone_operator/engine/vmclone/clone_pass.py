"""The pass of one VMClone: sessions, replicas, frozen points, and the only writer of its status."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from vmclone_operator.api.vmclone import SessionStatus, VMCloneStatus
from vmclone_operator.domain.admission import refusal
from vmclone_operator.domain.adoption import Match
from vmclone_operator.domain.conditions import find
from vmclone_operator.domain.errors import CloneError, LeadershipLost, RetryLater
from vmclone_operator.domain.expiry import Expiry
from vmclone_operator.domain.rollout import ReplicaView, freezes
from vmclone_operator.domain.steps import SAFETY_NET_SECONDS, Blocker
from vmclone_operator.domain.story import news
from vmclone_operator.engine.context import Engine
from vmclone_operator.engine.guest.access_pass import wake_other_keys
from vmclone_operator.engine.ledger.freeze_attempts import FreezeHeld, outlived
from vmclone_operator.engine.ledger.written import dumped
from vmclone_operator.engine.objects.parsed import vmclone_spec, vmclone_status
from vmclone_operator.engine.source import consent, copy_queue, switched
from vmclone_operator.engine.source.frozen_pass import FrozenPass
from vmclone_operator.engine.source.source_power import SourcePower, copies_homes
from vmclone_operator.engine.vmclone import adopting, expiring, refusals
from vmclone_operator.engine.vmclone.clone_report import PLAN_REASONS, is_no_news, only_steps_moved, summarised
from vmclone_operator.engine.vmclone.left_behind import LeftBehind
from vmclone_operator.engine.vmclone.planning import Planned, Planning
from vmclone_operator.engine.vmclone.replica_objects import ReplicaObjects
from vmclone_operator.engine.vmclone.session_names import conflict_with, recorded_sessions, wanted_sessions
from vmclone_operator.engine.vmclone.wake_replicas import look_closer, wake_asked, wake_blocked, wake_waiting
from vmclone_operator.engine.work.wakeups import wake_next
from vmclone_operator.kube.cluster import Document, Kind, key_of

log = logging.getLogger(__name__)

_STATUS_PAUSE_SECONDS = 1.0
_STEP_SECONDS = 5.0
"""How long a replica has to stay in a step before its VMClone writes that alone."""
_FIGURES_SECONDS = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What speaks against the source, the plan and the number of replicas; see `summarised`."""

    mode: str = ""
    blocker: Blocker | None = None
    verdict: Blocker | None = None
    over: Blocker | None = None


class ClonePass:
    """One look at one VMClone, and the next step of everything that is not a replica's own."""

    def __init__(self, engine: Engine, vmclone: Document) -> None:
        self._engine = engine
        self._document = vmclone
        self._spec = vmclone_spec(vmclone)
        self._uid: str = vmclone["metadata"]["uid"]
        self._before = vmclone_status(vmclone)
        """As it was when the pass began."""
        self._refused: CloneError | None = None
        """Why the API server lets a replica not be made."""
        self._matches: Mapping[int, Match] = {}
        """Existing VMs to adopt, by the ordinal of the replica that will own them."""
        self._words = Words()
        """What there is to say beside the replicas' own states."""
        self._said = False
        """Whether the summary was written with something that had to be durable."""
        self._places = 0
        """How many more replicas the limits of the CloneSource leave to this VMClone."""

    async def run(self) -> float | None:
        """Return after how many seconds to look again, or None when events will say."""
        if self._document.get("status", {}).get("sessions") or self._replicas():
            self._document = await self._engine.ensure_finalizer(Kind.VMCLONE, self._document)
        found = await consent.check(self._engine, self._document)
        over = self._ask_for_places(found)
        status = self._status()
        if status.retry and outlived(self._document, status, self._views(), wanted=self._objects.wanted):
            status = await self._commit(status.model_copy(update={"retry": None}))
        recorded = recorded_sessions(status, self._replicas())
        unlisted = await self._look_for_own(found, recorded) if found.blocker is None else None
        borne = {ordinal: match.session for ordinal, match in self._matches.items()}
        blocker = found.blocker or conflict_with(self._engine.cache, self._document, recorded, borne)
        recorded = borne | recorded
        if blocker is None and unlisted is None and self._spec.plan.mode != "DryRun":
            status = await self._with_sessions(status, recorded)
        status, planned, problem = await self._plan(found, status, blocker, recorded, unlisted)
        makes = blocker is None and problem is None and planned.verdict is None and planned.carry_out
        self._engine.cache.admission.stand_back(key_of(Kind.VMCLONE, self._document), back=not makes)
        wake_next(self._engine.cache, self._engine.queue)
        if planned.carry_out:
            status = await self._change_replicas(status, found, may_make=makes)
        wake_asked(self._engine, self._document, self._spec, self._replicas())
        wake_other_keys(self._engine, self._spec, found.source, self._replicas())
        look_closer(self._engine, self._document, status.last_handled_reconcile_at, self._replicas())
        again: float | None = None
        self._words = Words(mode=found.mode, blocker=blocker, verdict=planned.verdict, over=over)
        if self._spec.plan.mode != "DryRun" or status.frozen_points or status.source_power:
            status, again, problem = await self._freeze(found, status, blocker, planned.verdict, problem=problem)
        verdict = planned.verdict
        if problem is not None:
            told = Blocker(reason=problem.reason, message=str(problem), retrying=isinstance(problem, RetryLater))
            blocker, verdict = (blocker, told) if problem.reason in PLAN_REASONS else (told, verdict)
        verdict = await self._refusal(verdict)
        self._words = Words(mode=found.mode, blocker=blocker, verdict=verdict, over=over)
        later = await self._report(status, urgent=problem is not None)
        if self._refused is not None or self._is_held(verdict, found.backend_name):
            again = min(again or SAFETY_NET_SECONDS, SAFETY_NET_SECONDS)
        end = await expiring.warn(self._engine, self._document, self._expiry)
        if problem is not None:
            raise problem.by(again, end) if isinstance(problem, FreezeHeld) else problem
        return min((s for s in (later if again is None else again, end) if s is not None), default=None)

    def _is_held(self, verdict: Blocker | None, backend: str) -> bool:
        """Return whether findings speak against the plan; then whoever gives room back at the backend wakes us."""
        key, plans = key_of(Kind.VMCLONE, self._document), self._engine.held_plans
        if verdict is None or verdict.retrying:
            plans.end(self._engine.queue, key)
            return False
        plans.wait(key, backend)
        return True

    async def _refusal(self, verdict: Blocker | None) -> Blocker | None:
        """Return what is said against the plan: where nothing else is, what the API server refuses."""
        if self._refused is None:
            return verdict
        await refusals.post(self._engine, Kind.VMCLONE, self._document, self._refused)
        return verdict or refusals.as_blocker(self._refused)

    def _ask_for_places(self, found: consent.Consent) -> Blocker | None:
        """Ask how many more replicas the CloneSource's limits leave to this VMClone; return why not all of them."""
        if found.source is None:
            return None
        admission, limits = self._engine.cache.admission, found.source.limits
        self._places, waits = admission.ask(key_of(Kind.VMCLONE, self._document))
        if self._spec.paused or self._is_expired:
            return None
        return refusal(
            source=found.clone_source,
            wanted=self._spec.replicas,
            most_replicas=limits.max_replicas_per_clone,
            waits=waits,
            limit=limits.max_clones,
            held=admission.held(found.clone_source),
        )

    async def _tell(self, status: VMCloneStatus) -> None:
        """Post, and measure, what became of the VMClone since this pass began."""
        if status.ready_time and not self._before.ready_time:
            since = datetime.fromisoformat(self._document["metadata"]["creationTimestamp"])
            seconds = (datetime.fromisoformat(status.ready_time) - since).total_seconds()
            self._engine.ready_meter.became_ready(status.source.backend, status.mode, seconds)
        for told in news(self._before, status, wanted=self._spec.replicas):
            await self._engine.events.post(
                Kind.VMCLONE,
                self._document,
                reason=told.reason,
                action="Reconcile",
                note=told.note,
                warning=told.warning,
                once=told.warning,
            )

    def _dry_run(self) -> Blocker | None:
        """Return what holds a dry run: nothing is begun, but what was begun before is brought to its end."""
        told = Blocker(reason="DryRun", message="spec.plan.mode is DryRun: nothing is made")
        return told if self._spec.plan.mode == "DryRun" else None

    async def _look_for_own(self, found: consent.Consent, recorded: Mapping[int, str]) -> CloneError | None:
        """Find the VMs that replicas to come go on with; return why the backend does not tell."""
        try:
            self._matches = await adopting.look(self._engine, self._document, found, self._objects.unmade(), recorded)
        except LeadershipLost:
            raise
        except CloneError as error:
            return error
        return None

    async def _plan(
        self,
        found: consent.Consent,
        status: VMCloneStatus,
        blocker: Blocker | None,
        recorded: dict[int, str],
        unlisted: CloneError | None,
    ) -> tuple[VMCloneStatus, Planned, CloneError | None]:
        """Return the status with the plan, what became of it, and what the backend failed with."""
        planned = Planned(plan=status.plan, copy=status.copy_, carry_out=self._spec.plan.mode == "Auto")
        if blocker is not None or self._spec.paused:
            return status, planned, None
        if unlisted is not None:
            return status, planned, unlisted
        try:
            planned = await self._planning(found, recorded).run(status)
            return await self._with_plan(status, planned), planned, None
        except LeadershipLost:
            raise
        except CloneError as error:
            return status, planned, error

    async def _freeze(
        self,
        found: consent.Consent,
        status: VMCloneStatus,
        blocker: Blocker | None,
        verdict: Blocker | None,
        *,
        problem: CloneError | None,
    ) -> tuple[VMCloneStatus, float | None, CloneError | None]:
        """Move the frozen points on; return the status as it is then, when to look again, and what failed.

        A verdict on the plan speaks against another frozen point; what was made goes on. A source that is switched
        goes back whatever the `problem` with the plan or the frozen points: they may be on another host.
        """
        blocker = blocker or self._dry_run()
        against = None if verdict is None or verdict.retrying else verdict
        known = {"plan": status.plan, "copy_": status.copy_, "sessions": status.sessions}
        again: float | None = None
        try:
            if problem is None:
                status, again = await self._frozen_points(found).run(status, blocker or against)
        except LeadershipLost:
            raise
        except CloneError as error:
            status, problem = self._status().model_copy(update=known), error
        if problem is not None and status.source_power is None:
            return status, None, problem
        try:
            gave_up = isinstance(problem, FreezeHeld) and problem.exhausted
            status, later = await self._power_back(status, found, blocker, against, gave_up=gave_up)
        except LeadershipLost:
            raise
        except CloneError as error:
            return self._status().model_copy(update=known), SAFETY_NET_SECONDS, problem or error
        return status, later if again is None else again, problem

    async def _power_back(
        self,
        status: VMCloneStatus,
        found: consent.Consent,
        blocker: Blocker | None,
        against: Blocker | None,
        *,
        gave_up: bool,
    ) -> tuple[VMCloneStatus, float | None]:
        """Switch the source on for home copies, or put it back once nothing needs it otherwise."""
        may = blocker is None and not self._spec.paused
        stops = self._spec.source_power == "StopForClone" and may and against is None and not gave_up
        if stops and freezes(status.frozen_points, self._views()):
            return status, None
        power = SourcePower(
            engine=self._engine, document=self._document, commit=self._commit_points, backend=found.source_backend
        )
        return await power.settle(status, copies=may and copies_homes(self._spec, found.mode, self._replicas()))

    def _planning(self, found: consent.Consent, recorded: dict[int, str]) -> Planning:
        return Planning(
            engine=self._engine,
            vmclone=self._document,
            spec=self._spec,
            found=found,
            objects=self._objects,
            sessions=wanted_sessions(self._document, recorded),
            adopted=self._matches.keys(),
        )

    async def _with_plan(self, status: VMCloneStatus, planned: Planned) -> VMCloneStatus:
        """Return the status with the plan; an approved one is written before it is carried out."""
        changed = status.model_copy(update={"plan": planned.plan, "copy_": planned.copy})
        if self._spec.plan.mode == "Manual" and planned.carry_out and planned.plan != status.plan:
            return await self._commit(changed)
        return changed

    def _frozen_points(self, found: consent.Consent) -> FrozenPass:
        return FrozenPass(
            engine=self._engine,
            document=self._document,
            spec=self._spec,
            found=found,
            views=self._views(),
            wanted=self._objects.wanted,
            commit=self._commit_points,
        )

    def _status(self) -> VMCloneStatus:
        return switched.status_of(self._engine, self._document)

    async def _commit(self, status: VMCloneStatus) -> VMCloneStatus:
        """Write what must be durable before the next step."""
        self._document = await self._engine.write_status(Kind.VMCLONE, self._document, dumped(status))
        return status

    async def _commit_points(self, status: VMCloneStatus) -> VMCloneStatus:
        """Write what must be durable, and with the same write all else that there is to say.

        A complaint stays until this pass knows whether it is over: told away and told again, it would look like news.
        """
        self._document = await self._engine.ensure_finalizer(Kind.VMCLONE, self._document)
        complains = status.retry is not None or find(status.conditions, "Stalled") is not None
        await self._commit(status if complains else self._summarised(status))
        self._said = self._said or not complains
        wake_waiting(self._engine, self._replicas())
        return status

    async def _with_sessions(self, status: VMCloneStatus, recorded: dict[int, str]) -> VMCloneStatus:
        """Return the status with the sessions; a replica bears its own, so they are written with what follows."""
        rows = tuple(
            SessionStatus(ordinal=n, session=s) for n, s in sorted(wanted_sessions(self._document, recorded).items())
        )
        if rows == status.sessions:
            return status
        self._document = await self._engine.ensure_finalizer(Kind.VMCLONE, self._document)
        return status.model_copy(update={"sessions": rows})

    async def _change_replicas(self, status: VMCloneStatus, found: consent.Consent, *, may_make: bool) -> VMCloneStatus:
        """Make and remove VMCloneReplica objects; their own passes do the work."""
        may_make = may_make and not self._spec.paused
        sessions = {row.ordinal: row.session for row in status.sessions}
        rows, backend = LeftBehind(self._engine, self._document, status, self._commit), found.backend_name
        self._refused = await self._objects.change(sessions, may_make=may_make, backend=backend, leave=rows.mark)
        if self._refused is not None:  # those behind it may have what the API server does not let it make
            self._engine.cache.admission.stand_back(key_of(Kind.VMCLONE, self._document), back=True)
            wake_next(self._engine.cache, self._engine.queue)
        return await rows.settled()

    @property
    def _objects(self) -> ReplicaObjects:
        return ReplicaObjects(
            engine=self._engine,
            vmclone=self._document,
            spec=self._spec,
            wanted=0 if self._is_expired else self._spec.replicas,
            expired=self._is_expired,
            matches=self._matches,
            places=self._places,
        )

    @property
    def _is_expired(self) -> bool:
        return self._expiry is not None and self._expiry.expired

    @property
    def _expiry(self) -> Expiry | None:
        return expiring.standing(self._engine, self._document)

    def _replicas(self) -> list[Document]:
        """Return the replicas that this VMClone controls."""
        return self._objects.found()

    def _views(self) -> list[ReplicaView]:
        return self._objects.views()

    def _summarised(self, status: VMCloneStatus) -> VMCloneStatus:
        """Return the status with all that this pass knows to say."""
        return summarised(
            self._document,
            self._replicas(),
            status,
            mode=self._words.mode,
            blocker=self._words.blocker,
            verdict=self._words.verdict,
            over=self._words.over,
            writer=self._engine.writer_for(self._document),
            clocks=self._engine.clocks(),
        )

    async def _report(self, status: VMCloneStatus, *, urgent: bool) -> float | None:
        """Write the summary, at most once a second; return when to try again if it was too early."""
        final = self._summarised(status)
        document, due = dumped(final), lambda: self._engine.figures_due(self._uid, _FIGURES_SECONDS)
        if document == self._document.get("status") or is_no_news(self._document, final, figures_due=due):
            self._engine.settled(self._uid)
            if self._said:
                await self._follow_up(final)
            return None
        shown = vmclone_status(self._document)
        whole = final.ready_replicas == self._spec.replicas != shown.ready_replicas
        fresh = whole or final.observed_generation != shown.observed_generation
        wait = self._engine.status_wait(self._uid, _STATUS_PAUSE_SECONDS)
        if only_steps_moved(self._document, final):
            wait = max(wait, self._engine.settling_wait(self._uid, _STEP_SECONDS))
        if wait > 0 and not fresh and not urgent:
            if self._said:
                await self._follow_up(shown)
            return wait
        self._document = await self._engine.write_status(Kind.VMCLONE, self._document, document)
        self._engine.settled(self._uid)
        await self._follow_up(final)
        return None

    async def _follow_up(self, final: VMCloneStatus) -> None:
        """Tell whom it concerns what was written in this pass."""
        self._engine.status_written(self._uid)
        await self._tell(final)
        if final.replicas != self._before.replicas:
            copy_queue.tell_source(self._engine, self._document)  # it shows how many clones it has
        if final.observed_generation != self._before.observed_generation or self._words.blocker is None:
            wake_blocked(self._engine, self._replicas())
