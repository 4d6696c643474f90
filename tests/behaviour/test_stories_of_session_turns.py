"""A story of two VMClones that want one session: the writes of the one are on their way when the other looks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from tests.crash.lives import begin
from tests.support import manifests
from tests.support.simulation import Simulation
from tests.support.stories import condition

from vmclone_operator.engine.vmclone.clone_pass import ClonePass
from vmclone_operator.kube.cluster import Document, Key, Kind
from vmclone_operator.providers.fake import FaultSchedule

FIRST, SECOND = (Key(Kind.VMCLONE, "team-a", name) for name in ("first", "second"))
PREFIX: dict[str, Any] = {"sessionPrefix": "room", "replicas": 1}


def sessions_of(sim: Simulation, key: Key) -> list[str]:
    """Return the sessions that a VMClone's status has."""
    return [row["session"] for row in sim.cluster.documents[key].get("status", {}).get("sessions", [])]


async def _second_writes_while_first_looks(sim: Simulation, patch: pytest.MonkeyPatch) -> None:
    engine, write = sim.engine, sim.cluster.write_finalizers
    on_its_way, may_land = asyncio.Event(), asyncio.Event()

    async def slow(kind: Kind, document: Document, finalizers: Sequence[str]) -> Document:
        if document["metadata"]["name"] == "second":
            on_its_way.set()
            await may_land.wait()
        return await write(kind, document, finalizers)

    patch.setattr(sim.cluster, "write_finalizers", slow)
    second = asyncio.create_task(ClonePass(engine, sim.cluster.documents[SECOND]).run())
    await on_its_way.wait()
    first = sim.cluster.apply(Kind.VMCLONE, manifests.vmclone("first", plan={"mode": "Auto"}, **PREFIX))
    engine.saw(Kind.VMCLONE, first)
    await ClonePass(engine, sim.cluster.documents[FIRST]).run()
    may_land.set()
    await second


def test_a_planned_vmclone_that_is_applied_while_another_one_records_its_session_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sim = begin(FaultSchedule(), replicas=1)
    sim.cluster.apply(Kind.VMCLONE, manifests.vmclone("first", plan={"mode": "DryRun"}, **PREFIX))
    sim.run(300)
    second = sim.cluster.apply(Kind.VMCLONE, manifests.vmclone("second", **PREFIX))
    sim.engine.saw(Kind.VMCLONE, second)
    asyncio.run(_second_writes_while_first_looks(sim, monkeypatch))
    assert (sessions_of(sim, SECOND), sessions_of(sim, FIRST)) == (["room"], [])
    assert condition(sim.cluster.documents[FIRST], "Stalled") == ("True", "SessionConflict")
    assert sim.engine.session_turns in ({}, {("team-a", "room"): sim.cluster.documents[SECOND]["metadata"]["uid"]})
