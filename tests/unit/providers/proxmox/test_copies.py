"""What is told of a copy by its task and its config, in whatever order the two are seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.unit.doubles.pve.clients import Client, cluster
from tests.unit.providers.proxmox.lives import CLONE, FREEZE, PLACE, Life, story, with_rights

from vmclone_operator.domain.backend import DiskCopy, FreezeIntent, OperationState
from vmclone_operator.providers.fake.faults import Fault, FaultKind, FaultSchedule
from vmclone_operator.providers.proxmox import handles

TASK = "GET /nodes/{node}/tasks/{upid}/status"
AS_OP: dict[str, Any] = {"place": replace(PLACE, pool="clones"), "token_id": "vmclone@pve!op"}


def copies(world: Client) -> list[str]:
    """Return of which VMs a copy was begun."""
    return [task.subject for task in world.world.tasks.values() if task.kind == "qmclone"]


def before_the_task_is_asked(happens: list[Callable[[], None]]) -> FaultSchedule:
    """Return a schedule that lets what is in the list happen, once each, before a task is asked how it stands."""
    fault = Fault(kind=FaultKind.MEANWHILE, meanwhile=lambda: happens.pop()() if happens else None)
    return FaultSchedule(lambda point: fault if point.call == TASK else None)


async def begun(life: Life) -> FreezeIntent:
    """Choose an id, and begin the copy of the source."""
    for _ in range(2):
        life.ledger.frozen = (await life.session.freeze(replace(FREEZE, handle=life.ledger.frozen))).handle
    return replace(FREEZE, handle=life.ledger.frozen)


def test_a_frozen_point_whose_copy_ends_between_the_look_at_it_and_its_task_is_there() -> None:
    """A token with its rights on a pool may not see a copy before it ends: the look said that nothing is there."""
    world = with_rights()
    happens: list[Callable[[], None]] = []

    async def tell(life: Life) -> None:
        intent = await begun(life)
        happens.append(lambda: world.pass_time(60))
        assert (await life.session.freeze(intent)).state is not OperationState.LOST
        assert not happens
        await life.freeze()

    story(tell, world, before_the_task_is_asked(happens), **AS_OP)
    assert copies(world) == ["100"]


def test_a_clone_whose_copy_ends_between_the_look_at_it_and_its_task_is_not_begun_again() -> None:
    world = with_rights()
    happens: list[Callable[[], None]] = []
    schedule = before_the_task_is_asked(happens)

    async def tell(life: Life) -> None:
        await life.freeze()
        asked = replace(CLONE, copy=DiskCopy.FULL, frozen_handle=life.ledger.frozen)
        for _ in range(2):
            life.ledger.clone = (await life.session.start_clone(replace(asked, handle=life.ledger.clone))).handle
        happens.append(lambda: world.pass_time(60))
        await life.clone(asked)
        assert not happens

    story(tell, world, schedule, **AS_OP)
    assert len([point for point in schedule.trace if point.call == "POST /nodes/{node}/qemu/{vmid}/clone"]) == 2


def test_a_frozen_point_that_is_gone_after_its_copy_ended_is_lost() -> None:
    world = with_rights()
    happens: list[Callable[[], None]] = []

    def removed() -> None:
        world.pass_time(60)
        (copy,) = set(world.world.vms) - {100}
        del world.world.vms[copy]

    async def tell(life: Life) -> None:
        intent = await begun(life)
        happens.append(removed)
        assert (await life.session.freeze(intent)).state is OperationState.LOST

    story(tell, world, before_the_task_is_asked(happens), **AS_OP)


def test_a_copy_whose_server_drops_our_description_is_marked_and_made_once() -> None:
    """Recorded from a simulator of the API: a clone had no description, and one of a template the template's.

    Each attempt took the copy for a stranger's and made another one: eight VMs were left on the server.
    """
    world = cluster()

    async def tell(life: Life) -> None:
        frozen = handles.read((await begun(life)).handle)
        assert frozen is not None
        world.pass_time(60)
        del world.world.vms[frozen.vmid].config["description"]
        await life.freeze()
        asked = replace(CLONE, copy=DiskCopy.FULL, frozen_handle=life.ledger.frozen)
        for _ in range(2):
            life.ledger.clone = (await life.session.start_clone(replace(asked, handle=life.ledger.clone))).handle
        clone = handles.read(life.ledger.clone)
        assert clone is not None
        world.pass_time(60)
        world.world.vms[clone.vmid].config["description"] = world.world.vms[frozen.vmid].config["description"]
        await life.clone(asked)
        assert set(world.world.vms) == {100, frozen.vmid, clone.vmid}
        await life.delete()
        await life.release()

    story(tell, world)
    assert set(world.world.vms) == {100}


def test_a_stranger_of_another_name_at_the_id_of_our_copy_is_never_marked() -> None:
    world = cluster()

    async def tell(life: Life) -> None:
        frozen = handles.read((await begun(life)).handle)
        assert frozen is not None
        world.pass_time(60)
        world.world.vms[frozen.vmid].config = {"name": "theirs", "memory": "64"}
        await life.freeze()
        assert world.world.vms[frozen.vmid].config == {"name": "theirs", "memory": "64"}

    story(tell, world)
