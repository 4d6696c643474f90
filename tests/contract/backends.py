"""The backends that the contract suite runs over, and what it may do behind the operator's back at each.

A new backend adds one `Site` and one line in `BACKENDS`; the tests stay as they are.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from tests.contract.proxmox_site import ProxmoxSite
from tests.contract.steps import INSTANCE
from tests.contract.traits import Traits

from vmclone_operator.domain import naming
from vmclone_operator.domain.backend import BackendConfig, BackendSession, CloneIntent, Power
from vmclone_operator.domain.errors import LeadershipLost
from vmclone_operator.providers.fake import FakeBackend, World
from vmclone_operator.providers.fake.state import Volume


@dataclass
class Operator:
    """The side of the operator that a session talks back to."""

    leads: bool = True
    woken: list[str] = field(default_factory=list)

    def fence(self) -> None:
        """Refuse writes when another one leads."""
        if not self.leads:
            raise LeadershipLost("another operator leads")

    def wake(self, incarnation: str) -> None:
        """Note whose VM changed."""
        self.woken.append(incarnation)


class Site(Protocol):
    """A hypervisor with one source on it, seen by somebody who is not our operator."""

    source: str
    """Name of the source."""
    guest: bool
    """True when clones boot a guest with an agent."""
    traits: Traits
    """Where it differs from others by its nature."""

    def session(self, operator: Operator) -> AbstractAsyncContextManager[BackendSession]:
        """Open one more session: a restarted operator, without any memory of the others."""

    def files(self) -> list[str]:
        """Return the files that clones and frozen points could consist of, ours and strangers'."""

    def vms(self) -> list[str]:
        """Return name and UUID of every VM, the source included."""

    def add_vm(self, name: str, uuid: str) -> None:
        """Make a VM that is not ours."""

    def leave_clone_file(self, incarnation: str, token: str) -> None:
        """Leave a disk of a clone that was never finished."""

    def leave_frozen_file(self, vmclone_uid: str, token: str) -> None:
        """Leave a disk of a frozen point that was never finished."""

    def remove_vm(self, uuid: str) -> None:
        """Take a VM away, its files stay."""

    def add_image(self, name: str) -> str:
        """Put a golden image here, as an administrator does; return the name to ask for it by."""

    def replace_image(self, name: str) -> None:
        """Put another one in its place, under the name that `add_image` returned: newer, of another size."""

    def extra_pool(self) -> str:
        """Make a second place for disks and return its name; it goes with the site."""

    def pool_files(self, pool: str) -> list[str]:
        """Return the files in a place that `extra_pool` made."""

    def holder(self, intent: CloneIntent) -> str:
        """Return how what stands on a frozen point is named where the point can not be removed for it."""

    def file_mark(self, name: str) -> str:
        """Return what differs when the file of this name (of `files`) was removed and made again."""


class FakeSite:
    """The fake: everything it knows is in its World."""

    source = "golden-dev"
    guest = True
    traits = Traits()

    def __init__(self, power: Power) -> None:
        self.world = World()
        self.world.add_source(self.source, disks=("vda", "vdb"), power=power)

    @contextlib.asynccontextmanager
    async def session(self, operator: Operator) -> AsyncIterator[BackendSession]:
        """Open one more session on the same World."""
        config = BackendConfig(name="fake", settings={})
        session = await FakeBackend(self.world).open(config, wake=operator.wake, fence=operator.fence)
        yield session
        await session.close()

    def files(self) -> list[str]:
        """Return every file."""
        return self.pool_files("")

    def vms(self) -> list[str]:
        """Return every VM."""
        return sorted(f"{machine.name} {machine.uuid}" for machine in self.world.state.machines.values())

    def add_vm(self, name: str, uuid: str) -> None:
        """Make a stranger's VM."""
        self.world.add_foreign(name, machine_uuid=uuid)

    def leave_clone_file(self, incarnation: str, token: str) -> None:
        """Leave an overlay."""
        self._leave(naming.volume_prefix(INSTANCE, incarnation), token)

    def leave_frozen_file(self, vmclone_uid: str, token: str) -> None:
        """Leave a base that no job fills."""
        self._leave(naming.frozen_prefix(INSTANCE, vmclone_uid), token)

    def remove_vm(self, uuid: str) -> None:
        """Take a VM away."""
        self.world.pool.remove(self.world.state.machines[uuid])

    def add_image(self, name: str) -> str:
        """Put a golden image here, smaller than the source's disks, as they mostly are."""
        return self.world.add_image(name).name

    def replace_image(self, name: str) -> None:
        """Put another one in its place."""
        self.world.replace_image(name)

    def extra_pool(self) -> str:
        """Make a second pool."""
        self.world.add_pool("fast")
        return "fast"

    def pool_files(self, pool: str) -> list[str]:
        """Return the files in it."""
        return sorted(volume.name for volume in self.world.state.volumes.values() if volume.pool == pool)

    def file_mark(self, name: str) -> str:
        """Return the how many-th file of all it is."""
        return str(self.world.state.volumes[name].serial)

    def holder(self, intent: CloneIntent) -> str:
        """Return what the names of its overlays begin with."""
        return naming.volume_prefix(intent.stamp.instance, intent.stamp.incarnation)

    def _leave(self, group: str, token: str) -> None:
        name = f"{group}{token}-vda"
        self.world.pool.create_volume(Volume(name=name, group=group, role="vda", token=token))


@contextlib.asynccontextmanager
async def fake_running() -> AsyncIterator[Site]:
    """Clones of a source that runs and has an agent."""
    yield FakeSite(Power.ON)


@contextlib.asynccontextmanager
async def fake_powered_off() -> AsyncIterator[Site]:
    """Clones of a source that is switched off."""
    yield FakeSite(Power.OFF)


@contextlib.asynccontextmanager
async def proxmox_running() -> AsyncIterator[Site]:
    """Clones of a source that runs on the double of Proxmox VE."""
    yield ProxmoxSite(Power.ON)


@contextlib.asynccontextmanager
async def proxmox_powered_off() -> AsyncIterator[Site]:
    """Clones of a stopped source on the double of Proxmox VE."""
    yield ProxmoxSite(Power.OFF)


@contextlib.asynccontextmanager
async def libvirt_powered_off() -> AsyncIterator[Site]:
    """Clones of a powered-off source on the lab's libvirtd."""
    from tests.contract.libvirt_site import open_site  # noqa: PLC0415  - needs libvirt's C library

    async with open_site() as site:
        yield site


Opened = Callable[[], AbstractAsyncContextManager[Site]]
BACKENDS: dict[str, Opened] = {
    "fake": fake_running,
    "fake-powered-off": fake_powered_off,
    "proxmox": proxmox_running,
    "proxmox-powered-off": proxmox_powered_off,
    "libvirt": libvirt_powered_off,
}


def why_not(name: str) -> str:
    """Return why a backend cannot be tested here, or an empty text."""
    if name == "libvirt" and os.environ.get("LIBVIRT_DEFAULT_URI") != "qemu:///system":
        return "the lab's libvirtd is not reachable from here: hack/lab exec -- pytest tests/contract"
    return ""


@dataclass(frozen=True, slots=True)
class Stage:
    """What a scenario plays on."""

    session: BackendSession
    site: Site
    operator: Operator


Scenario = Callable[[Stage], Awaitable[None]]
Play = Callable[[Scenario], None]


def play(opened: Opened, scenario: Scenario) -> None:
    """Run one test's scenario on a fresh site."""

    async def run() -> None:
        operator = Operator()
        async with opened() as site, site.session(operator) as session:
            await scenario(Stage(session, site, operator))

    asyncio.run(run())
