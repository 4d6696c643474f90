"""What the pass of one VMClone may do, and what it says at its end. Pure: values in, values out.

The pass (`engine/vmclone/clone_pass.py`) gathers what there is to know, asks `decide` what it may do, does that, and
asks `conclude` what the outcome means for people and for the next look. How one replica goes on is not decided here
(`domain/plan.py`), nor which replicas there should be (`domain/rollout.py`).

For example, a VMClone with `spec.plan.mode: Manual` has a plan that nobody has approved. `decide` then lets no replica
be made or removed and no frozen point be begun, while a frozen point that is being copied is brought to its end.
`conclude` reports AwaitingApproval in the condition Planned, and has the pass look again within a minute.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from vmclone_operator.domain.steps import SAFETY_NET_SECONDS, Blocker

PLAN_REASONS = frozenset(
    {"Blocked", "AwaitingApproval", "QuotaExceeded", "InsufficientSpace", "CapabilityMissing", "SecretNotReadable"}
)
"""Reasons that are reported of the plan (condition Planned); all others are of the source (condition SourceReady)."""

DRY_RUN = Blocker(reason="DryRun", message="spec.plan.mode is DryRun: nothing is made")
"""Why a dry run begins nothing. What was begun before is still brought to its end."""


class PlanMode(StrEnum):
    """The values of `spec.plan.mode`."""

    AUTO = "Auto"
    MANUAL = "Manual"
    DRY_RUN = "DryRun"


@dataclass(frozen=True, slots=True, kw_only=True)
class VMCloneSituation:
    """What is known of a VMClone once its plan was looked at, and before anything is changed."""

    mode: PlanMode = PlanMode.AUTO
    paused: bool = False
    against_source: Blocker | None = None
    """Why the source may not be used: it is not granted, or a session name belongs to another VMClone."""
    against_plan: Blocker | None = None
    """Why the plan is not carried out: findings, or a missing approval."""
    plan_failed: bool = False
    """Whether the backend failed while the plan was made."""
    carries_out: bool = True
    """Whether the plan lets replicas be made and removed."""
    has_begun: bool = False
    """Whether the VMClone has frozen points, or its source is switched for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VMCloneDecision:
    """What the pass may do."""

    competes_for_places: bool
    """Whether it stays in the line for places within `limits.maxClones`; if not, those behind it may go first."""
    changes_replicas: bool
    makes_replicas: bool
    """Whether replicas may be made; to remove them, `changes_replicas` is enough."""
    works_on_frozen_points: bool
    against_frozen_points: Blocker | None
    """Why no frozen point is begun. One that was begun goes on."""
    may_switch_source: bool
    """Whether the source may be switched on for home copies."""
    may_stop_source: bool
    """Whether the source may be switched off for a frozen point."""


def decide(situation: VMCloneSituation) -> VMCloneDecision:
    """Return what the pass may do in this situation."""
    against_source, against_plan = situation.against_source, situation.against_plan
    usable = against_source is None and not situation.plan_failed and against_plan is None and situation.carries_out
    # A verdict that goes away by itself does not hold back the frozen point, which takes longest.
    lasting = None if against_plan is None or against_plan.retrying else against_plan
    dry = situation.mode is PlanMode.DRY_RUN
    against_use = against_source or (DRY_RUN if dry else None)
    may_switch = against_use is None and not situation.paused
    return VMCloneDecision(
        competes_for_places=usable,
        changes_replicas=situation.carries_out,
        makes_replicas=usable and not situation.paused,
        works_on_frozen_points=not dry or situation.has_begun,
        against_frozen_points=against_use or lasting,
        may_switch_source=may_switch,
        may_stop_source=may_switch and lasting is None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class VMCloneConclusion:
    """What a pass says of the source and of the plan, and how it waits."""

    against_source: Blocker | None
    against_plan: Blocker | None

    @property
    def waits_for_room(self) -> bool:
        """Whether it stands in the line for room at the backend: the plan needs a change that no retry brings."""
        return self.against_plan is not None and not self.against_plan.retrying


def conclude(
    situation: VMCloneSituation, *, failure: Blocker | None = None, refused: Blocker | None = None
) -> VMCloneConclusion:
    """Return what is said of a pass that met a `failure`, or whose replica the API server `refused`.

    A failure is said in place of what was known before, of the plan or of the source, as its reason has it. A refusal
    is said only where nothing else speaks against the plan.
    """
    against_source, against_plan = situation.against_source, situation.against_plan
    if failure is not None and failure.reason in PLAN_REASONS:
        against_plan = failure
    elif failure is not None:
        against_source = failure
    return VMCloneConclusion(against_source=against_source, against_plan=against_plan or refused)


def seconds_until_next_look(
    *, points: float | None, report: float | None, expiry: float | None, held_up: bool
) -> float | None:
    """Return after how many seconds the pass looks again; None when events alone wake it.

    `points` is what the frozen points and the source's power ask for, `report` when a status that came too early may be
    written, `expiry` when the VMClone's time is over. One that is `held_up`, by its plan or by the API server, looks
    within a minute, in case the event that ends its wait is lost.
    """
    if held_up:
        points = min(points or SAFETY_NET_SECONDS, SAFETY_NET_SECONDS)
    looks = (report if points is None else points, expiry)
    return min((seconds for seconds in looks if seconds is not None), default=None)
