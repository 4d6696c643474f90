"""Stories of a host that answers nothing: whoever needs it waits, and nobody else notices."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from tests.support import manifests
from tests.support.side_by_side import WORKERS, HangingHosts, passed, play
from tests.support.simulation import Simulation
from tests.support.stories import vmclone

from vmclone_operator.domain.backend import Power
from vmclone_operator.engine.resync import LEAST_SECONDS, compare_due
from vmclone_operator.kube.cluster import Key, Kind

MANY = WORKERS + 1
PROMPT_SECONDS = 60.0
"""Their guests boot for 30 s; a pass at a host that hangs is given up only after 60."""

ORPHANED = {"vmclone.dev/orphan-on-delete": "true"}


def build(sim: Simulation) -> None:
    """Build the host `lab` and another one, each with a source; one there has an image on `lab`."""
    sim.world.add_image("golden")
    for name, backend in (("golden-dev", "lab"), ("far", "other")):
        sim.world.add_source(name)
        sim.cluster.apply(Kind.BACKEND, manifests.backend(backend, drift={"interval": "10s"}))
        sim.cluster.apply(Kind.SOURCE, manifests.source(name, name, backend={"name": backend}))
    sim.cluster.apply(Kind.SOURCE, manifests.clean_source("across", "far", backend={"name": "other"}))


def wish_many(sim: Simulation, **spec: Any) -> None:
    for number in range(MANY):
        wish = manifests.vmclone(f"far-{number}", replicas=1, **{"source": {"name": "far"}, **spec})
        sim.cluster.apply(Kind.VMCLONE, wish)


def wish_many_across(sim: Simulation) -> None:
    wish_many(sim, source={"name": "across"}, backend={"name": "lab"})


def delete_many(sim: Simulation) -> None:
    for number in range(MANY):
        sim.cluster.remove(Key(Kind.VMCLONE, "team-a", f"far-{number}"))


def leave_many_behind(sim: Simulation) -> None:
    """Delete VMClones that may go without their host: their replicas do so at once, they ask it first."""
    for number in range(MANY):
        key = Key(Kind.VMCLONE, "team-a", f"far-{number}")
        sim.cluster.overwrite(key, lambda wish: wish["metadata"].update(annotations=ORPHANED))
    delete_many(sim)


def name_many_sources(sim: Simulation) -> None:
    for number in range(MANY):
        sim.cluster.apply(Kind.SOURCE, manifests.source(f"far-{number}", "far", backend={"name": "other"}))


def made(sim: Simulation) -> int:
    """Return how many of the many are ready."""
    return sum(vmclone(sim, f"far-{number}").get("status", {}).get("readyReplicas", 0) for number in range(MANY))


async def seconds_until_ready(sim: Simulation) -> float:
    """Wish for clones on the host `lab`; return how long that takes."""
    sim.cluster.apply(Kind.VMCLONE, manifests.vmclone(replicas=3))
    return await passed(sim, 600, until=lambda: vmclone(sim).get("status", {}).get("readyReplicas") == 3)


TROUBLE: dict[str, tuple[bool, Callable[[Simulation], None]]] = {
    "many VMClones are wished for there": (False, wish_many),
    "many VMClones with their replicas are deleted there": (True, delete_many),
    "many VMClones are deleted there whose replicas are gone": (True, leave_many_behind),
    "many VMClones have their source there and their clones here": (False, wish_many_across),
    "many CloneSources are there": (False, name_many_sources),
}


@pytest.mark.parametrize(("beforehand", "begin"), TROUBLE.values(), ids=TROUBLE)
def test_a_dead_host_does_not_delay_the_clones_of_another(
    *, beforehand: bool, begin: Callable[[Simulation], None]
) -> None:
    async def story(sim: Simulation, hosts: HangingHosts) -> None:
        build(sim)
        if beforehand:
            wish_many(sim)
            await passed(sim, 600, until=lambda: made(sim) == MANY)
        hosts.hung = {"other"}
        begin(sim)
        await passed(sim, 1)
        assert await seconds_until_ready(sim) < PROMPT_SECONDS

    play(story)


async def ready_beside_one_that_hangs(sim: Simulation, hosts: HangingHosts) -> None:
    """Have clones ready on the host `lab`, and let the other one hang from then on."""
    build(sim)
    await seconds_until_ready(sim)
    hosts.hung = {"other"}


async def compare_for_ever(sim: Simulation) -> None:
    while True:
        await asyncio.sleep(LEAST_SECONDS)
        await compare_due(sim.engine)


def test_a_dead_host_does_not_delay_how_soon_another_ones_drift_is_seen() -> None:
    async def story(sim: Simulation, hosts: HangingHosts) -> None:
        await ready_beside_one_that_hangs(sim, hosts)
        comparing = asyncio.create_task(compare_for_ever(sim))
        await passed(sim, 3 * LEAST_SECONDS)
        clone = next(machine for machine in sim.world.state.machines.values() if machine.stamp is not None)
        clone.power = Power.OFF
        assert await passed(sim, 600, until=lambda: clone.power is Power.ON) < 2 * LEAST_SECONDS
        comparing.cancel()

    play(story)


def test_a_comparison_that_took_long_is_followed_by_the_next_one() -> None:
    async def story(sim: Simulation, hosts: HangingHosts) -> None:
        await ready_beside_one_that_hangs(sim, hosts)
        await compare_due(sim.engine)
        hosts.hung = set()
        await passed(sim, LEAST_SECONDS)
        began = sim.clock()
        await compare_due(sim.engine)
        assert sim.engine.compared["other"] >= began

    play(story)


def test_a_comparison_whose_session_is_closed_under_it_ends_no_other() -> None:
    async def story(sim: Simulation, hosts: HangingHosts) -> None:
        await ready_beside_one_that_hangs(sim, hosts)
        comparing = asyncio.create_task(compare_due(sim.engine))
        await passed(sim, 1)
        sim.engine.comparing["other"].cancel()
        await comparing

    play(story)


def test_whoever_waited_for_a_host_goes_on_when_it_answers_again() -> None:
    async def story(sim: Simulation, hosts: HangingHosts) -> None:
        build(sim)
        hosts.hung = {"other"}
        wish_many(sim)
        await passed(sim, 300)
        assert made(sim) == 0
        hosts.hung = set()
        await passed(sim, 600, until=lambda: made(sim) == MANY)
        assert made(sim) == MANY

    play(story)
