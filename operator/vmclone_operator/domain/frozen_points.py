"""The next step of a VMClone's frozen points, from what is known of them. Pure: values in, values out.

A frozen point is a copy of the source as it was at one moment; replicas are cloned from it. To make one disturbs the
source, so some questions are asked before, each only when the answer decides something. `next_step` therefore names
either a question or what to do. The pass (`engine/source/frozen_pass.py`) finds the answer out, puts it into the
situation, and asks for the next step; what to do ends the pass.

For example, a replica waits for its clone and there is no frozen point. The steps are INTEND (which writes one down),
TAKE_TURN (does another VMClone freeze this source?), READ_LIVE (do the wish and the grants still allow it?), with
`spec.sourcePower: StopForClone` also SWITCH_OFF, and at last ADVANCE, which freezes the source.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from vmclone_operator.api.vmclone import FrozenPointStatus
from vmclone_operator.domain.rollout import open_point


class FrozenStep(StrEnum):
    """A question to answer, or what to do."""

    LOOK_AT_SOURCE = "LookAtSource"
    """Question: does the newest frozen point show the source as it is?"""
    INTEND = "Intend"
    """Question: is another frozen point needed? If so, it is written down before the source is touched."""
    TAKE_TURN = "TakeTurn"
    """Question: is it this VMClone's turn to freeze the source?"""
    READ_LIVE = "ReadLive"
    """Question: do the wish and the grants, read live, allow the freeze?"""
    SWITCH_OFF = "SwitchOff"
    """Question: is the source off? It is asked to shut down."""
    NOTHING = "Nothing"
    """There is no frozen point, and none is needed."""
    HOLD_BACK = "HoldBack"
    """Clear away what a failed attempt left, and say when the next one follows."""
    WAIT_FOR_TURN = "WaitForTurn"
    WAIT_FOR_SOURCE = "WaitForSource"
    """The source is shutting down."""
    ADVANCE = "Advance"
    """Move the open frozen point on, or release one that nothing needs."""


QUESTIONS = frozenset(
    {
        FrozenStep.LOOK_AT_SOURCE,
        FrozenStep.INTEND,
        FrozenStep.TAKE_TURN,
        FrozenStep.READ_LIVE,
        FrozenStep.SWITCH_OFF,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FrozenSituation:
    """What is known in a pass. An answer is None until its question was asked."""

    points: Sequence[FrozenPointStatus] = ()
    waiting: bool = False
    """Whether a replica has no clone yet."""
    allowed: bool = True
    """Whether a frozen point may be begun: nothing speaks against it, and the VMClone is not paused."""
    held: bool = False
    """Whether a freeze failed, and the next attempt waits for its time or for a person."""
    stops_source: bool = False
    """Whether the source is switched off to be frozen."""
    shows_source: bool | None = None
    """Answer: the newest frozen point shows the source as it is."""
    looked: bool = False
    """Whether it was found out, and written down, if another frozen point is needed."""
    has_turn: bool | None = None
    """Answer: no other VMClone's frozen point of this source is being made."""
    consents: bool | None = None
    """Answer: the wish and the grants, read live, allow the freeze."""
    source_off: bool | None = None
    """Answer: the source is off."""

    @property
    def may_freeze(self) -> bool:
        """Whether the source may be touched, as far as is known."""
        return self.allowed and self.consents is not False

    @property
    def needs_point(self) -> bool:
        """Whether another frozen point may be needed, and that was not found out yet."""
        return self.waiting and open_point(self.points) is None and not (self.looked or self.shows_source)

    @property
    def freezes(self) -> bool:
        """Whether a frozen point is written down of which the source was not frozen yet."""
        point = open_point(self.points)
        return point is not None and not point.frozen_time


def next_step(situation: FrozenSituation) -> FrozenStep:
    """Return the question whose answer is needed next, or else what to do."""
    if not (situation.points or situation.waiting):
        return FrozenStep.NOTHING
    if situation.allowed and situation.held and (situation.needs_point or situation.freezes):
        # The source may be again what the newest point shows: then no freeze is needed, and none is waited for.
        unknown = situation.needs_point and situation.shows_source is None
        return FrozenStep.LOOK_AT_SOURCE if unknown else FrozenStep.HOLD_BACK
    if situation.allowed and situation.needs_point:
        return FrozenStep.INTEND
    return _before_freeze(situation) if situation.freezes else FrozenStep.ADVANCE


def _before_freeze(situation: FrozenSituation) -> FrozenStep:
    """Return what comes before the source is frozen: its turn, consent, and where it is wished for, its power."""
    if situation.has_turn is None:
        return FrozenStep.TAKE_TURN
    if not situation.has_turn:
        return FrozenStep.WAIT_FOR_TURN
    if situation.allowed and situation.consents is None:
        return FrozenStep.READ_LIVE
    if not (situation.may_freeze and situation.stops_source) or situation.source_off:
        return FrozenStep.ADVANCE
    return FrozenStep.SWITCH_OFF if situation.source_off is None else FrozenStep.WAIT_FOR_SOURCE
