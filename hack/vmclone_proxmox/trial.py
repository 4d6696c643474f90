"""One clone from discovery to removal, told step by step. Whatever fails, what was made is removed again."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from vmclone_operator.domain import naming
from vmclone_operator.domain.backend import (
    CloneIntent,
    CloneRef,
    Consistency,
    FreezeIntent,
    FrozenPoint,
    ObservedClone,
    OperationState,
    Owner,
    PlanWish,
    Power,
    Progress,
    Seed,
    SourceInfo,
    Stamp,
)
from vmclone_operator.domain.errors import CloneError, NotAuthorized, RetryLater

if TYPE_CHECKING:
    from vmclone_operator.providers.proxmox.session import ProxmoxSession
    from vmclone_proxmox.journal import Journal

_SESSION = "vmclone-trial"


class Failed(Exception):  # noqa: N818 - named for what happened
    """A step did not do what it promises."""


@dataclass(slots=True)
class Run:
    """What one trial is of, and what it has made so far: new names each time, so two of them never meet."""

    name: str
    instance: str = field(default_factory=lambda: str(uuid.uuid4()))
    vmclone_uid: str = field(default_factory=lambda: str(uuid.uuid4()))
    incarnation: str = field(default_factory=lambda: str(uuid.uuid4()))
    frozen: str = ""
    clone: str = ""
    source: SourceInfo | None = None
    point: FrozenPoint | None = None
    doubtful: bool = False
    """The last step only said that rights lack. A server that knows fewer of them may still do the rest."""

    @property
    def stamp(self) -> Stamp:
        """The mark of the clone."""
        return Stamp(
            instance=self.instance,
            namespace="hack",
            vmclone="test-proxmox",
            vmclone_uid=self.vmclone_uid,
            ordinal=1,
            incarnation=self.incarnation,
        )

    @property
    def owner(self) -> Owner:
        """Whose frozen point it is."""
        return Owner(instance=self.instance, vmclone_uid=self.vmclone_uid)

    @property
    def vm_name(self) -> str:
        """The clone's name."""
        return naming.vm_name(_SESSION, self.incarnation)

    @property
    def ref(self) -> CloneRef:
        """How the clone is named to the adapter."""
        return CloneRef(stamp=self.stamp, vm_name=self.vm_name, handle=self.clone)


