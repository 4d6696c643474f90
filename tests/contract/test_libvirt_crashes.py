"""The crash matrix on a real libvirtd: killed before, after, or with the reply lost, at every write of a life."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.crash.libvirt_lives import KINDS, Life, Outcome, Place, places, trouble
from tests.crash.libvirt_site import Site, open_site

from vmclone_operator.providers.fake import FaultKind, FaultSchedule

pytestmark = pytest.mark.libvirt

Yardstick = tuple[Site, list[Place], Outcome]


@pytest.fixture(scope="module", params=[1, 2], ids=["one disk", "two disks"])
def yardstick(request: pytest.FixtureRequest) -> Iterator[Yardstick]:
    """A site, the writes of an undisturbed life on it, and what that life left."""
    with open_site(disks=request.param) as site:
        schedule = FaultSchedule(record=True)
        outcome = Life(site, schedule, late_events=True).run()
        yield site, places(schedule.trace), outcome


def test_an_undisturbed_life_makes_each_clone_once_and_leaves_nothing(yardstick: Yardstick) -> None:
    """The yardstick of the matrix is itself held against the promise."""
    _, found, outcome = yardstick
    assert outcome.defines == outcome.boots == (1, 1)
    assert len(outcome.ready.clones) == 2
    assert all("links=True" in line and "MISSING" not in line for line in outcome.ready.clones)
    assert not any("NOBODY" in line or "HALF-MADE" in line for line in outcome.ready.files)
    assert (outcome.end.clones, outcome.end.files) == ((), ())
    assert outcome.ready.others == outcome.end.others
    assert {place.verb for place in found} == {
        "kube",
        "freeze",
        "start_clone",
        "connect_network",
        "delete_clone",
        "release_frozen",
    }


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_at_any_write_changes_nothing_in_the_end(yardstick: Yardstick, kind: FaultKind) -> None:
    """0 duplicates, 0 leaks, 0 foreign objects touched; what is there is what an undisturbed life leaves."""
    site, found, expected = yardstick
    # More disks change nothing about what is written to the API server.
    struck = [place for place in found if site.disks == 1 or place.verb != "kube"]
    wrong = [f"{kind} at {p}: {said}" for p in struck if (said := trouble(site, expected, p.schedule(kind)))]
    print(f"{kind}: {len(struck)} points")  # noqa: T201  - a matrix says how much it covers
    assert not wrong, "\n".join(wrong)


def test_a_copy_that_breaks_off_is_taken_again(yardstick: Yardstick) -> None:
    """The copy runs in a thread of its own: what it fails with is told once, then the attempt is lost."""
    site, _, expected = yardstick
    schedule = Place("freeze", "copy_disks", 1).schedule(FaultKind.FAIL)
    assert trouble(site, expected, schedule) == ""
