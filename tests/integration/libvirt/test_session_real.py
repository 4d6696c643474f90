"""Making and switching clones on a real libvirtd, with VMs that have nothing to boot."""

from __future__ import annotations

import asyncio
import time
import uuid
from dataclasses import replace

import pytest
from tests.contract.libvirt_backend import (
    MARKER,
    LibvirtFacts,
    open_libvirt,
    open_session,
)
from tests.integration.libvirt.steps import (
    INSTANCE,
    clone_intent,
    frozen_point,
    play,
    stamp_of,
)
from tests.support.refs import is_gone, ref_to

from vmclone_operator.domain import naming
from vmclone_operator.domain.backend import (
    BackendSession,
    GuestCommand,
    OperationState,
    Owner,
    Power,
)
from vmclone_operator.domain.errors import (
    AgentNotReady,
    CloneFailed,
    GuestAgentMissing,
    RetryLater,
)

pytestmark = pytest.mark.libvirt


def test_a_clone_is_off_quarantined_stamped_and_reads_the_sources_bytes() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        stamp = stamp_of(str(uuid.uuid4()))
        intent = clone_intent(facts, stamp, await frozen_point(session, facts, stamp.vmclone_uid))
        made = await session.start_clone(intent)
        assert (made.state, made.external_id) == (OperationState.DONE, intent.uuid)
        (clone,) = await session.find_clones(Owner(instance=INSTANCE, vmclone_uid=stamp.vmclone_uid))
        assert (clone.stamp, clone.token, clone.vm_name) == (stamp, "c1", intent.vm_name)
        assert (clone.external_id, clone.complete) == (intent.uuid, True)
        assert (clone.power, clone.connected, clone.agent) == (Power.OFF, False, False)
        prefix = naming.volume_prefix(INSTANCE, stamp.incarnation)
        overlay = next(name for name in facts.volume_names() if name.startswith(prefix) and name.endswith(".qcow2"))
        assert facts.first_sector(overlay) == MARKER
        xml = facts.connection.lookupByUUIDString(intent.uuid).XMLDesc()
        assert naming.mac_address(stamp.incarnation, 0) in xml

    play(scenario)


def test_starting_twice_makes_one_clone_also_with_another_token() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        stamp = stamp_of(str(uuid.uuid4()))
        intent = clone_intent(facts, stamp, await frozen_point(session, facts, stamp.vmclone_uid))
        first = await session.start_clone(intent)
        volumes = facts.volume_names()
        assert await session.start_clone(intent) == first
        assert (await session.start_clone(replace(intent, token="c2"))).done
        assert facts.volume_names() == volumes
        assert len(await session.find_clones(Owner(instance=INSTANCE, vmclone_uid=stamp.vmclone_uid))) == 1

    play(scenario)


def test_leftovers_of_a_lost_attempt_go_before_the_new_one_starts() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        stamp = stamp_of(str(uuid.uuid4()))
        intent = clone_intent(facts, stamp, await frozen_point(session, facts, stamp.vmclone_uid))
        lost = f"{naming.volume_prefix(INSTANCE, stamp.incarnation)}c0-vda.qcow2"
        other = f"{naming.volume_prefix(INSTANCE, str(uuid.uuid4()))}c0-vda.qcow2"
        for name in (lost, other):
            facts.make_volume(name)
        await session.start_clone(intent)
        names = facts.volume_names()
        assert lost not in names
        assert other in names

    play(scenario)


def test_a_clone_without_its_frozen_point_is_not_begun() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        with pytest.raises(CloneFailed, match="f9"):
            await session.start_clone(clone_intent(facts, stamp_of(str(uuid.uuid4())), "f9"))
        assert facts.volume_names() == []

    play(scenario)


def test_power_and_network_are_switched_and_switching_twice_is_harmless() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        stamp = stamp_of(str(uuid.uuid4()))
        owner = Owner(instance=INSTANCE, incarnation=stamp.incarnation)
        await session.start_clone(clone_intent(facts, stamp, await frozen_point(session, facts, stamp.vmclone_uid)))
        for power in (Power.ON, Power.ON, Power.OFF, Power.OFF, Power.ON):
            await session.set_power(ref_to(stamp), power)
            (clone,) = await session.find_clones(owner)
            assert (clone.power, clone.connected) == (power, False)
        for _ in range(2):
            await session.connect_network(ref_to(stamp))
            (clone,) = await session.find_clones(owner)
            assert clone.connected
        await session.set_power(ref_to(stamp), Power.OFF)
        (clone,) = await session.find_clones(owner)
        assert (clone.power, clone.connected) == (Power.OFF, True)

    play(scenario)


def test_a_change_of_a_clone_wakes_its_incarnation() -> None:
    async def run() -> None:
        woken: list[str] = []
        async with open_libvirt(wake=woken.append) as (session, facts):
            stamp = stamp_of(str(uuid.uuid4()))
            await session.start_clone(clone_intent(facts, stamp, await frozen_point(session, facts, stamp.vmclone_uid)))
            woken.clear()
            await session.set_power(ref_to(stamp), Power.ON)
            deadline = time.monotonic() + 10
            while stamp.incarnation not in woken:
                assert time.monotonic() < deadline, "nobody was woken"
                await asyncio.sleep(0.05)

    asyncio.run(run())


def test_clones_made_at_the_same_time_all_get_whole_disks() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        first = stamp_of(str(uuid.uuid4()))
        stamps = [replace(first, ordinal=n, incarnation=str(uuid.uuid4())) for n in range(1, 7)]
        token = await frozen_point(session, facts, first.vmclone_uid)
        async with open_session(facts) as other:
            intents = [clone_intent(facts, stamp, token) for stamp in stamps]
            made = [(session, other)[n % 2].start_clone(intent) for n, intent in enumerate(intents)]
            await asyncio.gather(*made)
        for stamp in stamps:
            prefix = naming.volume_prefix(INSTANCE, stamp.incarnation)
            names = [name for name in facts.volume_names() if name.startswith(prefix)]
            assert len(names) == 2
            (overlay,) = (name for name in names if name.endswith(".qcow2"))
            assert facts.first_sector(overlay) == MARKER
        assert all(await asyncio.gather(*(is_gone(session.delete_clone(ref_to(stamp))) for stamp in stamps)))
        assert len(facts.volume_names()) == 1

    play(scenario)


def test_a_guest_that_is_off_or_has_no_agent_says_so() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        stamp = stamp_of(str(uuid.uuid4()))
        command = GuestCommand(name="hello", script="echo hello")
        with pytest.raises(RetryLater):
            await session.guest_exec(ref_to(stamp), command)
        await session.start_clone(clone_intent(facts, stamp, await frozen_point(session, facts, stamp.vmclone_uid)))
        with pytest.raises(AgentNotReady):
            await session.guest_exec(ref_to(stamp), command)
        assert list(await session.guest_addresses(ref_to(stamp))) == []
        await session.set_power(ref_to(stamp), Power.ON)
        with pytest.raises(GuestAgentMissing):
            await session.guest_exec(ref_to(stamp), command)

    play(scenario)
