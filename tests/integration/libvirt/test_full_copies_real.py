"""Full copies on a real libvirtd: whole, independent, never made twice, never more than libvirtd can bear."""

from __future__ import annotations

import asyncio
import threading
import uuid
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial

import libvirt
import pytest
from tests.contract.libvirt_backend import CAPACITY, MARKER, LibvirtFacts, open_session, scratch
from tests.integration.libvirt.steps import INSTANCE, clone_intent, frozen_point, gone, stamp_of
from tests.support.refs import is_gone, ref_to

from vmclone_operator.domain import naming
from vmclone_operator.domain.backend import (
    BackendSession,
    CloneIntent,
    DiskCopy,
    OperationState,
    Owner,
    Progress,
)
from vmclone_operator.domain.errors import InsufficientSpace, RetryLater
from vmclone_operator.providers.libvirt.session import BULK_WORKERS

pytestmark = pytest.mark.libvirt
QUICK_SECONDS = 2.0
"""How long a call that copies nothing may take while others copy."""


@dataclass
class Gate:
    """A fence that a test can hold shut, and that counts who stands before it."""

    opened: threading.Event = field(default_factory=threading.Event)
    waiting: int = 0
    refusals: list[Exception] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def fence(self) -> None:
        with self._lock:
            self.waiting += 1
            refusal = self.refusals.pop() if self.refusals else None
        if refusal is not None:
            raise refusal
        assert self.opened.wait(20), "the test forgot to open the gate"


Scenario = Callable[[BackendSession, LibvirtFacts, Gate], Awaitable[None]]


def play(scenario: Scenario, *, second_disk: bool = False) -> None:
    """Run a scenario on a session whose gate is open, until the scenario shuts it."""

    async def run() -> None:
        gate = Gate()
        gate.opened.set()
        with scratch() as facts:
            if second_disk:
                _attach(facts, facts.make_volume("second.qcow2"))
            async with open_session(facts, fence=gate.fence) as session:
                await scenario(session, facts, gate)

    asyncio.run(run())


def _attach(facts: LibvirtFacts, path: str) -> None:
    disk = ET.Element("disk", type="file", device="disk")
    ET.SubElement(disk, "driver", name="qemu", type="qcow2")
    ET.SubElement(disk, "source", file=path)
    ET.SubElement(disk, "target", dev="vdb", bus="virtio")
    source = facts.connection.lookupByUUIDString(facts.source_id)
    source.attachDeviceFlags(ET.tostring(disk, encoding="unicode"), libvirt.VIR_DOMAIN_AFFECT_CONFIG)


async def full_intent(session: BackendSession, facts: LibvirtFacts, **change: str) -> CloneIntent:
    stamp = stamp_of(str(uuid.uuid4()))
    intent = clone_intent(facts, stamp, await frozen_point(session, facts, stamp.vmclone_uid))
    return replace(intent, copy=DiskCopy.FULL, pool=change.get("pool", ""))


async def asked(session: BackendSession, intent: CloneIntent) -> Progress:
    return await session.start_clone(intent)


async def copied(session: BackendSession, intent: CloneIntent, disks: int = 1) -> CloneIntent:
    """Copy until that many disks are known to be finished, and put them into the ledger."""
    for _ in range(1000):
        progress = await asked(session, intent)
        assert progress.state is OperationState.RUNNING
        if len(progress.finished) == disks:
            return replace(intent, finished=progress.finished)
        await asyncio.sleep(0.02)
    raise AssertionError("the copies did not end")


def marks(facts: LibvirtFacts, intent: CloneIntent) -> dict[str, int]:
    """Return when each disk of this attempt was last written."""
    return {
        path.name: path.stat().st_mtime_ns
        for folder in (facts.pool_path, facts.spare_path)
        for path in folder.glob(
            f"{naming.volume_prefix(intent.stamp.instance, intent.stamp.incarnation)}{intent.token}-vd*"
        )
    }


def test_a_full_copy_reads_the_sources_bytes_and_stands_alone() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts, _: Gate) -> None:
        intent = await full_intent(session, facts, pool=facts.spare_name)
        recorded = await copied(session, intent)
        assert (await asked(session, recorded)).state is OperationState.DONE
        (disk,) = (name for name in facts.spare_names() if name.endswith("-vda.qcow2"))
        described = facts.spare.storageVolLookupByName(disk).XMLDesc()
        assert "backingStore" not in described
        assert facts.first_sector(disk, facts.spare_name) == MARKER
        assert (facts.spare_path / disk).stat().st_size < CAPACITY

    play(scenario)


def test_the_answer_comes_before_the_copy_and_its_progress_can_be_seen() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts, gate: Gate) -> None:
        intent = await full_intent(session, facts)
        gate.opened.clear()
        progress = await asked(session, intent)
        assert (progress.state, progress.finished) == (OperationState.RUNNING, ())
        gate.opened.set()
        recorded = await copied(session, intent)
        progress = await asked(session, intent)
        assert (progress.state, progress.percent, progress.finished) == (OperationState.RUNNING, 99, recorded.finished)

    play(scenario)


