"""A whole life again for each of its writes: a reply is lost, the operator dies, a stranger is faster.

Each time one VM is made per frozen point and replica, nothing is left, and nothing of anybody else's is touched.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.doubles.pve.clients import Client, cluster
from tests.unit.doubles.pve.lab import adopt
from tests.unit.providers.proxmox.lives import PLACE, Life, story, with_rights

from vmclone_operator.providers.fake.faults import Fault, FaultKind, FaultSchedule, at_call, at_index

WRITES = 13
"""How many writes a life takes when nothing goes wrong; a test counts them."""
POST_CLONE = "POST /nodes/{node}/qemu/{vmid}/clone"
STRANGER = {"name": "stranger", "memory": "64", "scsi0": "local:9999/vm-{}-disk-0.qcow2,size=1G"}


async def whole(life: Life) -> None:
    await life.whole()


async def whole_with_restarts(life: Life) -> None:
    life.restart_after_errors = True
    await life.whole()


@pytest.fixture(scope="module")
def writes() -> list[int]:
    """Return the numbers of the writes of a life without faults."""
    schedule = FaultSchedule()
    story(whole, cluster(), schedule)
    return [point.index for point in schedule.trace if point.writes]


def good_clones(world: Client) -> list[str]:
    tasks = world.world.tasks.values()
    return sorted(task.subject for task in tasks if (task.kind, task.exit_status) == ("qmclone", "OK"))


def judge(world: Client, before: set[str], *, others: frozenset[int] = frozenset()) -> None:
    """Compare what is there with what was there before, and count what was made."""
    assert set(world.world.vms) == {100} | others
    left = {volume for volume in world.world.storages.volumes if not any(f"-{vmid}-" in volume for vmid in others)}
    assert left == before
    made = good_clones(world)
    assert (len(made), made.count("100")) == (2, 1)


def test_a_life_takes_that_many_writes(writes: list[int]) -> None:
    assert len(writes) == WRITES


HOW = {
    "the reply is lost": (FaultKind.LOSE_REPLY, whole),
    "the operator dies after": (FaultKind.LOSE_REPLY, whole_with_restarts),
    "the operator dies before": (FaultKind.FAIL, whole_with_restarts),
}


@pytest.mark.parametrize("number", range(WRITES))
@pytest.mark.parametrize("how", HOW)
def test_one_vm_each_and_nothing_left_when(writes: list[int], how: str, number: int) -> None:
    kind, tell = HOW[how]
    world = cluster()
    before = set(world.world.storages.volumes)
    schedule = FaultSchedule(at_index(writes[number], Fault(kind=kind)))
    story(tell, world, schedule)
    assert len(schedule.struck) == 1
    judge(world, before)


@pytest.mark.parametrize("call", [0, 3], ids=["the frozen point", "the clone"])
def test_a_copy_whose_reply_is_lost_is_found_by_a_token_that_may_not_read_it_yet(writes: list[int], call: int) -> None:
    world = with_rights()
    before = set(world.world.storages.volumes)
    schedule = FaultSchedule(at_index(writes[call], Fault(kind=FaultKind.LOSE_REPLY)))
    story(whole_with_restarts, world, schedule, place=replace(PLACE, pool="clones"), token_id="vmclone@pve!op")
    judge(world, before)


@pytest.mark.parametrize("skip", [0, 1], ids=["the frozen point's", "the clone's"])
def test_a_stranger_who_takes_the_id_between_claim_and_clone_keeps_his_vm(skip: int) -> None:
    world = cluster()
    before = set(world.world.storages.volumes)
    took: list[int] = []

    def taken() -> None:
        for vmid in sorted(set(range(9100, 9110)) - set(world.world.vms)):
            adopt(world.world, vmid, {**STRANGER, "scsi0": STRANGER["scsi0"].format(vmid)}, seen=False)
            took.append(vmid)

    schedule = FaultSchedule(at_call(POST_CLONE, Fault(kind=FaultKind.MEANWHILE, meanwhile=taken), skip=skip))

    story(whole, world, schedule, place=replace(PLACE, last_vmid=9120))
    judge(world, before, others=frozenset(took))
    assert all(world.world.vms[vmid].config["name"] == "stranger" for vmid in took)
    assert all(f"local:9999/vm-{vmid}-disk-0.qcow2" in world.world.storages.volumes for vmid in took)
