"""A session on real libvirt whose clones are never booted: their storage and definitions are real, their guests not.

Guests and power are simulated, because a crash matrix needs hundreds of lives and a boot takes half a minute.
Where faults strike is said in `unbooted_host`.
"""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from typing import TypeVar

from tests.support.unbooted_host import Host

from vmclone_operator.domain.backend import (
    BackendConfig,
    BackendInfo,
    BackendSession,
    CloneIntent,
    CloneRef,
    ExecOnly,
    Fence,
    Finding,
    FreezeIntent,
    GuestCommand,
    GuestResult,
    ImageInfo,
    Leftover,
    Mode,
    ObservedClone,
    OperationState,
    Owner,
    PlanWish,
    Power,
    Progress,
    SourceInfo,
    Stamp,
    Unbilled,
    Wake,
)
from vmclone_operator.domain.errors import RetryLater
from vmclone_operator.providers.fake.guest import Guest
from vmclone_operator.providers.libvirt import LibvirtBackend
from vmclone_operator.providers.libvirt.full_copies import volume_name
from vmclone_operator.providers.libvirt.session import LibvirtSession

Answer = TypeVar("Answer")
_PAUSE_SECONDS = 0.01


class UnbootedBackend:
    """Opens sessions on real libvirt with simulated guests; the operator's own fence and wake-ups are left out."""

    def __init__(self, host: Host) -> None:
        self._host = host

    async def open(self, config: BackendConfig, *, wake: Wake, fence: Fence) -> BackendSession:  # noqa: ARG002
        """Open a session; the connections of operators that were killed end here, as a dead process's do."""
        await self.close()
        host, process = self._host, self._host.schedule.process
        backend = LibvirtBackend(clock=host.clock)
        real = await backend.open(config, wake=lambda _: None, fence=lambda: host.fence(process))
        host.sessions.append(real)
        return UnbootedSession(real, host, process)

    async def close(self) -> None:
        """End every connection."""
        while self._host.sessions:
            await self._host.sessions.pop().close()


