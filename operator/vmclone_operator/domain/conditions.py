"""Conditions by the standard rules, and the one table that kubectl wait, kstatus, Argo CD and people read.

Ready is always there; Reconciling and Stalled exist only while True and never both (kstatus: abnormal-true).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from vmclone_operator.api.base import Condition

MESSAGE_LIMIT = 1024


class Progress(StrEnum):
    """Who has to do something next."""

    SETTLED = "Settled"
    WORKING = "Working"
    STALLED = "Stalled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """The row of the truth table that an object is in."""

    ready: bool
    reason: str
    message: str
    progress: Progress
    step: str = ""
    """What is being done, as one CamelCase word; the reason of Reconciling."""


def printable(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """Return the text on one line, control characters escaped, cut to `limit` characters."""
    clean = text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return clean if len(clean) <= limit else clean[: limit - 3] + "..."


def find(conditions: Sequence[Condition], kind: str) -> Condition | None:
    """Return the condition of that type, if there is one."""
    return next((c for c in conditions if c.type == kind), None)


def is_true(conditions: Sequence[Condition], kind: str) -> bool:
    """Return whether the condition of that type is there and True."""
    found = find(conditions, kind)
    return found is not None and found.status == "True"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionWriter:
    """Stamps conditions with one generation and one time, so that no writer forgets either."""

    generation: int
    now: str

    def put(
        self, current: Sequence[Condition], kind: str, *, status: bool, reason: str, message: str
    ) -> tuple[Condition, ...]:
        """Return the conditions with this one in place; its time moves only when its status does."""
        old = find(current, kind)
        word = "True" if status else "False"
        moved = old is None or old.status != word
        new = Condition(
            type=kind,
            status=word,
            reason=reason,
            message=printable(message),
            observed_generation=self.generation,
            last_transition_time=self.now if moved or old is None else old.last_transition_time,
        )
        kept = [c for c in current if c.type != kind]
        return tuple(sorted((*kept, new), key=lambda c: c.type))

    def put_readiness(self, current: Sequence[Condition], state: Readiness) -> tuple[Condition, ...]:
        """Return the conditions with Ready, Reconciling and Stalled as the truth table says."""
        result = self.put(current, "Ready", status=state.ready, reason=state.reason, message=state.message)
        for kind, wanted, reason in (
            ("Reconciling", state.progress is Progress.WORKING, state.step or state.reason),
            ("Stalled", state.progress is Progress.STALLED, state.reason),
        ):
            if wanted:
                result = self.put(result, kind, status=True, reason=reason, message=state.message)
            else:
                result = without(result, kind)
        return result


def without(current: Sequence[Condition], kind: str) -> tuple[Condition, ...]:
    """Return the conditions less the one of that type."""
    return tuple(c for c in current if c.type != kind)
