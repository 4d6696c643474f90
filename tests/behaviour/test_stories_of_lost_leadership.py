"""Stories of an operator that may lead no longer: the pass ends there, and no object is told that a backend failed.

`LeadershipLost` is no CloneError, so whatever catches those lets it out. The API server of these stories still takes
what this operator writes: what it would write by mistake is seen.
"""

from __future__ import annotations

import asyncio

import pytest
from tests.behaviour.test_stories_of_retry import unbootable
from tests.crash.lives import begin, wait_ready
from tests.support.restoring import lose
from tests.support.simulation import Simulation
from tests.support.stories import DEV, change, ready, replica, vmclone

from vmclone_operator.domain.errors import LeadershipLost
from vmclone_operator.engine.resync import compare
from vmclone_operator.kube.cluster import Document, Key, Kind
from vmclone_operator.providers.fake import Fault, FaultKind, FaultSchedule

LAB = Key(Kind.BACKEND, "", "lab")
SOURCE = Key(Kind.SOURCE, "", "golden-dev")
LOST = Fault(kind=FaultKind.FAIL, error=LeadershipLost("another operator leads"))
ORPHANED = {"vmclone.dev/orphan-on-delete": "true"}


def lead_lost(sim: Simulation, verb: str) -> None:
    """Let this verb of the backend find out that another operator leads, whenever it is called."""
    sim.schedule.choose = lambda point: LOST if point.verb == verb else None


def lead_again(sim: Simulation) -> None:
    sim.schedule.choose = lambda _: None


def struck(sim: Simulation) -> int:
    return len(sim.schedule.struck)


def said(sim: Simulation) -> str:
    """Return all that stands on objects and in Events."""
    watched = (Kind.BACKEND, Kind.SOURCE, Kind.VMCLONE, Kind.REPLICA, Kind.EVENT)
    return str([document for key, document in sim.cluster.documents.items() if key.kind in watched])


MAKING = ["describe_source", "preflight", "freeze", "start_clone", "set_power"]


@pytest.mark.parametrize("verb", MAKING)
def test_a_clone_in_the_making_says_nothing_of_it_and_is_made_once_the_operator_leads(verb: str) -> None:
    sim = begin(FaultSchedule(), replicas=1)
    lead_lost(sim, verb)
    sim.run(120)
    assert struck(sim)
    assert "LeadershipLost" not in said(sim)
    assert not vmclone(sim).get("status", {}).get("retry")
    lead_again(sim)
    wait_ready(sim, 1)
    assert max(sim.world.effects.creates.values()) == 1


def test_a_clone_that_is_removed_stays_with_its_object() -> None:
    sim = ready(2)
    lead_lost(sim, "delete_clone")
    change(sim, replicas=1)
    sim.run(120)
    assert struck(sim)
    assert replica(sim, 2)["metadata"]["finalizers"]
    assert "LeadershipLost" not in said(sim)
    lead_again(sim)
    sim.run(120)
    assert sim.get(Kind.REPLICA, "dev-2", "team-a") is None


@pytest.mark.parametrize("annotations", [{}, ORPHANED], ids=["to be removed", "to be left behind if need be"])
def test_a_vmclone_that_is_deleted_keeps_its_finalizer_while_its_frozen_points_are_there(
    annotations: dict[str, str],
) -> None:
    """Leadership that is lost is no backend that fails: what is to be left behind then is not left behind now."""
    sim = ready(1)
    lead_lost(sim, "release_frozen")
    sim.cluster.remove(DEV)
    sim.run(60)
    sim.cluster.overwrite(DEV, lambda d: d["metadata"].update(annotations=annotations))
    sim.run(120)
    assert struck(sim)
    assert vmclone(sim)["metadata"]["finalizers"]
    assert "LeadershipLost" not in said(sim)
    assert "Orphaned" not in said(sim)
    lead_again(sim)
    sim.run(300)
    assert sim.get(Kind.VMCLONE, "dev", "team-a") is None
    assert sim.world.inventory().frozen_points == ()


def orphan_of(sim: Simulation) -> Document:
    (row,) = sim.cluster.documents[LAB]["status"]["orphans"]
    return dict(row)


def test_an_orphan_that_was_named_is_removed_by_whoever_leads_next() -> None:
    """An annotation counts as carried out only where that was tried."""
    sim = ready(1)
    lose(sim)
    sim.run(180)
    orphan = orphan_of(sim)["externalID"]
    lead_lost(sim, "delete_clone")
    asked = {"vmclone.dev/remove-orphans": orphan}
    sim.cluster.overwrite(LAB, lambda d: d["metadata"].update(annotations=asked))
    sim.run(120)
    assert struck(sim)
    assert not sim.cluster.documents[LAB]["status"].get("orphansRemovedFor")
    assert orphan_of(sim)["externalID"] == orphan
    lead_again(sim)
    sim.run(300)
    assert not [row for row in sim.cluster.documents[LAB]["status"].get("orphans", []) if row["kind"] == "VM"]


@pytest.mark.parametrize(("verb", "key"), [("check", LAB), ("describe_source", SOURCE)])
def test_what_admins_declared_says_nothing_of_it(verb: str, key: Key) -> None:
    sim = ready(1)
    before = sim.cluster.documents[key]["status"]["conditions"]
    lead_lost(sim, verb)
    sim.run(180)
    assert struck(sim)
    assert sim.cluster.documents[key]["status"]["conditions"] == before


def test_an_overdue_boot_whose_console_may_not_be_read_says_nothing_of_it() -> None:
    sim = unbootable()
    lead_lost(sim, "console_tail")
    sim.restart()
    sim.run(120)
    assert struck(sim)
    assert "LeadershipLost" not in said(sim)


def test_a_connection_that_was_not_opened_is_tried_again_at_once() -> None:
    """A backend that failed is left alone for some seconds; one that was not asked is not."""
    sim = ready(1)
    document = sim.cluster.documents[LAB]

    async def opened_twice() -> None:
        sessions = sim.build(sim.backend, lambda _: None)[1].sessions
        lead_lost(sim, "open")
        with pytest.raises(LeadershipLost):
            await sessions.get(document, "lab")
        lead_again(sim)
        await sessions.get(document, "lab")

    asyncio.run(opened_twice())


@pytest.mark.parametrize("verb", ["find_clones", "find_leftovers"])
def test_a_comparison_with_a_backend_ends_without_ending_the_operator(verb: str) -> None:
    sim = ready(1)
    lead_lost(sim, verb)
    asyncio.run(compare(sim.engine, ["lab"]))
    assert struck(sim)
    lead_again(sim)
    wait_ready(sim, 1)
