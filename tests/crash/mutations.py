"""Engine bugs to plant, one at a time: a crash suite that passes with one of them proves nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from vmclone_operator.domain import plan, rollout
from vmclone_operator.domain.backend import Power
from vmclone_operator.domain.errors import CloneError
from vmclone_operator.domain.plan import Situation
from vmclone_operator.domain.rollout import ReplicaChanges
from vmclone_operator.domain.steps import Decision, Do, Step
from vmclone_operator.engine import resync
from vmclone_operator.engine.context import Engine
from vmclone_operator.engine.objects.rollout_slots import RolloutSlots
from vmclone_operator.engine.removal import teardown
from vmclone_operator.engine.replica import replica_pass, replica_steps
from vmclone_operator.engine.replica.replica_steps import ReplicaSteps
from vmclone_operator.engine.source import freezing
from vmclone_operator.engine.source.freezing import Freezer, FreezeStep
from vmclone_operator.engine.source.frozen_pass import FrozenPass
from vmclone_operator.engine.vmclone import replica_objects
from vmclone_operator.kube.cluster import Kind
from vmclone_operator.providers.fake import FakeSession

Plant = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True)
class Mutation:
    """One bug: what it says in words, how it is planted, and which lives are to notice it."""

    name: str
    plant: Plant
    lives: str


def _finalizer_comes_too_late(patch: pytest.MonkeyPatch) -> None:
    async def no_finalizer(_: Engine, _kind: Kind, document: Any) -> Any:
        return document

    patch.setattr(Engine, "ensure_finalizer", no_finalizer)


def _identity_is_not_reset(patch: pytest.MonkeyPatch) -> None:
    right = plan.decide

    def decide(situation: Situation) -> Decision:
        decision = right(situation)
        return replace(decision, do=Do.RECORD_IDENTITY) if decision.do is Do.RESET_IDENTITY else decision

    patch.setattr(replica_pass, "decide", decide)


def _connected_before_identity(patch: pytest.MonkeyPatch) -> None:
    right = plan.decide

    def decide(situation: Situation) -> Decision:
        clone = situation.clone
        if clone is not None and situation.provisioned and clone.power is Power.ON and not clone.connected:
            return Decision(do=Do.CONNECT, step=Step.VERIFY, reason="x", message="x", again_seconds=0)
        return right(situation)

    patch.setattr(replica_pass, "decide", decide)


def _everybody_has_turn(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RolloutSlots, "take", lambda *_: True)


def _point_in_use_is_released(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(freezing, "releasable", lambda points, _: tuple(p for p in points if p.completion_time))


def _lost_copy_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    async def drop(_: Freezer, points: Any, point: Any, _problem: object) -> FreezeStep:
        return FreezeStep(points=tuple(p for p in points if p.id != point.id), again_seconds=1)

    async def look_for_none(_: FrozenPass, _freezer: Freezer) -> None:
        """The second line of defence is down, too: with it, this bug leaves nothing behind."""

    patch.setattr(Freezer, "_drop", drop)
    patch.setattr(FrozenPass, "_release_strays", look_for_none)


def _token_is_reused(patch: pytest.MonkeyPatch) -> None:
    async def drop(_: Freezer, points: Any, point: Any, _problem: object) -> FreezeStep:
        again = point.model_copy(update={"frozen_time": ""})
        kept = tuple(again if p.id == point.id else p for p in points)
        return FreezeStep(points=kept, again_seconds=1)

    patch.setattr(Freezer, "_drop", drop)


def _copy_is_complete_too_early(patch: pytest.MonkeyPatch) -> None:
    right = Freezer._step

    async def follow(self: Freezer, points: Any, point: Any) -> FreezeStep:
        step: FreezeStep = await right(self, points, point)
        if step.points != points or not point.frozen_time or point.completion_time:
            return step
        update = {"completion_time": self.engine.timestamp()}
        return FreezeStep(points=tuple(p.model_copy(update=update) if p.id == point.id else p for p in points))

    patch.setattr(Freezer, "_step", follow)


def _lost_copy_counts_as_done(patch: pytest.MonkeyPatch) -> None:
    async def drop(self: Freezer, points: Any, point: Any, _: object) -> FreezeStep:
        update = {"completion_time": self.engine.timestamp()}
        return FreezeStep(points=tuple(p.model_copy(update=update) if p.id == point.id else p for p in points))

    patch.setattr(Freezer, "_drop", drop)


def _open_intent_is_not_thawed(patch: pytest.MonkeyPatch) -> None:
    async def thaw(_session: FakeSession, _source_id: str) -> bool:
        return False

    patch.setattr(FakeSession, "thaw", thaw)


def _teardown_ignores_errors(patch: pytest.MonkeyPatch) -> None:
    right = teardown.remove_replica

    async def remove(engine: Engine, replica: Any) -> float | None:
        try:
            return await right(engine, replica)
        except CloneError:
            await engine.drop_finalizer(Kind.REPLICA, engine.cache.get(replica.key) or replica.document)
            return None

    patch.setattr(teardown, "remove_replica", remove)


def _frozen_points_are_left(patch: pytest.MonkeyPatch) -> None:
    async def release(*_: object) -> bool:
        return True

    patch.setattr(teardown, "_release_frozen_points", release)


def _missing_clones_go_unseen(patch: pytest.MonkeyPatch) -> None:
    right = resync._as_reported
    patch.setattr(resync, "_as_reported", lambda replica, clone: clone is None or right(replica, clone))


def _remade_under_the_same_incarnation(patch: pytest.MonkeyPatch) -> None:
    right = plan.decide
    patch.setattr(replica_pass, "decide", lambda s: right(s if s.clone else replace(s, provisioned=False, guest=None)))


def _lowest_ordinals_go_first(patch: pytest.MonkeyPatch) -> None:
    right = rollout.plan_replicas

    def changes(existing: Any, *, wanted: int, may_make: bool, **_: object) -> ReplicaChanges:
        plan_ = right(existing, wanted=wanted, may_make=may_make)
        alive = sorted((v for v in existing if not v.deleting), key=lambda v: v.ordinal)
        if len(alive) > wanted:
            return replace(plan_, create=(), delete=tuple(alive[: len(alive) - wanted]))
        return replace(plan_, create=() if len(alive) == wanted else plan_.create, delete=())

    patch.setattr(replica_objects, "plan_replicas", changes)


def _intent_is_not_written_first(patch: pytest.MonkeyPatch) -> None:
    right = ReplicaSteps.reserve

    async def reserve(self: ReplicaSteps, situation: Situation, status: Any) -> Any:
        status = await right(self, situation, status)
        if situation.frozen is None:
            return status
        return await self.start_clone(replace(situation, intent=status.intent), status)

    patch.setitem(replica_steps._ACTS, Do.RESERVE, reserve)


def _vmclone_goes_before_its_replicas(patch: pytest.MonkeyPatch) -> None:
    async def remove(engine: Engine, vmclone: Any) -> float | None:
        await engine.drop_finalizer(Kind.VMCLONE, vmclone)
        return None

    patch.setattr(teardown, "remove_vmclone", remove)


MUTATIONS = (
    Mutation("the finalizer is not added before the first side effect", _finalizer_comes_too_late, "calm"),
    Mutation("the identity is recorded without a reset", _identity_is_not_reset, "calm"),
    Mutation("the links go up before the identity is recorded", _connected_before_identity, "calm"),
    Mutation("everybody has a turn", _everybody_has_turn, "queued"),
    Mutation("a frozen point in use is released", _point_in_use_is_released, "calm"),
    Mutation("a lost copy is forgotten, its files are not", _lost_copy_is_forgotten, "freeze"),
    Mutation("the token of a lost freeze is used again", _token_is_reused, "freeze"),
    Mutation("a copy under way counts as complete", _copy_is_complete_too_early, "copy dies"),
    Mutation("a lost copy counts as complete", _lost_copy_counts_as_done, "freeze"),
    Mutation("an open freeze intent is not thawed first", _open_intent_is_not_thawed, "thawed"),
    Mutation("teardown lets go when the backend fails", _teardown_ignores_errors, "delete"),
    Mutation("frozen points are left at the end", _frozen_points_are_left, "calm"),
    Mutation("resync does not see missing clones", _missing_clones_go_unseen, "taken away"),
    Mutation(
        "a missing clone is made again under the same incarnation", _remade_under_the_same_incarnation, "taken away"
    ),
    Mutation("the lowest ordinals go first", _lowest_ordinals_go_first, "calm"),
    Mutation("a clone is started in the pass that drew its token", _intent_is_not_written_first, "ledger"),
    Mutation("the VMClone goes before its frozen points", _vmclone_goes_before_its_replicas, "calm"),
)