async def crowded(session: BackendSession, facts: LibvirtFacts, gate: Gate) -> list[CloneIntent]:
    """Ask for more copies at a time than may be made, and hold the gate shut before them."""
    first = await full_intent(session, facts)
    gate.opened.clear()
    gate.waiting = 0
    intents = [first]
    for ordinal in range(2, 7):
        stamp = replace(stamp_of(first.stamp.vmclone_uid, ordinal))
        intents.append(replace(clone_intent(facts, stamp, first.frozen_token), copy=DiskCopy.FULL))
    await asyncio.gather(*(session.start_clone(intent) for intent in intents))
    await asyncio.sleep(0.3)
    assert gate.waiting == BULK_WORKERS
    return intents


async def all_copied(session: BackendSession, intents: list[CloneIntent], gate: Gate) -> None:
    gate.opened.set()
    for intent in intents:
        assert (await asked(session, await copied(session, intent))).state is OperationState.DONE


def test_no_more_disks_are_copied_at_a_time_than_libvirtd_can_bear() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts, gate: Gate) -> None:
        await all_copied(session, await crowded(session, facts, gate), gate)

    play(scenario)


def test_quick_calls_are_answered_while_all_copies_that_may_run_take_their_time() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts, gate: Gate) -> None:
        intents = await crowded(session, facts, gate)
        owner = Owner(instance=INSTANCE, vmclone_uid=intents[0].stamp.vmclone_uid)
        quick: list[Callable[[], Awaitable[object]]] = [
            session.check,
            lambda: session.describe_source(facts.source_name),
            lambda: session.find_frozen(owner),
            lambda: session.find_clones(owner),
            *(partial(asked, session, intent) for intent in intents),
        ]
        for call in quick:
            await asyncio.wait_for(call(), QUICK_SECONDS)
        assert gate.waiting == BULK_WORKERS
        await all_copied(session, intents, gate)

    play(scenario)


def test_a_copy_that_fails_is_told_once_and_leaves_the_finished_ones_alone() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts, gate: Gate) -> None:
        intent = await full_intent(session, facts)
        gate.refusals.append(InsufficientSpace("the pool is full"))
        with pytest.raises(InsufficientSpace, match="the pool is full"):
            await copied(session, intent, disks=2)
        (whole,) = marks(facts, intent).items()
        recorded = await copied(session, intent, disks=2)
        assert whole in marks(facts, intent).items()
        assert (await asked(session, recorded)).state is OperationState.DONE

    play(scenario, second_disk=True)


def test_a_restarted_operator_waits_for_a_copy_that_libvirtd_still_makes_and_then_makes_its_own() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts, _: Gate) -> None:
        intent = await full_intent(session, facts)
        await session.start_clone(intent)
        async with open_session(facts) as restarted:

            async def done() -> bool:
                nonlocal intent
                try:
                    progress = await asked(restarted, intent)
                except RetryLater:
                    return False
                intent = replace(intent, finished=progress.finished or intent.finished)
                return progress.state is OperationState.DONE

            await gone(done)
        counted = Counter(name.rpartition("-")[2] for name in marks(facts, intent))
        assert counted == {"vda.qcow2": 1}

    play(scenario)


def test_a_volume_that_a_killed_process_made_at_the_last_moment_is_made_again() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts, gate: Gate) -> None:
        intent = await full_intent(session, facts)
        gate.opened.clear()
        await session.start_clone(intent)
        late = f"{naming.volume_prefix(intent.stamp.instance, intent.stamp.incarnation)}{intent.token}-vda.qcow2"
        facts.make_volume(late)
        gate.opened.set()
        with pytest.raises(RetryLater, match="another process"):
            await copied(session, intent)
        assert (await asked(session, await copied(session, intent))).state is OperationState.DONE
        assert facts.first_sector(late) == MARKER

    play(scenario)


def test_a_clone_that_is_deleted_while_its_disks_are_copied_leaves_nothing() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts, gate: Gate) -> None:
        intent = await full_intent(session, facts, pool=facts.spare_name)
        gate.opened.clear()
        await session.start_clone(intent)
        assert not (await session.delete_clone(ref_to(intent.stamp))).done
        gate.opened.set()
        await gone(lambda: is_gone(session.delete_clone(ref_to(intent.stamp))))
        assert (facts.spare_names(), await _tokens(session, intent)) == ([], [intent.frozen_token])
        assert (await session.start_clone(intent)).state is OperationState.RUNNING
        await gone(lambda: is_gone(session.delete_clone(ref_to(intent.stamp))))

    play(scenario)


async def _tokens(session: BackendSession, intent: CloneIntent) -> list[str]:
    owner = Owner(instance=intent.stamp.instance, vmclone_uid=intent.stamp.vmclone_uid)
    return list(await session.find_frozen(owner))


def test_a_frozen_point_outlives_the_overlays_on_it_in_another_pool() -> None:
    async def scenario(session: BackendSession, facts: LibvirtFacts, _: Gate) -> None:
        intent = replace(await full_intent(session, facts, pool=facts.spare_name), copy=DiskCopy.LINKED)
        owner = Owner(instance=intent.stamp.instance, vmclone_uid=intent.stamp.vmclone_uid)
        await session.start_clone(intent)
        assert len(facts.spare_names()) == 2
        facts.connection.lookupByUUIDString(intent.uuid).undefine()
        with pytest.raises(RetryLater, match="still the base of"):
            await session.release_frozen(owner, intent.frozen_token)
        await gone(lambda: is_gone(session.delete_clone(ref_to(intent.stamp))))
        await gone(lambda: is_gone(session.release_frozen(owner, intent.frozen_token)))
        assert facts.spare_names() == facts.volume_names() == []

    play(scenario)
