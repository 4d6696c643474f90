"""Two operators that both believe they lead, over a real libvirtd: one falls asleep in the middle of a verb.

It had asked its fence already, so when it wakes up, after the other has done everything, it still does that one
write with its old view of the world; then its fence tells it. That must cost nothing that anybody has.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace

import pytest
from tests.contract.libvirt_backend import MARKER, LibvirtFacts, open_session, scratch
from tests.integration.libvirt import shapes
from tests.integration.libvirt.steps import (
    FROZEN_TOKEN,
    INSTANCE,
    clone_intent,
    ended,
    freeze_intent,
    frozen_point,
    gone,
    stamp_of,
)
from tests.support.refs import is_gone, ref_to

from vmclone_operator.domain.backend import BackendSession, CloneIntent, Consistency, DiskCopy, OperationState, Owner
from vmclone_operator.domain.errors import CloneError, LeadershipLost

pytestmark = pytest.mark.libvirt
PATIENCE_SECONDS = 20.0


@dataclass
class Sleep:
    """A fence that lets writes through, sleeps behind one of them, and lets none through afterwards."""

    at: int
    """The how many-th write it sleeps before."""
    asleep: threading.Event = field(default_factory=threading.Event)
    woken: threading.Event = field(default_factory=threading.Event)
    _writes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def fence(self) -> None:
        with self._lock:
            self._writes += 1
            mine = self._writes
        if mine > self.at or self.woken.is_set():
            raise LeadershipLost("another operator leads")
        if mine == self.at:
            self.asleep.set()
            assert self.woken.wait(PATIENCE_SECONDS), "nobody woke it up"


@dataclass
class Pair:
    """The one that falls asleep, the other one, and what they work on."""

    sleeper: BackendSession
    other: BackendSession
    facts: LibvirtFacts
    sleep: Sleep

    async def while_it_sleeps(self, verb: Awaitable[object], act: Callable[[], Awaitable[object]]) -> None:
        """Let the sleeper fall asleep in a verb, do this meanwhile, and let it finish as it can."""
        task = asyncio.ensure_future(verb)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not self.sleep.asleep.is_set():  # noqa: ASYNC110 - a thread sets it
                await asyncio.sleep(0.01)
        await act()
        self.sleep.woken.set()
        await asyncio.gather(task, return_exceptions=True)


def play(at: int, scenario: Callable[[Pair], Awaitable[None]], *, running: bool = False) -> None:
    async def run() -> None:
        sleep = Sleep(at)
        with scratch() as facts:
            if running:
                facts.connection.lookupByUUIDString(facts.source_id).create()
            async with open_session(facts, fence=sleep.fence) as sleeper, open_session(facts) as other:
                await scenario(Pair(sleeper, other, facts, sleep))

    asyncio.run(run())


async def made(session: BackendSession, intent: CloneIntent, until: Callable[[], bool] = lambda: False) -> None:
    """Ask until the clone is there, as the engine does, and keep the ledger of finished disks."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not until():
            with contextlib.suppress(CloneError, LeadershipLost):
                progress = await session.start_clone(intent)
                if progress.state is OperationState.DONE:
                    return
                intent = replace(intent, finished=progress.finished)
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("at", [1, 2, 3, 4])
@pytest.mark.parametrize("copy", [DiskCopy.LINKED, DiskCopy.FULL])
def test_a_clone_that_two_operators_make_is_one_whole_clone(copy: DiskCopy, at: int) -> None:
    async def scenario(pair: Pair) -> None:
        stamp = stamp_of(str(uuid.uuid4()))
        token = await frozen_point(pair.other, pair.facts, stamp.vmclone_uid)
        intent = replace(clone_intent(pair.facts, stamp, token), copy=copy)

        asleep_in_it = made(pair.sleeper, intent, pair.sleep.woken.is_set)
        await pair.while_it_sleeps(asleep_in_it, lambda: made(pair.other, intent))
        await made(pair.other, intent)
        (clone,) = await pair.other.find_clones(Owner(instance=INSTANCE, vmclone_uid=stamp.vmclone_uid))
        assert clone.complete
        (path,) = shapes.clone_disks(pair.facts, stamp).values()
        assert shapes.content(pair.facts, path, 1) == MARKER
        assert len(pair.facts.volume_names()) == 3, "a frozen disk, the clone's disk and its seed"
        await shapes.removed(pair.other, stamp)
        assert pair.facts.volume_names() == []

    play(at, scenario)


@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_a_clone_that_two_operators_remove_is_gone_and_its_sibling_stays(at: int) -> None:
    async def scenario(pair: Pair) -> None:
        stamp = stamp_of(str(uuid.uuid4()))
        sibling = replace(stamp, ordinal=2, incarnation=str(uuid.uuid4()))
        token = await frozen_point(pair.other, pair.facts, stamp.vmclone_uid)
        for each in (stamp, sibling):
            await pair.other.start_clone(clone_intent(pair.facts, each, token))

        async def removed() -> None:
            await gone(lambda: is_gone(pair.other.delete_clone(ref_to(stamp))))

        await pair.while_it_sleeps(pair.sleeper.delete_clone(ref_to(stamp)), removed)
        (left,) = await pair.other.find_clones(Owner(instance=INSTANCE, vmclone_uid=stamp.vmclone_uid))
        assert left.stamp == sibling
        assert len(pair.facts.volume_names()) == 3

    play(at, scenario)


@pytest.mark.parametrize(("running", "at"), [(False, 1), (True, 1), (True, 2)])
def test_a_source_that_two_operators_freeze_has_whole_frozen_points_only(running: bool, at: int) -> None:
    """Found in the other's half-made state an attempt is given up, and a new one has a new name."""

    async def scenario(pair: Pair) -> None:
        uid = str(uuid.uuid4())
        owner = Owner(instance=INSTANCE, vmclone_uid=uid)
        first = freeze_intent(pair.facts, uid, FROZEN_TOKEN, Consistency.CRASH_CONSISTENT)

        async def asleep_in_it() -> None:
            await ended(pair.sleeper, first)

        async def taken() -> None:
            with suppress(CloneError):
                if (await ended(pair.other, first)).done:
                    return
            await gone(lambda: is_gone(pair.other.release_frozen(owner, first.token)))
            assert (await ended(pair.other, replace(first, token="f2"))).done

        await pair.while_it_sleeps(asleep_in_it(), taken)
        (name,) = pair.facts.volume_names()
        assert pair.facts.first_sector(name) == MARKER

    play(at, scenario, running=running)
