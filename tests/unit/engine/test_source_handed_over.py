"""Two VMClones that let go of one source at the same moment: it is put back once, however their passes mix."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest
from tests.crash.lives import begin, wait_ready
from tests.support import manifests
from tests.support.memory_cluster import MemoryCluster
from tests.support.simulation import Simulation

from vmclone_operator.domain.backend import Power
from vmclone_operator.engine.reconcile import reconcile
from vmclone_operator.engine.work.queue import PassFailed
from vmclone_operator.kube.cluster import Document, Key, Kind
from vmclone_operator.providers.fake import FakeBackend, FaultSchedule

DEV, OTHER = Key(Kind.VMCLONE, "team-a", "dev"), Key(Kind.VMCLONE, "team-b", "other")


class Hesitation:
    """Lets others run a random number of times; the seed repeats it."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(f"hesitation {seed}")  # noqa: S311  - repeatable on purpose

    async def __call__(self) -> None:
        for _ in range(self._chance.randrange(4)):
            await asyncio.sleep(0)


class SlowCluster(MemoryCluster):
    """The simulation's API server, which answers after a while."""

    def __init__(self, real: MemoryCluster, hesitate: Hesitation) -> None:
        self.__dict__ = real.__dict__
        self._hesitate = hesitate

    async def get(self, key: Key) -> Document | None:
        await self._hesitate()
        return await super().get(key)

    async def write_status(self, kind: Kind, document: Document, status: Mapping[str, Any]) -> Document:
        await self._hesitate()
        return await super().write_status(kind, document, status)


@pytest.fixture(scope="module")
def ready() -> Simulation:
    """Return an operator with two VMClones of one source, both ready."""
    sim = begin(FaultSchedule(), replicas=1)
    sim.cluster.apply(Kind.VMCLONE, manifests.vmclone("other", "team-b", replicas=1))
    wait_ready(sim, 1)
    sim.run(600)
    return sim


def hold_source(sim: Simulation) -> None:
    """Leave things as they are when both have what they needed: the source is off, and both wrote that down."""
    source = sim.world.find("golden-dev")
    sim.world.set_power_by_hand(source, Power.OFF)
    ledger = {"id": source.uuid, "backend": "lab", "was": "On", "wanted": "Off", "reached": True}
    for key in (DEV, OTHER):
        sim.cluster.overwrite(key, lambda document: document["status"].update(sourcePower=ledger))


@pytest.mark.parametrize("seed", range(25))
def test_two_that_let_go_at_once_put_the_source_back(ready: Simulation, seed: int) -> None:
    hold_source(ready)
    hesitate = Hesitation(seed)
    _, engine = ready.build(FakeBackend(ready.world, pause=hesitate), lambda _: None)
    engine.cluster = SlowCluster(ready.cluster, hesitate)

    async def passes(key: Key) -> None:
        for _ in range(8):
            with suppress(PassFailed):
                await reconcile(engine, key)

    async def both() -> None:
        await asyncio.gather(passes(DEV), passes(OTHER))

    asyncio.run(both())
    held = [key.name for key in (DEV, OTHER) if "sourcePower" in ready.cluster.documents[key]["status"]]
    assert (ready.world.find("golden-dev").power, held) == (Power.ON, [])
