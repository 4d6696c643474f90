"""The crash tests are themselves tested: each of these engine bugs, planted alone, must make a life fail.

A bug that survives means that an oracle is missing, and the matrix proves less than it says.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import cache, partial

import pytest
import tests.crash.lives
from tests.crash.lives import Outcome, begin, live, wait_ready, watched
from tests.crash.mutations import MUTATIONS, Mutation
from tests.support.simulation import Simulation

from vmclone_operator.kube.cluster import Kind
from vmclone_operator.providers.fake import Fault, FaultKind, FaultSchedule, Point, at_call, at_index

Trouble = Callable[[], str]
WRITES = (FaultKind.LOSE_REPLY, FaultKind.KILL_AFTER, FaultKind.KILL_BEFORE, FaultKind.FAIL)
PLACES = {"freeze": ("freeze", ""), "delete": ("delete_clone", "")}
PATIENCE_SECONDS = 600.0
"""Far more than a right engine needs for a life with one fault, far less than a wrong one may spin for."""


@cache
def undisturbed() -> tuple[tuple[Point, ...], Outcome]:
    schedule = FaultSchedule(record=True)
    outcome = live(schedule)
    return tuple(schedule.trace), outcome


def calm() -> Iterator[Trouble]:
    """Nothing goes wrong; events come late, or at once."""
    yield lambda: trouble(FaultSchedule(), also=("freezes",))
    yield lambda: trouble(FaultSchedule(), late_events=False, also=("freezes",))


def matrix(verb: str, call: str) -> Iterator[Trouble]:
    """Faults at these calls, one a life."""
    points = [p for p in undisturbed()[0] if p.verb == verb and p.call.startswith(call)]
    for point, kind in itertools.product(points, WRITES):
        schedule = FaultSchedule(at_index(point.index, Fault(kind=kind)))
        yield partial(trouble, schedule)


def trouble(schedule: FaultSchedule, *, late_events: bool = True, also: tuple[str, ...] = ()) -> str:
    """Return in which respects a life ends otherwise than the undisturbed one."""
    expected = undisturbed()[1]
    outcome = live(schedule, late_events=late_events)
    names = ("ready", "fewer", "end", "defines", "boots", "foreign_writes", *also)
    wrong = [name for name in names if getattr(outcome, name) != getattr(expected, name)]
    return ", ".join([*wrong, *(["frozen"] if outcome.longest_freeze_seconds > 5 else [])])


def queued() -> Iterator[Trouble]:
    """Three replicas, one at a time: no second clone is made before the first is up."""

    def quarantined(sim: Simulation) -> bool:
        waiting = [m.name for m in sim.world.state.machines.values() if not m.foreign and not m.connected]
        assert len(waiting) <= 1, f"{waiting} are made at the same time"
        return False

    def run() -> str:
        sim = begin(FaultSchedule(), replicas=3, rollout={"maxInFlight": 1})
        watched(sim, 600, until=lambda: quarantined(sim))
        wait_ready(sim, 3)
        return ""

    yield run


def taken_away() -> Iterator[Trouble]:
    """A clone is removed at the backend, and no event tells: it is made again, as another machine."""

    def run() -> str:
        sim = begin(FaultSchedule())
        wait_ready(sim, 2)
        before = sim.world.inventory()
        lost = next(m for m in sim.world.state.machines.values() if m.stamp and m.stamp.ordinal == 1)
        sim.world.pool.remove(lost)
        for name in lost.volumes:
            sim.world.pool.delete_volume(name)
        watched(sim, 600)
        wrong = [] if sim.world.inventory() == before else ["not made again"]
        return ", ".join([*wrong, *(["same machine"] if max(sim.world.effects.creates.values()) > 1 else [])])

    yield run


def copy_dies() -> Iterator[Trouble]:
    """The hypervisor restarts just before the first clone is asked for: no copy may be under way by then."""

    def run() -> str:
        schedule = FaultSchedule()
        sim = begin(schedule)
        fault = Fault(kind=FaultKind.MEANWHILE, meanwhile=sim.world.lose_copies)
        schedule.choose = at_call("look up frozen point", fault)
        wait_ready(sim, 2)
        return "" if schedule.struck else "nothing happened"

    yield run


def thawed() -> Iterator[Trouble]:
    """Killed with the source frozen: the next operator thaws before it does anything else to the source."""
    frozen = next(point.index for point in undisturbed()[0] if point.call == "fsfreeze")

    def run() -> str:
        schedule = FaultSchedule(at_index(frozen, Fault(kind=FaultKind.KILL_AFTER)), record=True)
        live(schedule)
        after = [point.verb for point in schedule.trace[frozen + 1 :] if point.verb in {"thaw", "freeze"}]
        return "" if after[0] == "thaw" else "not thawed first"

    yield run


def ledger() -> Iterator[Trouble]:
    """When a clone is asked for, the API server holds its intent, with the frozen point that it stands on."""

    def run() -> str:
        found: list[str] = []
        schedule = FaultSchedule(lambda point: look(point))  # noqa: PLW0108  - made before `look`
        sim = begin(schedule)

        def look(point: Point) -> None:
            statuses = [d.get("status", {}) for key, d in sim.cluster.documents.items() if key.kind is Kind.REPLICA]
            written = {s["intent"]["vmName"]: s["intent"].get("frozenPoint") for s in statuses if "intent" in s}
            if point.verb == "start_clone" and point.call == "define" and not written.get(point.target):
                found.append(f"no intent for {point.target}")

        wait_ready(sim, 2)
        return ", ".join(found)

    yield run


LIVES: dict[str, Callable[[], Iterator[Trouble]]] = {
    "calm": calm,
    "queued": queued,
    "taken away": taken_away,
    "copy dies": copy_dies,
    "thawed": thawed,
    "ledger": ledger,
    **{name: partial(matrix, *place) for name, place in PLACES.items()},
}


def caught(lives: Iterator[Trouble]) -> str:
    """Return what the first life that fails says; empty when the bug survives them all."""
    return next((said for life in lives if (said := said_by(life))), "")


def said_by(life: Trouble) -> str:
    """Return what is wrong after a life; another exception is a mutation that no longer fits the engine."""
    try:
        return life()
    except AssertionError as error:
        return str(error)[:200]


@pytest.mark.parametrize("lives", ["calm", "queued", "taken away", "copy dies", "thawed", "ledger"])
def test_the_right_engine_passes_these_lives(lives: str) -> None:
    """Otherwise they would catch anything."""
    assert caught(LIVES[lives]()) == ""


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.name)
def test_a_planted_bug_is_caught(mutation: Mutation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each promise of the crash suite has a bug that breaks it, and is seen to."""
    undisturbed()
    mutation.plant(monkeypatch)
    monkeypatch.setattr(tests.crash.lives, "PATIENCE_SECONDS", PATIENCE_SECONDS)
    said = caught(LIVES[mutation.lives]())
    assert said, "the bug survives: an oracle is missing"
