"""The pass of one VMClone: sessions, replicas, frozen points, and the only writer of its status."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from vmclone_operator.api.vmclone import SessionStatus, VMCloneStatus
from vmclone_operator.domain.admission import refusal
from vmclone_operator.domain.adoption import Match
from vmclone_operator.domain.conditions import find
from vmclone_operator.domain.errors import CloneError
from vmclone_operator.domain.expiry import Expiry
from vmclone_operator.domain.rollout import ReplicaView, freezes
from vmclone_operator.domain.steps import SAFETY_NET_SECONDS, Blocker
from vmclone_operator.domain.story import news
from vmclone_operator.domain.vmclone_decision import (
    PlanMode,
    VMCloneConclusion,
    VMCloneDecision,
    VMCloneSituation,
    conclude,
    decide,
    seconds_until_next_look,
)
from vmclone_operator.engine.context import Engine
from vmclone_operator.engine.guest.access_pass import wake_other_keys
from vmclone_operator.engine.ledger.freeze_attempts import FreezeHeld, outlived
from vmclone_operator.engine.ledger.written import dumped
from vmclone_operator.engine.objects.parsed import vmclone_spec, vmclone_status
from vmclone_operator.engine.source import consent, copy_queue, switched
from vmclone_operator.engine.source.frozen_pass import FrozenPass
from vmclone_operator.engine.source.source_power import SourcePower, copies_homes
from vmclone_operator.engine.vmclone import adopting, expiring, refusals
from vmclone_operator.engine.vmclone.clone_facts import Facts, Outcome, Words
from vmclone_operator.engine.vmclone.clone_report import is_no_news, only_steps_moved, summarised
from vmclone_operator.engine.vmclone.left_behind import LeftBehind
from vmclone_operator.engine.vmclone.planning import Planned, Planning
from vmclone_operator.engine.vmclone.replica_objects import ReplicaObjects
from vmclone_operator.engine.vmclone.session_names import (
    conflict_with,
    give_back,
    recorded_sessions,
    take,
    wanted_sessions,
)
from vmclone_operator.engine.vmclone.wake_replicas import look_closer, wake_asked, wake_blocked, wake_waiting
from vmclone_operator.engine.work.wakeups import wake_next
from vmclone_operator.kube.cluster import Document, Kind, key_of

log = logging.getLogger(__name__)

_STATUS_PAUSE_SECONDS = 1.0
_STEP_SECONDS = 5.0
"""How long a replica has to stay in a step before its VMClone writes that alone."""
_FIGURES_SECONDS = 300.0


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
        status, facts = await self._gather()
        if facts.against_source is None and facts.unlisted is None and self._mode is not PlanMode.DRY_RUN:
            status = await self._with_sessions(status, facts.sessions)
        status, planned, problem = await self._plan(status, facts)
        situation = self._situation(status, facts, planned, problem)
        decision = decide(situation)
        status = await self._carry_out(status, facts.found, decision)
        self._words = facts.words(situation.against_source, situation.against_plan)
        outcome = Outcome(status=status, problem=problem)
        if decision.works_on_frozen_points:
            outcome = await self._freeze(facts.found, outcome, decision)
        return await self._conclude(facts, situation, outcome)

    async def _gather(self) -> tuple[VMCloneStatus, Facts]:
        """Return the status to go on from, and what is to be known before the plan is looked at."""
        found = await consent.check(self._engine, self._document)
        over = self._ask_for_places(found)
        status = self._status()
        if status.retry and outlived(self._document, status, self._views(), wanted=self._objects.wanted):
            status = await self._commit(status.model_copy(update={"retry": None}))
        recorded = recorded_sessions(status, self._replicas())
        unlisted = await self._look_for_own(found, recorded) if found.blocker is None else None
        adopted = {ordinal: match.session for ordinal, match in self._matches.items()}
        facts = Facts(
            found=found,
            over=over,
            sessions=adopted | recorded,
            unlisted=unlisted,
            against_source=found.blocker or self._conflict(recorded, adopted),
        )
        return status, facts

    def _conflict(self, recorded: dict[int, str], adopted: Mapping[int, str]) -> Blocker | None:
        """Return which session that it wishes for another VMClone has."""
        turns = self._engine.session_turns
        if self._mode is PlanMode.DRY_RUN and give_back(turns, self._document):
            for rival in self._engine.cache.rivals_of(self._document):
                self._engine.queue.add(rival)
        return conflict_with(self._engine.cache, turns, self._document, recorded, adopted)

    def _situation(
        self, status: VMCloneStatus, facts: Facts, planned: Planned, problem: CloneError | None
    ) -> VMCloneSituation:
        """Return what the decision rests on."""
        return VMCloneSituation(
            mode=self._mode,
            paused=self._spec.paused,
            against_source=facts.against_source,
            against_plan=planned.verdict,
            plan_failed=problem is not None,
            carries_out=planned.carry_out,
            has_begun=bool(status.frozen_points or status.source_power),
        )

    async def _carry_out(
        self, status: VMCloneStatus, found: consent.Consent, decision: VMCloneDecision
    ) -> VMCloneStatus:
        """Make and remove replicas as far as that is decided, and wake those that have something to see to."""
        admission = self._engine.cache.admission
        admission.stand_back(key_of(Kind.VMCLONE, self._document), back=not decision.competes_for_places)
        wake_next(self._engine.cache, self._engine.queue)
        if decision.changes_replicas:
            status = await self._change_replicas(status, found, may_make=decision.makes_replicas)
        wake_asked(self._engine, self._document, self._spec, self._replicas())
        wake_other_keys(self._engine, self._spec, found.source, self._replicas())
        look_closer(self._engine, self._document, status.last_handled_reconcile_at, self._replicas())
        return status

    async def _conclude(self, facts: Facts, situation: VMCloneSituation, outcome: Outcome) -> float | None:
        """Write what there is to say; return when to look again, or raise what the backend failed with."""
        refused = None
        if self._refused is not None:
            await refusals.post(self._engine, Kind.VMCLONE, self._document, self._refused)
            refused = refusals.as_blocker(self._refused)
        failure = outcome.failure
        conclusion = conclude(situation, failure=failure, refused=refused)
        self._words = facts.words(conclusion.against_source, conclusion.against_plan)
        later = await self._report(outcome.status, urgent=failure is not None)
        held_up = refused is not None or self._is_held(conclusion, facts.found.backend_name)
        end = await expiring.warn(self._engine, self._document, self._expiry)
        if outcome.hold is not None:
            again = seconds_until_next_look(points=outcome.again, report=None, expiry=end, held_up=held_up)
            raise FreezeHeld(outcome.hold.no_later_than(again))
        if outcome.problem is not None:
            raise outcome.problem
        return seconds_until_next_look(points=outcome.again, report=later, expiry=end, held_up=held_up)

    def _is_held(self, conclusion: VMCloneConclusion, backend: str) -> bool:
        """Return whether it stands in line for room at the backend; whoever gives some back wakes it then."""
        key, plans = key_of(Kind.VMCLONE, self._document), self._engine.held_plans
        if not conclusion.waits_for_room:
            plans.end(self._engine.queue, key)
            return False
        plans.wait(key, backend)
        return True

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

    async def _look_for_own(self, found: consent.Consent, recorded: Mapping[int, str]) -> CloneError | None:
        """Find the VMs that replicas to come go on with; return why the backend does not tell."""
        try:
            self._matches = await adopting.look(self._engine, self._document, found, self._objects.unmade(), recorded)
        except CloneError as error:
            return error
        return None

    async def _plan(self, status: VMCloneStatus, facts: Facts) -> tuple[VMCloneStatus, Planned, CloneError | None]:
        """Return the status with the plan, what became of it, and what the backend failed with."""
        planned = Planned(plan=status.plan, copy=status.copy_, carry_out=self._mode is PlanMode.AUTO)
        if facts.against_source is not None or self._spec.paused:
            return status, planned, None
        if facts.unlisted is not None:
            return status, planned, facts.unlisted
        try:
            planned = await self._planning(facts.found, facts.sessions).run(status)
            return await self._with_plan(status, planned), planned, None
        except CloneError as error:
            return status, planned, error

    async def _freeze(self, found: consent.Consent, before: Outcome, decision: VMCloneDecision) -> Outcome:
        """Move the frozen points on, then see to the source's power.

        What speaks against another frozen point lets those that were begun go on. A source that is switched goes back
        whatever failed with the plan or the frozen points: they may be on another host.
        """
        outcome = before
        if before.problem is None:
            outcome = await self._move_points(found, before, decision)
        if outcome.failure is not None and outcome.status.source_power is None:
            return replace(outcome, again=None)
        try:
            status, later = await self._settle_power(found, outcome, decision)
        except CloneError as error:
            status = self._written_with(before.status)
            problem = outcome.problem or (error if outcome.hold is None else None)  # what failed first is told
            return Outcome(status=status, again=SAFETY_NET_SECONDS, problem=problem, hold=outcome.hold)
        return replace(outcome, status=status, again=later if outcome.again is None else outcome.again)

    async def _move_points(self, found: consent.Consent, before: Outcome, decision: VMCloneDecision) -> Outcome:
        """Move the frozen points on by a step."""
        try:
            moved = await self._frozen_points(found).run(before.status, decision.against_frozen_points)
        except CloneError as error:
            return Outcome(status=self._written_with(before.status), problem=error)
        if moved.hold is not None:
            return Outcome(status=self._written_with(before.status), hold=moved.hold)
        return Outcome(status=moved.status, again=moved.again_seconds)

    def _written_with(self, known: VMCloneStatus) -> VMCloneStatus:
        """Return the status as it was written last, with what is `known` and was not written yet."""
        return self._status().model_copy(update={"plan": known.plan, "copy_": known.copy_, "sessions": known.sessions})

    async def _settle_power(
        self, found: consent.Consent, outcome: Outcome, decision: VMCloneDecision
    ) -> tuple[VMCloneStatus, float | None]:
        """Switch the source on for home copies, or put it back once nothing needs it otherwise."""
        gave_up = outcome.hold is not None and outcome.hold.exhausted
        stops = self._spec.source_power == "StopForClone" and decision.may_stop_source and not gave_up
        if stops and freezes(outcome.status.frozen_points, self._views()):
            return outcome.status, None
        power = SourcePower(
            engine=self._engine, document=self._document, commit=self._commit_points, backend=found.source_backend
        )
        copies = decision.may_switch_source and copies_homes(self._spec, found.mode, self._replicas())
        return await power.settle(outcome.status, copies=copies)

    @property
    def _mode(self) -> PlanMode:
        return PlanMode(self._spec.plan.mode)

    def _planning(self, found: consent.Consent, recorded: Mapping[int, str]) -> Planning:
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
        if self._mode is PlanMode.MANUAL and planned.carry_out and planned.plan != status.plan:
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

    async def _with_sessions(self, status: VMCloneStatus, recorded: Mapping[int, str]) -> VMCloneStatus:
        """Return the status with the sessions; a replica bears its own, so they are written with what follows."""
        rows = tuple(
            SessionStatus(ordinal=n, session=s) for n, s in sorted(wanted_sessions(self._document, recorded).items())
        )
        if rows == status.sessions:
            give_back(self._engine.session_turns, self._document)
            return status
        take(self._engine.session_turns, self._document, (row.session for row in rows))
        self._document = await self._engine.ensure_finalizer(Kind.VMCLONE, self._document)
        return status.model_copy(update={"sessions": rows})

    async def _change_replicas(self, status: VMCloneStatus, found: consent.Consent, *, may_make: bool) -> VMCloneStatus:
        """Make and remove VMCloneReplica objects; their own passes do the work."""
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
