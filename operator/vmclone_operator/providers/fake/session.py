"""The verbs of the contract over a simulated hypervisor; the session itself remembers nothing.

A verb runs without pause once it has begun, like an adapter's call in its executor: a kill inside it is
the fault schedule's doing, never a cancelled task's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from vmclone_operator.domain.backend import (
    BackendInfo,
    CloneIntent,
    CloneRef,
    DiskCopy,
    DiskInfo,
    Finding,
    FreezeIntent,
    GuestChannel,
    GuestCommand,
    GuestResult,
    GuestRun,
    GuestTask,
    ImageInfo,
    ObservedClone,
    Owner,
    PlanWish,
    Power,
    Progress,
    SourceInfo,
    Unbilled,
)
from vmclone_operator.domain.errors import AgentNotReady, CapabilityMissing, RetryLater
from vmclone_operator.providers.fake import clones, freezing, leftovers, steps, wishes
from vmclone_operator.providers.fake.calls import Calls

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from vmclone_operator.domain.backend import Fence, Leftover, Wake
    from vmclone_operator.providers.fake.state import Machine
    from vmclone_operator.providers.fake.world import World


Pause = Callable[[], Awaitable[None]]
"""What a verb does before it begins, so that other tasks run."""


async def at_once() -> None:
    """Let other tasks run, and go on."""
    await asyncio.sleep(0)


class FakeSession(Unbilled):
    """One operator process's connection to a World."""

    def __init__(self, world: World, *, wake: Wake, fence: Fence, boot_seconds: float, pause: Pause = at_once) -> None:
        self._pause = pause
        self._world, self._wake, self._fence, self._boot_seconds = world, wake, fence, boot_seconds
        self._process = world.faults.process
        self._open = True
        self._frozen_points = freezing.FrozenPoints(world)
        self._clones = clones.Clones(world)
        world.listen(wake)

    async def check(self, pool: str = "") -> BackendInfo:  # noqa: ARG002 - all its pools are alike
        """Prove that the backend answers and accepts us."""
        calls = await self._begin("check")
        info = BackendInfo(version="fake 1", capabilities=self._world.capabilities)
        return calls.read("version", "", lambda: info)

    async def describe_source(self, name: str) -> SourceInfo:
        """Find a source by name or id; raises SourceNotFound, also when two match."""
        calls = await self._begin("describe_source")
        return calls.read("look up source", name, lambda: self._described(self._world.find(name)))

    async def describe_image(self, name: str) -> ImageInfo:
        """Find a golden image by name; raises ImageNotFound."""
        calls = await self._begin("describe_image")
        image = calls.read("look up image", name, lambda: self._world.find_image(name))
        return ImageInfo(
            name=image.name,
            fingerprint=image.fingerprint,
            capacity_bytes=image.capacity_bytes,
            allocated_bytes=image.allocated_bytes,
        )

    async def preflight(self, source: SourceInfo, wish: PlanWish) -> Sequence[Finding]:
        """Return every reason why this source cannot be cloned that often."""
        calls = await self._begin("preflight")
        return calls.read("look at source", source.name, lambda: wishes.blockers(self._world, source, wish))

    async def freeze(self, intent: FreezeIntent) -> Progress:
        """Take the point in time and start copying it; a repeat with the same token adopts the running copy."""
        calls = await self._begin("freeze", intent.source_id)
        return steps.freeze(self._world, intent, lambda: self._frozen_points.freeze(calls, intent))

    async def thaw(self, source_id: str) -> bool:
        """Thaw the guest's file systems if they are frozen; return whether they were."""
        return self._frozen_points.thaw(await self._begin("thaw"), source_id)

    async def release_frozen(self, owner: Owner, token: str, handle: str = "") -> Progress:  # noqa: ARG002 - needs none
        """Remove a frozen point or what a lost attempt left of it; DONE once nothing is left."""
        return self._frozen_points.release(await self._begin("release_frozen"), owner, token)

    async def find_frozen(self, owner: Owner) -> Sequence[str]:
        """List the tokens of the frozen points, complete or not, that this owner left."""
        return self._frozen_points.find(await self._begin("find_frozen"), owner)

    async def find_leftovers(self, instance: str, living: Collection[str]) -> Sequence[Leftover]:
        """List the files of an installation that nobody has or uses."""
        calls = await self._begin("find_leftovers")
        return calls.read("list files", "", lambda: leftovers.find(self._world, instance, living))

    async def find_clones(self, owner: Owner) -> Sequence[ObservedClone]:
        """List the VMs stamped for this owner."""
        return self._clones.find(await self._begin("find_clones"), owner)

    async def find_clone(self, ref: CloneRef) -> ObservedClone | None:
        """Return the VM of this incarnation."""
        return self._clones.find_one(await self._begin("find_clone", ref.stamp.incarnation), ref.stamp)

    async def unstamped(self, ref: CloneRef) -> str:
        """Return the VM that has the clone's UUID and not its stamp."""
        return self._clones.unstamped(await self._begin("unstamped", ref.stamp.incarnation), ref.stamp)

    async def start_clone(self, intent: CloneIntent) -> Progress:
        """Make the clone, powered off and (mode Disk) with its links down; a repeat adopts the clone it made."""
        calls = await self._begin("start_clone", intent.stamp.incarnation)
        progress = steps.start_clone(self._world, intent, lambda: self._clones.start(calls, intent))
        if intent.copy is DiskCopy.FULL and self._world.clone_seconds:
            self._wake_after(self._world.clone_seconds, intent.stamp.incarnation)
        return progress

    async def set_power(self, ref: CloneRef, power: Power) -> None:
        """Switch the clone on or off; no effect when it already is."""
        calls = await self._begin("set_power")
        machine = calls.read("look up VM", ref.stamp.incarnation, lambda: self._clones.stamped(ref.stamp))
        if machine.power is power:
            return
        if power is Power.OFF:
            calls.write("destroy", machine.name, lambda: self._world.set_power_by_hand(machine, Power.OFF))
            return
        if self._world.now() < machine.complete_at:
            raise RetryLater(f"{machine.name} is still being made")
        calls.write("create", machine.name, lambda: self._boot(machine, ref.stamp.incarnation))
        if self._boot_seconds:
            self._wake_after(self._boot_seconds, ref.stamp.incarnation)

    async def set_source_power(self, source_id: str, power: Power) -> bool:
        """Switch a source on, or shut it down; return whether this call changed anything."""
        calls = await self._begin("set_source_power")
        machine = calls.read("look up source", source_id, lambda: self._world.find(source_id))
        if machine.power is power:
            return False
        if power is Power.ON:
            calls.write("create", machine.name, lambda: self._world.set_power_by_hand(machine, power))
        else:
            calls.write("shutdown", machine.name, lambda: self._world.shut_down(machine))
        return True

    async def connect_network(self, ref: CloneRef) -> None:
        """Set the clone's links up, now and for every later boot."""
        calls = await self._begin("connect_network")
        machine = calls.read("look up VM", ref.stamp.incarnation, lambda: self._clones.stamped(ref.stamp))
        if not machine.connected:
            calls.write("link up", machine.name, lambda: self._connect(machine))
            self._world.changed(ref.stamp.incarnation)

    async def guest_exec(self, ref: CloneRef, command: GuestCommand) -> GuestResult:
        """Run a short command in the clone's guest; raises AgentNotReady until the agent answers."""
        calls = await self._begin("guest_exec")
        self._require(GuestChannel.EXEC, command.name)
        machine = calls.read("look up VM", ref.stamp.incarnation, lambda: self._clones.stamped(ref.stamp))
        if command.name == "probe":
            return calls.read("guest exec probe", machine.name, lambda: self._execute(machine, command))
        return calls.write(f"guest exec {command.name}", machine.name, lambda: self._execute(machine, command))

    async def guest_start(self, ref: CloneRef, task: GuestTask) -> None:
        """Have the clone's guest run a task; nothing happens when this run was started before."""
        calls = await self._begin("guest_start")
        self._require(GuestChannel.TASK, task.name)
        machine = calls.read("look up VM", ref.stamp.incarnation, lambda: self._clones.stamped(ref.stamp))
        calls.write(f"guest task {task.name}", machine.name, lambda: self._start_task(machine, task))

    async def guest_result(self, ref: CloneRef, run: str) -> GuestRun:
        """Tell how a run stands."""
        calls = await self._begin("guest_result", ref.stamp.incarnation)
        self._require(GuestChannel.TASK, run)
        machine = calls.read("look up VM", ref.stamp.incarnation, lambda: self._clones.stamped(ref.stamp))
        return calls.read("guest task result", machine.name, lambda: self._task_result(machine, run))

    def _require(self, channel: GuestChannel, what: str) -> None:
        if self._world.capabilities.guest is not channel:
            raise CapabilityMissing(f"{what}: the guests of this backend are not reached so")

    async def console_tail(self, ref: CloneRef) -> str:
        """Return what the clone's serial console said last in this boot; empty where there is none."""
        calls = await self._begin("console_tail")
        machine = calls.read("look up VM", ref.stamp.incarnation, lambda: self._clones.stamped(ref.stamp))
        return calls.read("read console", machine.name, lambda: machine.console(self._world.now()))

    async def guest_addresses(self, ref: CloneRef) -> Sequence[str]:
        """Return the guest's own addresses; empty while it has none."""
        calls = await self._begin("guest_addresses", ref.stamp.incarnation)
        machine = calls.read("look up VM", ref.stamp.incarnation, lambda: self._clones.stamped(ref.stamp))
        return calls.read("guest addresses", machine.name, lambda: self._addresses(machine))

    async def delete_clone(self, ref: CloneRef) -> Progress:
        """Remove the VM, its disks and seed; DONE once all of them are gone."""
        return self._clones.delete(await self._begin("delete_clone"), ref.stamp)

    async def disown(self, ref: CloneRef) -> bool:
        """Take our mark off a clone; return whether a VM stands there without it."""
        return self._clones.disown(await self._begin("disown"), ref.stamp)

    async def close(self) -> None:
        """End the connection; running provider tasks go on."""
        self._open = False
        self._world.unlisten(self._wake)

    async def _begin(self, verb: str, vm: str = "") -> Calls:
        """Let other tasks run, as a call to an executor does, then return the way to the hypervisor."""
        await self._pause()
        self._world.reads.count(self._world.profile, verb, vm, self._world.now())
        return Calls(self._world, self._fence, process=self._process, verb=verb, is_open=lambda: self._open)

    def _wake_after(self, seconds: float, incarnation: str) -> None:
        asyncio.get_running_loop().call_later(seconds, self._world.changed, incarnation)

    def _described(self, machine: Machine) -> SourceInfo:
        disks = (
            DiskInfo(
                target=disk.target,
                capacity_bytes=disk.capacity_bytes,
                allocated_bytes=disk.allocated_bytes,
                shared=disk.shared,
            )
            for disk in machine.disks
        )
        return SourceInfo(
            source_id=machine.uuid,
            name=machine.name,
            power=machine.power,
            agent=machine.agent(self._world.now()),
            disks=tuple(disks),
            macs=tuple(machine.macs),
            fingerprint=machine.fingerprint,
            addresses=tuple(filter(None, (self._world.address(machine),))) if machine.has_agent else (),
            shape=machine.shape,
        )

    def _boot(self, machine: Machine, incarnation: str) -> None:
        machine.boot_seconds = self._boot_seconds
        self._world.effects.count(self._world.effects.boots, incarnation)
        self._world.set_power_by_hand(machine, Power.ON)

    def _connect(self, machine: Machine) -> None:
        self._world.pool.touch(machine)
        machine.connected, machine.linked_at = True, self._world.now()

    def _execute(self, machine: Machine, command: GuestCommand) -> GuestResult:
        now = self._world.now()
        self._check_agent(machine)
        settled = self._world.booted(machine)
        return machine.guest.execute(
            command,
            now=now,
            machine_id=machine.machine_id,
            connected=machine.connected,
            settled=settled,
        )

    def _start_task(self, machine: Machine, task: GuestTask) -> None:
        self._check_agent(machine)
        machine.tasks.start(task, now=self._world.now(), boot=machine.powered_at)

    def _task_result(self, machine: Machine, run: str) -> GuestRun:
        up = machine.agent(self._world.now())
        return machine.tasks.result(
            run,
            now=self._world.now(),
            boot=machine.powered_at if machine.power is Power.ON else -1.0,
            up=up,
            booted=up and self._world.booted(machine),
            execute=lambda command: self._execute(machine, command),
        )

    def _addresses(self, machine: Machine) -> tuple[str, ...]:
        self._check_agent(machine)
        address = self._world.address(machine)
        return (address,) if address else ()

    def _check_agent(self, machine: Machine) -> None:
        if not machine.agent(self._world.now()):
            raise AgentNotReady(f"the guest agent of {machine.name} does not answer yet")