class UnbootedSession(ExecOnly, Unbilled):
    """The verbs: storage and definitions by libvirt, power and guests from memory."""

    def __init__(self, real: LibvirtSession, host: Host, process: int) -> None:
        self._real, self._host, self._process = real, host, process

    async def _call(self, verb: str, answer: Callable[[], Awaitable[Answer]], incarnation: str = "") -> Answer:
        host = self._host
        host.schedule.check_alive(self._process)
        host.verb, host.incarnation = verb, incarnation
        try:
            result = await answer()
        finally:
            # Whatever the verb failed with, a process that was killed in it has not lived to see it.
            host.schedule.check_alive(self._process)
        host.settle()
        return result

    async def check(self, pool: str = "") -> BackendInfo:
        return await self._call("check", lambda: self._real.check(pool))

    async def describe_source(self, name: str) -> SourceInfo:
        return await self._call("describe_source", lambda: self._real.describe_source(name))

    async def describe_image(self, name: str) -> ImageInfo:
        return await self._call("describe_image", lambda: self._real.describe_image(name))

    async def preflight(self, source: SourceInfo, wish: PlanWish) -> Sequence[Finding]:
        asked = replace(wish, agent=wish.agent and self._host.asks_for_agent)
        return await self._call("preflight", lambda: self._real.preflight(source, asked))

    async def freeze(self, intent: FreezeIntent) -> Progress:
        return await self._call("freeze", lambda: self._freeze(intent))

    async def _freeze(self, intent: FreezeIntent) -> Progress:
        """Freeze, and wait until libvirt has copied: a request in flight is neither before nor after."""
        first = progress = await self._real.freeze(intent)
        owner = Owner(instance=intent.instance, vmclone_uid=intent.vmclone_uid)
        since = time.monotonic()
        while self._host.waits(since) and intent.token not in await self._real.find_frozen(owner):  # noqa: ASYNC110 - threads
            await asyncio.sleep(_PAUSE_SECONDS)
        while progress.state is OperationState.RUNNING and self._host.waits(since):
            await asyncio.sleep(_PAUSE_SECONDS)
            progress = await self._real.freeze(replace(intent, handle=progress.handle or intent.handle))
        return first if progress.state is OperationState.LOST else progress

    async def thaw(self, source_id: str) -> bool:
        return await self._call("thaw", lambda: self._real.thaw(source_id))

    async def release_frozen(self, owner: Owner, token: str, handle: str = "") -> Progress:
        progress = await self._call("release_frozen", lambda: self._real.release_frozen(owner, token, handle))
        if not progress.done:
            await asyncio.sleep(_PAUSE_SECONDS)
        return progress

    async def find_frozen(self, owner: Owner) -> Sequence[str]:
        return await self._call("find_frozen", lambda: self._real.find_frozen(owner))

    async def find_leftovers(self, instance: str, living: Collection[str]) -> Sequence[Leftover]:
        return await self._call("find_leftovers", lambda: self._real.find_leftovers(instance, living))

    async def find_clones(self, owner: Owner) -> Sequence[ObservedClone]:
        found = await self._call("find_clones", lambda: self._real.find_clones(owner))
        return [self._as_running(clone) for clone in found]

    async def find_clone(self, ref: CloneRef) -> ObservedClone | None:
        found = await self._call("find_clone", lambda: self._real.find_clone(ref))
        return None if found is None else self._as_running(found)

    async def unstamped(self, ref: CloneRef) -> str:
        return await self._call("unstamped", lambda: self._real.unstamped(ref))

    def _as_running(self, clone: ObservedClone) -> ObservedClone:
        if clone.stamp.incarnation not in self._host.guests:
            return clone
        return replace(clone, power=Power.ON, agent=True)

    async def start_clone(self, intent: CloneIntent) -> Progress:
        return await self._call("start_clone", lambda: self._start_clone(intent), intent.stamp.incarnation)

    async def _start_clone(self, intent: CloneIntent) -> Progress:
        """Ask for the clone, and wait for the copies that this began: in real time, as for a frozen point's."""
        self._host.ledger.update(volume_name(intent, target) for target in intent.finished)
        if intent.mode is Mode.CLEAN:
            self._host.seeds[intent.stamp.incarnation] = intent.seed
        progress = await self._real.start_clone(intent)
        attempt = self._real._clones._full._attempts.get(intent.uuid)
        since = time.monotonic()
        while attempt is not None and attempt.running and self._host.waits(since):  # noqa: ASYNC110 - threads
            await asyncio.sleep(_PAUSE_SECONDS)
        # A repeat tells what those copies finished, and makes the VM only of what the ledger has.
        return await self._real.start_clone(intent) if progress.state is OperationState.RUNNING else progress

    async def set_source_power(self, source_id: str, power: Power) -> bool:
        return await self._call("set_source_power", lambda: self._real.set_source_power(source_id, power))

    async def connect_network(self, ref: CloneRef) -> None:
        await self._call("connect_network", lambda: self._real.connect_network(ref))

    async def delete_clone(self, ref: CloneRef) -> Progress:
        return await self._call("delete_clone", lambda: self._real.delete_clone(ref))

    async def disown(self, ref: CloneRef) -> bool:
        return await self._call("disown", lambda: self._real.disown(ref))

    async def set_power(self, ref: CloneRef, power: Power) -> None:
        if self._host.switches_clones or not self._host.simulates_guests:
            await self._call("set_power", lambda: self._real.set_power(ref, power))
        if self._host.simulates_guests:
            await self._set_guest_power(ref.stamp, power)

    async def _set_guest_power(self, stamp: Stamp, power: Power) -> None:
        found = await self._only(stamp)
        if power is Power.OFF:
            self._host.guests.pop(stamp.incarnation, None)
        elif stamp.incarnation not in self._host.guests:
            self._host.guests[stamp.incarnation] = self._guest(stamp.incarnation, found)
            self._host.boots[stamp.incarnation] += 1

    def _guest(self, incarnation: str, clone: ObservedClone) -> Guest:
        """Return who boots: the source, or who the seed says."""
        seed = self._host.seeds.get(incarnation)
        if seed is None:
            return copy.deepcopy(self._host.source_guest)
        machine_id = clone.external_id.replace("-", "")
        return Guest(machine_id=machine_id, hostname=seed.hostname, host_key=seed.host_public_key)

    async def guest_exec(self, ref: CloneRef, command: GuestCommand) -> GuestResult:
        if not self._host.simulates_guests:
            return await self._call("guest_exec", lambda: self._real.guest_exec(ref, command))
        guest = self._host.guests[ref.stamp.incarnation]
        machine_id = (await self._only(ref.stamp)).external_id.replace("-", "")
        return guest.execute(command, now=self._host.clock(), machine_id=machine_id, connected=False, settled=True)

    async def console_tail(self, ref: CloneRef) -> str:
        if self._host.simulates_guests:
            return ""
        return await self._call("console_tail", lambda: self._real.console_tail(ref))

    async def guest_addresses(self, ref: CloneRef) -> Sequence[str]:
        if not self._host.simulates_guests:
            return await self._call("guest_addresses", lambda: self._real.guest_addresses(ref))
        if await self.find_clone(ref) is None:
            return await self._call("guest_addresses", lambda: self._real.guest_addresses(ref))  # says whose it is
        return (f"10.0.0.{ref.stamp.ordinal}",) if (await self._only(ref.stamp)).connected else ()

    async def _only(self, stamp: Stamp) -> ObservedClone:
        found = await self.find_clone(CloneRef(stamp=stamp))
        if found is None:
            raise RetryLater("the clone does not exist (any more)")
        return found

    async def close(self) -> None:
        await self._real.close()
