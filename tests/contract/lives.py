"""One life of a clone by a patient caller, for the fault tests: it repeats what failed and restarts when killed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from tests.contract.backends import Operator
from tests.contract.steps import Wish
from tests.support.refs import is_gone, ref_to

from vmclone_operator.domain import guest
from vmclone_operator.domain.backend import (
    BackendConfig,
    BackendSession,
    CloneIntent,
    DiskCopy,
    FreezeIntent,
    FrozenPoint,
    Mode,
    OperationState,
    Power,
    Progress,
)
from vmclone_operator.domain.errors import CloneError
from vmclone_operator.providers.fake import FakeBackend, FaultSchedule, Inventory, Killed, World

Answer = TypeVar("Answer")
TRIES = 30
FULL_SECONDS = 60.0
"""How long the disks of a full clone take, so that they end in different passes."""


@dataclass
class Clock:
    """A clock that moves only when told to."""

    seconds: float = 0.0

    def __call__(self) -> float:
        return self.seconds


@dataclass(frozen=True)
class Outcome:
    """What a life left behind."""

    made: Inventory
    end: Inventory
    creates: int
    boots: int
    deletes: int
    longest_freeze_seconds: float
    foreign_touched: tuple[str, ...]
    finished_copied_again: tuple[str, ...]
    most_copies_of_a_disk: int


class Life:
    """A caller that records its intents before it acts, and otherwise remembers nothing."""

    def __init__(
        self,
        schedule: FaultSchedule,
        *,
        power: Power = Power.ON,
        mode: Mode = Mode.DISK,
        copy: DiskCopy = DiskCopy.LINKED,
    ) -> None:
        self.world = World(clock=Clock(), faults=schedule)
        self._image = self.world.add_image("golden-image").name if mode is Mode.CLEAN else ""
        self.world.clone_seconds = FULL_SECONDS if copy is DiskCopy.FULL else 0
        self._mode, self._copy = mode, copy
        self.world.add_source("golden-dev", disks=("vda", "vdb"), power=power)
        self.wish = Wish(uid="8f14e45f-ceea-467f-a9d4-7c7e6b3d0001")
        self._session: BackendSession | None = None

    async def insist(self, verb: Callable[[BackendSession], Awaitable[Answer]]) -> Answer:
        """Repeat a verb until it works; a kill costs the session."""
        for _ in range(TRIES):
            try:
                return await verb(await self._connected())
            except CloneError:
                self.world.advance(60)
            except Killed:
                self.world.restart_operator()
                self._session = None
                self.world.advance(60)
        raise AssertionError("it never worked")

    async def _connected(self) -> BackendSession:
        if self._session is None:
            operator = Operator()
            config = BackendConfig(name="fake", settings={})
            self._session = await FakeBackend(self.world).open(config, wake=operator.wake, fence=operator.fence)
        return self._session

    async def run(self) -> Outcome:
        """Freeze, clone, boot, identify, connect; then remove everything."""
        point = await self.frozen()
        intent = self.wish.clone_intent(point, incarnation="8f14e45f-ceea-467f-a9d4-7c7e6b3d0002")
        await self.clone(replace(intent, mode=self._mode, copy=self._copy))
        made = self.world.inventory()
        await self._until(lambda session: is_gone(session.delete_clone(ref_to(intent.stamp))))
        for token in await self.insist(lambda session: session.find_frozen(self.wish.owner)):
            await self._release(token)
        effects = self.world.effects
        return Outcome(
            made=made,
            end=self.world.inventory(),
            creates=sum(effects.creates.values()),
            boots=sum(effects.boots.values()),
            deletes=sum(effects.deletes.values()),
            longest_freeze_seconds=self.world.longest_freeze_seconds,
            foreign_touched=tuple(effects.foreign_touched),
            finished_copied_again=tuple(effects.finished_copied_again),
            most_copies_of_a_disk=max(effects.disk_copies.values(), default=0),
        )

    async def frozen(self) -> FrozenPoint:
        """Return a complete frozen point; what a lost attempt left is released first."""
        source = await self.insist(lambda session: session.describe_source("golden-dev"))
        for _ in range(TRIES):
            intent = self.wish.freeze_intent(source.source_id, image=self._image)
            progress = await self.insist(partial(_freeze, intent=intent))
            if progress.frozen is not None and progress.done:
                return progress.frozen
            assert progress.state is OperationState.LOST
            await self._release(intent.token)
        raise AssertionError("no frozen point")

    async def _release(self, token: str) -> None:
        await self._until(lambda session: is_gone(session.release_frozen(self.wish.owner, token)))

    async def clone(self, intent: CloneIntent) -> None:
        """Bring the clone to the point where people can use it."""
        stamp = intent.stamp
        await self._made(intent)
        await self.insist(lambda session: session.set_power(ref_to(stamp), Power.ON))
        if self._mode is Mode.DISK:
            command = guest.identity_command(token="t1", hostname=intent.vm_name, user="dev", authorized_keys=())
            await self.insist(lambda session: session.guest_exec(ref_to(stamp), command))
        await self.insist(lambda session: session.guest_exec(ref_to(stamp), guest.PROBE))
        await self.insist(lambda session: session.connect_network(ref_to(stamp)))
        await self.insist(lambda session: session.guest_addresses(ref_to(stamp)))

    async def _made(self, intent: CloneIntent) -> None:
        """Start, ask, record what is finished, start again; another process's copies are nobody's by now."""
        for _ in range(TRIES):
            progress = await self.insist(partial(_start, intent=intent))
            if progress.done:
                return
            intent = replace(intent, finished=tuple(dict.fromkeys((*intent.finished, *progress.finished))))
            self.world.advance(20)
        raise AssertionError("no clone")

    async def _until(self, verb: Callable[[BackendSession], Awaitable[bool]]) -> None:
        for _ in range(TRIES):
            if await self.insist(verb):
                return
        raise AssertionError("it never was done")


async def _freeze(session: BackendSession, intent: FreezeIntent) -> Progress:
    return await session.freeze(intent)


async def _start(session: BackendSession, intent: CloneIntent) -> Progress:
    return await session.start_clone(intent)
