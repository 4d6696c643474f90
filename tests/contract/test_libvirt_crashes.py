"""The crash matrix on a real libvirtd: killed before, after, or with the reply lost, at every write of a life.

Which lives share a cell: what comes before a frozen point is complete knows nothing of how disks are copied, what
comes after it knows nothing of whether the source runs. And killed before a write is killed after the one before
it, which the first case shows; copies are the exception, for they run beside everything else.

Running sources boot nothing here and are copied CrashConsistent: no guest is ever frozen in this matrix. That a source
is never frozen over 5 s is proven by the matrices over the fake (`tests/crash`) and with guests that are really frozen
by the kills of `tests/e2e`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from tests.crash.libvirt_lives import KINDS, Outcome, Place, live, places, trouble, trouble_when_deleted
from tests.crash.libvirt_site import Site, open_site
from tests.support import unbooted_story

from vmclone_operator.domain.backend import FreezeIntent, Progress
from vmclone_operator.providers.fake import FaultKind, FaultSchedule
from vmclone_operator.providers.libvirt import source as sources
from vmclone_operator.providers.libvirt.clones import Clones
from vmclone_operator.providers.libvirt.frozen import FrozenPoints
from vmclone_operator.providers.libvirt.full_copies import FullCopies

pytestmark = pytest.mark.libvirt
Writes = list[Place]
COPIES = {"copy_disks", "_begin", "_copy"}
"""What begins a copy: of a source that is off, of one that runs, of a frozen point."""


def _all(writes: Writes) -> Writes:
    return writes


def _copies(writes: Writes) -> Writes:
    return [place for place in writes if place.call in COPIES]


def _at_the_backend(writes: Writes) -> Writes:
    """More disks change nothing about what is written to the API server."""
    return [place for place in writes if place.verb != "kube"]


def _of_the_frozen_point(writes: Writes) -> Writes:
    first = _first_of_a_clone(writes)
    return [*writes[:first], *(place for place in writes[first:] if place.verb == "release_frozen")]


def _of_the_disks(writes: Writes) -> Writes:
    """From the first call for a clone to the last, with what is written down in between, and the end of the point."""
    asked = [number for number, place in enumerate(writes) if place.verb == "start_clone"]
    return [
        place
        for number, place in enumerate(writes)
        if asked[0] <= number <= asked[-1] + 1 or place.verb == "release_frozen"
    ]


def _first_of_a_clone(writes: Writes) -> int:
    return next(number for number, place in enumerate(writes) if place.verb == "start_clone")


@dataclass(frozen=True, kw_only=True)
class Case:
    """How the source is, how its disks are copied, and which writes no other case strikes."""

    copy: str
    running: bool = False
    disks: int = 1
    own: Callable[[Writes], Writes]
    deleted: Callable[[Writes], Writes]
    """The same, of lives in which the wish is deleted as the fault strikes."""

    @property
    def spec(self) -> dict[str, Any]:
        """Return what is wished for; a source that boots nothing has no agent to hold it still."""
        consistency = {"consistency": "CrashConsistent"} if self.running else {}
        return {"disk": {"copy": self.copy, **consistency}}


@dataclass(frozen=True, kw_only=True)
class Yardstick:
    """A site, the writes of an undisturbed life on it, and what that life left."""

    case: Case
    site: Site
    found: Writes
    expected: Outcome


CASES = {
    "linked, off": Case(copy="Linked", own=_all, deleted=_all),
    "linked, off, two disks": Case(copy="Linked", disks=2, own=_at_the_backend, deleted=_copies),
    "linked, running": Case(copy="Linked", running=True, own=_of_the_frozen_point, deleted=_of_the_frozen_point),
    "full, off, two disks": Case(copy="Full", disks=2, own=_of_the_disks, deleted=_of_the_disks),
    "full, running": Case(copy="Full", running=True, own=_copies, deleted=_copies),
}


@pytest.fixture(scope="module", params=CASES.values(), ids=list(CASES))
def yardstick(request: pytest.FixtureRequest) -> Iterator[Yardstick]:
    """Record the undisturbed life of each case."""
    case = request.param
    with open_site(disks=case.disks, running=case.running) as site:
        schedule = FaultSchedule(record=True)
        outcome = live(site, schedule, **case.spec)
        yield Yardstick(case=case, site=site, found=places(schedule.trace), expected=outcome)


def test_an_undisturbed_life_makes_each_clone_once_and_leaves_nothing(yardstick: Yardstick) -> None:
    """The yardstick of the matrix is itself held against the promise."""
    outcome = yardstick.expected
    assert outcome.defines == outcome.boots == (1, 1)
    assert len(outcome.ready.clones) == 2
    assert all("links=True" in line and "MISSING" not in line for line in outcome.ready.clones)
    assert not any("NOBODY" in line or "HALF-MADE" in line for line in outcome.ready.files)
    assert any(line.startswith("frozen") for line in outcome.ready.files) is (yardstick.case.copy == "Linked")
    assert (outcome.end.clones, outcome.end.files) == ((), ())
    assert outcome.ready.others == outcome.end.others
    verbs = {"kube", "freeze", "start_clone", "connect_network", "delete_clone", "release_frozen"}
    assert {place.verb for place in yardstick.found} == verbs


Judge = Callable[[Yardstick, Place, FaultKind], str]


def _lives_on(yardstick: Yardstick, place: Place, kind: FaultKind) -> str:
    return trouble(yardstick.site, yardstick.expected, place.schedule(kind), **yardstick.case.spec)


def _is_deleted(yardstick: Yardstick, place: Place, kind: FaultKind) -> str:
    return trouble_when_deleted(yardstick.site, yardstick.expected, place.schedule(kind), **yardstick.case.spec)


def _strike(yardstick: Yardstick, struck: Writes, kind: FaultKind, judge: Judge) -> None:
    wrong = [f"{kind} at {place}: {said}" for place in struck if (said := judge(yardstick, place, kind))]
    print(f"{kind}: {len(struck)} lives")  # noqa: T201  - a matrix says how much it covers
    assert not wrong, "\n".join(wrong)


def _not_shared(writes: Writes, kind: FaultKind) -> Writes:
    return _copies(writes) if kind is FaultKind.KILL_BEFORE else writes


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_at_any_write_changes_nothing_in_the_end(yardstick: Yardstick, kind: FaultKind) -> None:
    """0 duplicates, 0 leaks, 0 foreign objects touched; what is there is what an undisturbed life leaves."""
    writes = yardstick.case.own(yardstick.found)
    _strike(yardstick, writes if yardstick.case.own is _all else _not_shared(writes, kind), kind, _lives_on)


@pytest.mark.parametrize("kind", KINDS)
def test_deleted_at_any_write_a_vmclone_leaves_nothing(yardstick: Yardstick, kind: FaultKind) -> None:
    """Whoever deletes a wish need not wait for what its operator was killed in."""
    making = yardstick.found[: yardstick.expected.writes_to_ready]
    _strike(yardstick, _not_shared(yardstick.case.deleted(making), kind), kind, _is_deleted)


def test_a_copy_that_breaks_off_is_taken_again(yardstick: Yardstick) -> None:
    """The copy runs in a thread of its own: what it fails with is told once, then the attempt is lost."""
    for place in {place.call: place for place in _copies(yardstick.found)}.values():
        assert _lives_on(yardstick, place, FaultKind.FAIL) == ""


def _leaves_files(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Clones, "_remove_volumes", lambda *_: True)


def _takes_every_copy_for_whole(patch: pytest.MonkeyPatch) -> None:
    def finished(points: FrozenPoints, pool: Any, domain: Any, held: Any, intent: FreezeIntent) -> Progress:
        return points._finished(pool, held, intent, sources.fingerprint(sources.examine(domain)))

    patch.setattr(FrozenPoints, "_of_backup", finished)


def _forgets_copies(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(FullCopies, "proven", lambda *_: frozenset())


@pytest.mark.parametrize(
    ("case", "place", "plant"),
    [
        pytest.param("linked, off", Place("start_clone", "_make", 1), _leaves_files, id="files are left"),
        pytest.param(
            "linked, off, two disks",
            Place("freeze", "copy_disks", 1),
            _takes_every_copy_for_whole,
            id="half a frozen point counts as whole",
        ),
        pytest.param(
            "full, off, two disks",
            Place("start_clone", "_copy", 1),
            _forgets_copies,
            id="finished disks are copied again",
        ),
    ],
)
def test_a_bug_that_is_planted_does_not_go_unseen(
    case: str, place: Place, plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The matrix is itself tested."""
    with open_site(disks=CASES[case].disks) as site:
        expected = live(site, FaultSchedule(), **CASES[case].spec)
        plant(monkeypatch)
        monkeypatch.setattr(unbooted_story, "PATIENCE_SECONDS", 120.0)
        assert trouble(site, expected, place.schedule(FaultKind.KILL_AFTER), **CASES[case].spec)
