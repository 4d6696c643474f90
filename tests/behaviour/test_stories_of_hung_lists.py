"""Stories of a host that does not say which VMs it has: whoever needs to know shares the failure, and nobody waits."""

from __future__ import annotations

import asyncio

import pytest
from tests.crash.lives import begin
from tests.support import manifests
from tests.support.simulation import Simulation

from vmclone_operator.engine.reconcile import reconcile
from vmclone_operator.engine.work.queue import PassFailed
from vmclone_operator.kube.cluster import Key, Kind
from vmclone_operator.providers.fake import Fault, FaultKind, FaultSchedule, at_call

MANY = 4
"""As many as may be at one host at a time."""
HANGS = Fault(kind=FaultKind.HANG, delay_seconds=30)


def crowded(times: int) -> Simulation:
    """Return an operator with many new wishes on one host, which hangs at so many lists."""
    sim = begin(FaultSchedule(at_call("list VMs", HANGS, verb="find_clones", times=times), record=True), replicas=1)
    for number in range(MANY):
        sim.cluster.apply(Kind.VMCLONE, manifests.vmclone(f"many-{number}", replicas=1))
    return sim


def lists(sim: Simulation) -> int:
    """Return how often all VMs of the host were asked for."""
    return len([point for point in sim.schedule.trace if point.verb == "find_clones" and not point.target])


def test_many_wishes_wait_for_one_list_that_hangs_and_then_share_the_next() -> None:
    sim = crowded(times=1)
    sim.run(59)
    assert lists(sim) == 2
    assert len([key for key in sim.cluster.documents if key.kind is Kind.REPLICA]) == MANY + 1
    assert not sim.engine.unlisted


def test_who_waits_for_a_list_fails_as_it_does() -> None:
    sim = crowded(times=1000)
    sim.hear_again(listed=True)
    wishes = [Key(Kind.VMCLONE, "team-a", f"many-{number}") for number in range(MANY)]

    async def at_once() -> list[object]:
        return await asyncio.gather(*(reconcile(sim.engine, key) for key in wishes), return_exceptions=True)

    assert {type(end) for end in asyncio.run(at_once())} == {PassFailed}
    assert lists(sim) == 1


def test_nobody_waits_for_a_list_of_a_host_that_failed_the_last_time() -> None:
    sim = crowded(times=1000)
    sim.run(31)
    sim.clock.advance(60)

    async def while_another_one_asks() -> None:
        async with sim.engine.list_gate("lab"):
            await asyncio.wait_for(reconcile(sim.engine, Key(Kind.VMCLONE, "team-a", "many-1")), 1)

    with pytest.raises(PassFailed, match="no answer"):
        asyncio.run(while_another_one_asks())
