"""A caller of the adapter's verbs as the engine is one: it keeps handles, calls again, can be restarted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from tests.doubles.pve.access import Token
from tests.doubles.pve.world import Pool
from tests.unit.doubles.pve.clients import Client as World
from tests.unit.doubles.pve.clients import cluster, run
from tests.unit.providers.proxmox.servers import connected, served

from vmclone_operator.domain import naming
from vmclone_operator.domain.backend import (
    CloneIntent,
    CloneRef,
    Consistency,
    FreezeIntent,
    FrozenPoint,
    Mode,
    OperationState,
    Owner,
    Power,
    Progress,
    Seed,
    Stamp,
)
from vmclone_operator.domain.errors import RetryLater
from vmclone_operator.providers.fake.faults import FaultSchedule
from vmclone_operator.providers.proxmox.rights import OWN
from vmclone_operator.providers.proxmox.session import ProxmoxSession
from vmclone_operator.providers.proxmox.site import Place

INSTANCE = "6d1f4a2e-0000-4000-8000-000000000001"
VMCLONE = "6d1f4a2e-0000-4000-8000-000000000002"
INCARNATION = "6d1f4a2e-0000-4000-8000-000000000003"
OWNER = Owner(instance=INSTANCE, vmclone_uid=VMCLONE)
STAMP = Stamp(
    instance=INSTANCE, namespace="team-a", vmclone="dev", vmclone_uid=VMCLONE, ordinal=1, incarnation=INCARNATION
)
SEED = Seed(instance_id="i-1", hostname="dev-6d1f4a")
NAME = naming.vm_name("dev", INCARNATION)
PLACE = Place(first_vmid=9100, last_vmid=9109)
FREEZE = FreezeIntent(
    token="t1", instance=INSTANCE, vmclone_uid=VMCLONE, source_id="100", consistency=Consistency.CRASH_CONSISTENT
)
CLONE = CloneIntent(
    stamp=STAMP,
    token="c1",
    vm_name=NAME,
    uuid=naming.clone_uuid(INCARNATION),
    source_id="100",
    frozen_token="t1",
    seed=SEED,
    made_from="golden",
)


def tiny_seed(seed: Seed, mode: Mode) -> bytes:
    """Return an image that is told apart by whose it is; making a real one costs more than the rest of a story."""
    return f"{mode} {seed.hostname} {seed.instance_id}".encode().ljust(512, b"\0")


@dataclass(slots=True)
class Ledger:
    """What outlives the operator process."""

    frozen: str = ""
    clone: str = ""
    point: FrozenPoint | None = None


@dataclass(slots=True)
class Life:
    """One operator process after the other, with one ledger."""

    world: World
    open: Callable[[], Awaitable[ProxmoxSession]]
    session: ProxmoxSession
    ledger: Ledger = field(default_factory=Ledger)
    restart_after_errors: bool = False

    @property
    def ref(self) -> CloneRef:
        return CloneRef(stamp=STAMP, vm_name=NAME, handle=self.ledger.clone)

    async def again(self, step: Callable[[], Awaitable[bool]], *, limit: int = 60) -> None:
        """Call until a step says that it is over; what may be tried later is."""
        for _ in range(limit):
            try:
                if await step():
                    return
                wait = 2.0
            except RetryLater as error:
                wait = error.retry_after.total_seconds()
                if self.restart_after_errors:
                    await self.restart()
            self.world.pass_time(wait)
        raise AssertionError("it never came to its end")

    async def restart(self) -> None:
        await self.session.close()
        self.session = await self.open()

    async def freeze(self, intent: FreezeIntent = FREEZE) -> FrozenPoint:
        async def step() -> bool:
            progress = await self.session.freeze(replace(intent, handle=self.ledger.frozen))
            self.ledger.frozen = progress.handle or self.ledger.frozen
            self.ledger.point = progress.frozen or self.ledger.point
            return progress.state is OperationState.DONE

        await self.again(step)
        assert self.ledger.point is not None
        return self.ledger.point

    async def clone(self, intent: CloneIntent = CLONE) -> Progress:
        last: list[Progress] = []

        async def step() -> bool:
            asked = replace(intent, handle=self.ledger.clone, frozen_handle=self.ledger.frozen)
            last.append(await self.session.start_clone(asked))
            self.ledger.clone = last[-1].handle or self.ledger.clone
            return last[-1].state is OperationState.DONE

        await self.again(step)
        return last[-1]

    async def power(self, power: Power) -> None:
        async def step() -> bool:
            await self.session.set_power(self.ref, power)
            seen = await self.session.find_clone(self.ref)
            return seen is not None and seen.power is power

        await self.again(step)

    async def connect(self) -> None:
        async def step() -> bool:
            await self.session.connect_network(self.ref)
            seen = await self.session.find_clone(self.ref)
            return seen is not None and seen.connected

        await self.again(step)

    async def delete(self) -> None:
        async def step() -> bool:
            return (await self.session.delete_clone(self.ref)).state is OperationState.DONE

        await self.again(step)
        await self.again(step)

    async def release(self) -> None:
        async def step() -> bool:
            told = await self.session.release_frozen(OWNER, "t1", self.ledger.frozen)
            return told.state is OperationState.DONE

        await self.again(step)

    async def whole(self) -> None:
        """Live from nothing to a running clone, and back to nothing."""
        await self.freeze()
        await self.clone()
        await self.power(Power.ON)
        await self.connect()
        await self.power(Power.OFF)
        await self.delete()
        await self.release()


@asynccontextmanager
async def lived(world: World, schedule: FaultSchedule | None = None, **how: Any) -> AsyncIterator[Life]:
    """Serve a double and begin a life over it."""
    place = how.pop("place", PLACE)
    async with served(world, schedule) as server:
        opened: list[Any] = []

        async def sleep(seconds: float) -> None:
            world.pass_time(seconds)

        async def start() -> ProxmoxSession:
            context = connected(world, server, **how)
            opened.append(context)
            client = await context.__aenter__()
            return ProxmoxSession(client, place, make_seed=tiny_seed, now=world.clock, sleep=sleep)

        life = Life(world=world, open=start, session=await start())
        try:
            yield life
        finally:
            for context in opened:
                await context.__aexit__(None, None, None)


def story(
    tell: Callable[[Life], Awaitable[Any]],
    world: World | None = None,
    schedule: FaultSchedule | None = None,
    **how: Any,
) -> Any:
    """Run a story over a cluster with a stopped source."""

    async def told() -> Any:
        async with lived(world or cluster(), schedule, **how) as life:
            return await tell(life)

    return asyncio.run(told())


def with_running_source() -> World:
    """Return a cluster whose source runs, its agent up."""
    world = cluster()
    run(world)
    world.pass_time(20)
    return world


def with_rights(*left_out: str, pooled: bool = True) -> World:
    """Return a cluster whose token has what the how-to says, but these rights."""
    world = cluster()
    world.world.pools["clones"] = Pool("clones")
    access = world.world.access
    access.users["vmclone@pve"] = "secret"
    access.tokens["vmclone@pve!op"] = Token(secret="secret", separated=False)
    places = {
        "/pool/clones" if pooled else "/vms": (*OWN, "VM.GuestAgent.Unrestricted"),
        "/vms/100": ("VM.Audit", "VM.Clone", "VM.GuestAgent.Audit"),
        "/storage/local": [f"Datastore.{name}" for name in ("Allocate", "AllocateSpace", "AllocateTemplate", "Audit")],
        "/sdn/zones/localnetwork/vmbr0": ("SDN.Use",),
        "/": ("Sys.Audit",),
    }
    for path, privileges in places.items():
        kept = [name for name in privileges if f"{name}@{path}" not in left_out]
        access.grant("vmclone@pve", path, *kept, propagate=path != "/")
    return world
