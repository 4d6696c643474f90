"""Sources and frozen points on a real libvirtd, with VMs that have nothing to boot."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest
from tests.contract.libvirt_backend import (
    CAPACITY,
    MARKER,
    LibvirtFacts,
    open_session,
)
from tests.integration.libvirt.steps import (
    INSTANCE,
    clone_intent,
    ended,
    freeze_intent,
    frozen_point,
    gone,
    play,
    stamp_of,
)
from tests.support.refs import is_gone, ref_to

from vmclone_operator.domain import naming
from vmclone_operator.domain.backend import (
    BackendSession,
    Consistency,
    OperationState,
    Owner,
    PlanWish,
    Power,
)
from vmclone_operator.domain.errors import (
    QuiesceFailed,
    RetryLater,
    SourceNotFound,
)

pytestmark = pytest.mark.libvirt


def test_a_source_that_is_off_is_frozen_completely() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        source = await session.describe_source(facts.source_name)
        uid = str(uuid.uuid4())
        intent = freeze_intent(facts, uid, "f1")
        begun = (await session.freeze(intent)).frozen
        assert begun is not None
        assert (begun.consistency, begun.fingerprint) == (Consistency.POWERED_OFF, source.fingerprint)
        done = await ended(session, intent)
        assert done.state is OperationState.DONE
        assert done.frozen is not None
        assert (done.frozen.token, done.frozen.vmclone_uid) == ("f1", uid)
        assert (done.frozen.source_id, done.frozen.fingerprint) == (source.source_id, source.fingerprint)
        assert 0 < done.frozen.allocated_bytes < CAPACITY
        (name,) = facts.volume_names()
        assert name.startswith(naming.frozen_prefix(INSTANCE, uid))
        assert facts.first_sector(name) == MARKER
        assert await session.find_frozen(Owner(instance=INSTANCE, vmclone_uid=uid)) == ["f1"]

    play(scenario)


def test_a_frozen_point_is_kept_while_a_clone_stands_on_it() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        stamp = stamp_of(str(uuid.uuid4()))
        owner = Owner(instance=INSTANCE, vmclone_uid=stamp.vmclone_uid)
        token = await frozen_point(session, facts, stamp.vmclone_uid)
        await session.start_clone(clone_intent(facts, stamp, token))
        with pytest.raises(RetryLater):
            await session.release_frozen(owner, token)
        assert await session.find_frozen(owner) == [token]
        assert (await session.delete_clone(ref_to(stamp))).done
        await gone(lambda: is_gone(session.release_frozen(owner, token)))
        assert (await session.release_frozen(owner, token)).done
        assert facts.volume_names() == []

    play(scenario)


def test_releasing_one_frozen_point_leaves_all_others() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        mine, other = str(uuid.uuid4()), str(uuid.uuid4())
        for uid, token in ((mine, "f1"), (mine, "f1-2"), (other, "f1")):
            facts.make_volume(f"{naming.frozen_prefix(INSTANCE, uid)}{token}-vda.qcow2")
            await frozen_point(session, facts, uid, f"{token}x")
        before = facts.volume_names()
        await gone(lambda: is_gone(session.release_frozen(Owner(instance=INSTANCE, vmclone_uid=mine), "f1x")))
        removed = set(before) - set(facts.volume_names())
        assert len(removed) == 1
        assert removed.pop().startswith(f"{naming.frozen_prefix(INSTANCE, mine)}f1x-")

    play(scenario)


def test_an_attempt_nobody_remembers_is_lost_and_its_token_is_used_up() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        uid = str(uuid.uuid4())
        await frozen_point(session, facts, uid)
        async with open_session(facts) as restarted:
            assert (await restarted.freeze(freeze_intent(facts, uid, "f1"))).state is OperationState.LOST
            await gone(lambda: is_gone(restarted.release_frozen(Owner(instance=INSTANCE, vmclone_uid=uid), "f1")))
            await frozen_point(restarted, facts, uid)

    play(scenario)


def test_a_freeze_is_not_begun_twice_for_one_token() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        uid = str(uuid.uuid4())
        intent = freeze_intent(facts, uid, "f1")
        first, second = (await session.freeze(intent)).frozen, (await session.freeze(intent)).frozen
        assert first is not None
        assert second is not None
        assert replace(first, allocated_bytes=0) == replace(second, allocated_bytes=0)
        assert (await ended(session, intent)).state is OperationState.DONE
        assert len(facts.volume_names()) == 1

    play(scenario)


def test_a_running_guest_without_an_agent_is_frozen_only_when_a_crash_is_acceptable() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        facts.connection.lookupByUUIDString(facts.source_id).create()
        uid = str(uuid.uuid4())
        for wanted in (Consistency.QUIESCED, Consistency.POWERED_OFF):
            with pytest.raises(QuiesceFailed):
                await session.freeze(freeze_intent(facts, uid, "f1", wanted))
        assert facts.volume_names() == []
        done = await ended(session, freeze_intent(facts, uid, "f2", Consistency.CRASH_CONSISTENT))
        assert done.state is OperationState.DONE
        assert done.frozen is not None
        assert done.frozen.consistency is Consistency.CRASH_CONSISTENT
        (name,) = facts.volume_names()
        assert facts.first_sector(name) == MARKER
        assert not await session.thaw(facts.source_id)

    play(scenario)


def test_a_source_is_found_by_name_and_by_id_and_may_be_cloned() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        named = await session.describe_source(facts.source_name)
        assert named == await session.describe_source(facts.source_id)
        assert (named.source_id, named.power, named.agent) == (facts.source_id, Power.OFF, False)
        (disk,) = named.disks
        assert (disk.target, disk.capacity_bytes, disk.shared) == ("vda", CAPACITY, False)
        assert list(await session.preflight(named, PlanWish(replicas=3))) == []
        (problem,) = await session.preflight(named, PlanWish(replicas=1 << 24))
        assert facts.pool_name in problem.message
        with pytest.raises(SourceNotFound):
            await session.describe_source(f"{facts.pool_name}-nobody")

    play(scenario)


def test_a_vm_whose_name_is_anothers_uuid_is_not_guessed_at() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts) -> None:
        confusing = facts.make_domain(facts.source_id)
        try:
            with pytest.raises(SourceNotFound):
                await session.describe_source(facts.source_id)
        finally:
            confusing.undefine()

    play(scenario)
