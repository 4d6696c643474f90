"""Lives of a VMClone on real libvirt, and the places in them where a crash can strike.

One undisturbed life is recorded; then each of its writes is struck in a life of its own, which must end as that one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.crash.libvirt_site import Seen, Site
from tests.support.unbooted_story import Story

from vmclone_operator.providers.fake import Fault, FaultKind, FaultSchedule, Point, at_call

KINDS = (FaultKind.KILL_BEFORE, FaultKind.KILL_AFTER, FaultKind.LOSE_REPLY)


@dataclass(frozen=True, order=True)
class Place:
    """One write of a life: the how many-th of its name inside its verb. Numbers over all would not be repeatable."""

    verb: str
    call: str
    turn: int

    def __str__(self) -> str:
        return f"{self.verb}/{self.call}#{self.turn}"

    def schedule(self, kind: FaultKind) -> FaultSchedule:
        """Return a schedule that strikes here, once."""
        return FaultSchedule(at_call(self.call, Fault(kind=kind), verb=self.verb, skip=self.turn - 1))


def places(trace: Iterable[Point]) -> list[Place]:
    """Return where the writes of a life are."""
    seen: Counter[tuple[str, str]] = Counter()
    found = []
    for point in trace:
        seen[point.verb, point.call] += 1
        found.append(Place(point.verb, point.call, seen[point.verb, point.call]))
    return found


@dataclass(frozen=True)
class Outcome:
    """What one life left at Ready and at its end."""

    ready: Seen
    end: Seen
    defines: tuple[int, ...]
    boots: tuple[int, ...]
    copied_again: tuple[str, ...]
    """Disks that the ledger called finished and that were copied again all the same, the source's included."""
    writes_to_ready: int
    """How many of the life's writes came before both replicas were ready."""


def live(site: Site, schedule: FaultSchedule, *, late_events: bool = True, **spec: Any) -> Outcome:
    """Make two replicas, then one, then none; return what that left."""
    with Story(site, schedule, late_events=late_events) as story:
        story.make(replicas=2, **spec)
        ready, writes = site.look(), len(schedule.trace)
        story.make(replicas=1, **spec)
        story.remove()
        return _outcome(story, ready, writes)


def live_until_struck(site: Site, schedule: FaultSchedule, **spec: Any) -> Outcome:
    """Wish for two replicas, and have the wish deleted as soon as the fault has struck."""
    with Story(site, schedule) as story:
        story.wish(replicas=2, **spec)
        story.run_until(lambda: bool(schedule.struck), "the fault never struck")
        story.remove()
        return _outcome(story, Seen(), 0)


def _outcome(story: Story, ready: Seen, writes: int) -> Outcome:
    return Outcome(
        ready=ready,
        end=story.site.look(),
        defines=tuple(sorted(story.host.defines.values())),
        boots=tuple(sorted(story.host.boots.values())),
        copied_again=(*story.host.copied_again, *_frozen_again(story.host.schedule.trace)),
        writes_to_ready=writes,
    )


def _frozen_again(trace: Sequence[Point]) -> list[str]:
    """Return the copies of the source that were begun when clones were made of the point already."""
    cloned = next((number for number, point in enumerate(trace) if point.verb == "start_clone"), len(trace))
    return [str(point) for point in trace[cloned:] if point.call in {"copy_disks", "_begin"}]


def trouble(site: Site, expected: Outcome, schedule: FaultSchedule, *, late_events: bool = True, **spec: Any) -> str:
    """Return how a disturbed life ends otherwise than the undisturbed one, and clean up after it."""
    try:
        outcome = live(site, schedule, late_events=late_events, **spec)
    except AssertionError as error:
        site.purge()
        return str(error)[:600]
    names = ("ready", "end", "defines", "boots", "copied_again")
    wrong = [f"{name}: {getattr(outcome, name)}" for name in names if getattr(outcome, name) != getattr(expected, name)]
    if not schedule.struck:
        wrong.append("the fault never struck")
    if wrong:
        site.purge()
    return "; ".join(wrong)


def trouble_when_deleted(site: Site, expected: Outcome, schedule: FaultSchedule, **spec: Any) -> str:
    """Return what a VMClone left that was deleted when the fault struck, and clean up after it."""
    try:
        outcome = live_until_struck(site, schedule, **spec)
    except AssertionError as error:
        site.purge()
        return str(error)[:600]
    wrong = []
    if outcome.end != expected.end:
        wrong.append(f"end: {outcome.end}")
    if max((*outcome.defines, *outcome.boots), default=0) > 1 or outcome.copied_again:
        wrong.append(f"made {outcome.defines}, booted {outcome.boots}, copied again {outcome.copied_again}")
    if wrong:
        site.purge()
    return "; ".join(wrong)