class Trial:
    """Runs the steps."""

    def __init__(self, session: ProxmoxSession, journal: Journal, *, deadline: float) -> None:
        self._session, self._journal, self._deadline = session, journal, deadline

    async def run(self, name: str, what: str = "source") -> bool:
        """Clone one VM; return whether all went well and nothing is left."""
        print(f"\n{what} {name}")
        run = Run(name)
        steps: list[tuple[str, Callable[[Run], Awaitable[str]]]] = [
            ("discover", self._discover),
            ("check", self._check),
            ("preflight", self._preflight),
            ("freeze", self._freeze),
            ("clone", self._clone),
            ("observe", self._observe),
            ("configure", self._configure),
            ("power on", self._on),
            ("power off", self._off),
        ]
        good = go_on = True
        for title, step in steps:
            if go_on:
                done = await self._step(title, step, run)
                good, go_on = good and done, done or run.doubtful
        for title, step in (("delete", self._delete), ("release", self._release), ("leftovers", self._leftovers)):
            good = await self._step(title, step, run) and good
        return good

    async def _step(self, title: str, step: Callable[[Run], Awaitable[str]], run: Run) -> bool:
        begun = time.monotonic()
        try:
            run.doubtful = False
            said, good = await step(run), True
        except NotAuthorized as error:
            run.doubtful = step in {self._check, self._preflight}
            said, good = f"{type(error).__name__}: {error}", False
        except (CloneError, Failed) as error:
            said, good = f"{type(error).__name__}: {error}", False
        calls = self._journal.taken()
        print(f"  {'ok    ' if good else 'FAILED'} {title:<10} {time.monotonic() - begun:6.1f} s  {said}")
        for call in calls:
            print(f"             {call}")
        return good

    async def _until(self, step: Callable[[], Awaitable[Progress]]) -> Progress:
        """Call a verb until it is done, as the engine does, waiting as long as it says."""
        end = time.monotonic() + self._deadline
        last = ""
        while time.monotonic() < end:
            try:
                progress = await step()
                wait, last = max(progress.again_seconds, 0.5), progress.message
                if progress.state is OperationState.DONE:
                    return progress
                if progress.state is OperationState.LOST:
                    raise Failed("the attempt was lost")
            except RetryLater as error:
                wait, last = min(error.retry_after.total_seconds(), 10), str(error)
            await asyncio.sleep(wait)
        raise Failed(f"not done within {self._deadline:g} s; last: {last}")

    async def _discover(self, run: Run) -> str:
        run.source = await self._session.describe_source(run.name)
        disks = ", ".join(
            f"{disk.target} {disk.capacity_bytes >> 20} MiB" for disk in run.source.disks if not disk.shared
        )
        return f"VM {run.source.source_id} ({run.source.name}), {run.source.power}, {disks}"

    async def _check(self, _: Run) -> str:
        info = await self._session.check()
        return f"{info.version}; linked clones: {'yes' if info.capabilities.linked else 'no'}"

    async def _preflight(self, run: Run) -> str:
        found = await self._session.preflight(_source(run), PlanWish(replicas=1))
        if found:
            said = "; ".join(one.message for one in found)
            raise NotAuthorized(said) if {one.reason for one in found} == {NotAuthorized.reason} else Failed(said)
        return "nothing speaks against it"

    async def _freeze(self, run: Run) -> str:
        intent = FreezeIntent(
            token="1",  # noqa: S106 - names an attempt
            instance=run.instance,
            vmclone_uid=run.vmclone_uid,
            source_id=_source(run).source_id,
            consistency=Consistency.CRASH_CONSISTENT,
        )

        async def step() -> Progress:
            progress = await self._session.freeze(replace(intent, handle=run.frozen))
            run.frozen = progress.handle or run.frozen
            return progress

        run.point = (await self._until(step)).frozen
        if run.point is None:
            raise Failed("a frozen point is done and says nothing of itself")
        return f"{run.frozen.split()[0]}, {run.point.consistency}{', borrowed' if run.point.borrowed else ''}"

    async def _clone(self, run: Run) -> str:
        intent = CloneIntent(
            stamp=run.stamp,
            token="1",  # noqa: S106
            vm_name=run.vm_name,
            uuid=naming.clone_uuid(run.incarnation),
            source_id=_source(run).source_id,
            frozen_token="1",  # noqa: S106
            frozen_handle=run.frozen,
            seed=Seed(instance_id=run.incarnation, hostname=run.vm_name),
            made_from=_source(run).name,
        )

        async def step() -> Progress:
            progress = await self._session.start_clone(replace(intent, handle=run.clone))
            run.clone = progress.handle or run.clone
            return progress

        done = await self._until(step)
        return f"VM {done.external_id} ({run.vm_name})"

    async def _observe(self, run: Run) -> str:
        seen = await self._seen(run)
        plugged = seen.connected and bool(seen.shape.networks)
        if seen.power is not Power.OFF or plugged or seen.stamp != run.stamp:
            raise Failed(f"a new clone is off and unplugged, and this one is {seen.power}, connected={seen.connected}")
        listed = await self._session.find_clones(run.owner)
        if [one.external_id for one in listed] != [seen.external_id]:
            raise Failed(f"the list of clones has {len(listed)} of this one")
        return f"off, unplugged, {seen.shape.cpus} CPUs, {seen.shape.memory_bytes >> 20} MiB"

    async def _seen(self, run: Run) -> ObservedClone:
        seen = await self._session.find_clone(run.ref)
        if seen is None:
            raise Failed("the clone is not found by its mark")
        return seen

    async def _configure(self, run: Run) -> str:
        await self._session.connect_network(run.ref)
        if not (await self._seen(run)).connected:
            raise Failed("its links are still down")
        return "its links are up"

    async def _on(self, run: Run) -> str:
        return await self._power(run, Power.ON)

    async def _off(self, run: Run) -> str:
        return await self._power(run, Power.OFF)

    async def _power(self, run: Run, power: Power) -> str:
        async def step() -> Progress:
            await self._session.set_power(run.ref, power)
            done = (await self._seen(run)).power is power
            return Progress(state=OperationState.DONE if done else OperationState.RUNNING, again_seconds=1)

        await self._until(step)
        return f"it is {power}"

    async def _delete(self, run: Run) -> str:
        await self._until(lambda: self._session.delete_clone(run.ref))
        if await self._session.find_clones(run.owner):
            raise Failed("it is still in the list of clones")
        return "VM, disks and seed are gone"

    async def _release(self, run: Run) -> str:
        await self._until(lambda: self._session.release_frozen(run.owner, "1", run.frozen))
        return "an administrator's template stays" if run.point is not None and run.point.borrowed else "it is gone"

    async def _leftovers(self, run: Run) -> str:
        left = await self._session.find_leftovers(run.instance, [])
        tokens = await self._session.find_frozen(run.owner)
        if left or tokens:
            raise Failed(", ".join([*(one.name for one in left), *tokens]))
        return "nothing is left"


def _source(run: Run) -> SourceInfo:
    if run.source is None:
        raise Failed("there is no source")
    return run.source
