"""What is deleted on a real libvirtd, and what is never touched."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.contract.libvirt_backend import (
    LibvirtFacts,
    open_libvirt,
)
from tests.integration.libvirt.steps import (
    INSTANCE,
    clone_intent,
    frozen_point,
    gone,
    play,
    stamp_of,
)
from tests.support.refs import is_gone, ref_to

from vmclone_operator.domain import naming
from vmclone_operator.domain.backend import (
    BackendSession,
    Owner,
    Power,
    Stamp,
)
from vmclone_operator.domain.errors import (
    LeadershipLost,
    OwnershipMismatch,
    TargetConflict,
)

pytestmark = pytest.mark.libvirt


@pytest.mark.parametrize("taken", [pytest.param("name", id="our name"), pytest.param("uuid", id="our UUID")])
def test_a_strangers_vm_in_the_way_is_named_and_left_alone(taken: str) -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        stamp = stamp_of(str(uuid.uuid4()))
        intent = clone_intent(facts, stamp, await frozen_point(session, facts, stamp.vmclone_uid))
        before = facts.volume_names()
        name = intent.vm_name if taken == "name" else f"{facts.pool_name}-stranger"
        stranger = facts.make_domain(name, intent.uuid if taken == "uuid" else "")
        xml = stranger.XMLDesc()
        with pytest.raises(TargetConflict, match=name):
            await session.start_clone(intent)
        assert stranger.XMLDesc() == xml
        assert facts.volume_names() == before

    play(scenario)


def test_deleting_removes_the_vm_and_its_disks_and_may_be_repeated() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        stamp = stamp_of(str(uuid.uuid4()))
        sibling = replace(stamp, ordinal=2, incarnation=str(uuid.uuid4()))
        token = await frozen_point(session, facts, stamp.vmclone_uid)
        for each in (stamp, sibling):
            await session.start_clone(clone_intent(facts, each, token))
        assert (await session.delete_clone(ref_to(stamp))).done
        assert (await session.delete_clone(ref_to(stamp))).done
        (left,) = await session.find_clones(Owner(instance=INSTANCE, vmclone_uid=stamp.vmclone_uid))
        assert left.stamp == sibling
        names = facts.volume_names()
        assert not [name for name in names if name.startswith(naming.volume_prefix(INSTANCE, stamp.incarnation))]
        assert [name for name in names if name.startswith(naming.volume_prefix(INSTANCE, sibling.incarnation))]

    play(scenario)


def test_deleting_removes_a_running_clone() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        stamp = stamp_of(str(uuid.uuid4()))
        await session.start_clone(clone_intent(facts, stamp, await frozen_point(session, facts, stamp.vmclone_uid)))
        await session.set_power(ref_to(stamp), Power.ON)
        await gone(lambda: is_gone(session.delete_clone(ref_to(stamp))))
        assert await session.find_clones(Owner(instance=INSTANCE, incarnation=stamp.incarnation)) == []

    play(scenario)


def test_what_an_attempt_left_without_a_vm_is_deleted_too() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        stamp = stamp_of(str(uuid.uuid4()))
        facts.make_volume(f"{naming.volume_prefix(INSTANCE, stamp.incarnation)}c0-vda.qcow2")
        # A file that another program wrote: libvirt does not know it until the pool is read anew.
        (facts.pool_path / f"{naming.volume_prefix(INSTANCE, stamp.incarnation)}c0-seed.img").write_bytes(b"\0" * 4096)
        assert (await session.delete_clone(ref_to(stamp))).done
        assert facts.volume_names() == []

    play(scenario)


def _another_instance(stamp: Stamp) -> Stamp:
    return replace(stamp, instance=str(uuid.uuid4()))


def _another_vmclone(stamp: Stamp) -> Stamp:
    return replace(stamp, vmclone_uid=str(uuid.uuid4()))


@pytest.mark.parametrize(
    "pretend",
    [
        pytest.param(_another_instance, id="of another installation"),
        pytest.param(_another_vmclone, id="of another VMClone"),
    ],
)
def test_a_clone_with_another_stamp_is_never_touched(pretend: Callable[[Stamp], Stamp]) -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        stamp = stamp_of(str(uuid.uuid4()))
        await session.start_clone(clone_intent(facts, stamp, await frozen_point(session, facts, stamp.vmclone_uid)))
        before = facts.volume_names()
        wrong = pretend(stamp)
        with pytest.raises(OwnershipMismatch):
            await session.delete_clone(ref_to(wrong))
        with pytest.raises(OwnershipMismatch):
            await session.set_power(ref_to(wrong), Power.ON)
        with pytest.raises(OwnershipMismatch):
            await session.connect_network(ref_to(wrong))
        assert facts.volume_names() == before
        assert await session.find_clones(Owner(instance=INSTANCE, incarnation=stamp.incarnation))

    play(scenario)


def test_a_former_leader_writes_nothing() -> None:
    async def run() -> None:
        led = [True]

        def fence() -> None:
            if not led[0]:
                raise LeadershipLost("another operator leads")

        async with open_libvirt(fence=fence) as (session, facts):
            stamp = stamp_of(str(uuid.uuid4()))
            intent = clone_intent(facts, stamp, await frozen_point(session, facts, stamp.vmclone_uid))
            led[0] = False
            before = facts.volume_names()
            with pytest.raises(LeadershipLost):
                await session.start_clone(intent)
            assert facts.volume_names() == before
            led[0] = True
            await session.start_clone(intent)
            led[0] = False
            with pytest.raises(LeadershipLost):
                await session.delete_clone(ref_to(stamp))
            assert await session.find_clones(Owner(instance=INSTANCE, incarnation=stamp.incarnation))

    asyncio.run(run())
