"""A stateful hypervisor in memory: for tests, dry runs and benchmarks, as strict as a real one."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from vmclone_operator.domain.errors import CredentialsInvalid
from vmclone_operator.providers.fake.faults import (
    ERRORS,
    KILLS,
    RUNNING,
    Fault,
    FaultKind,
    FaultSchedule,
    Killed,
    Point,
    at_call,
    at_index,
    no_faults,
    seeded,
)
from vmclone_operator.providers.fake.inventory import Inventory
from vmclone_operator.providers.fake.session import FakeSession, Pause, at_once
from vmclone_operator.providers.fake.world import World

if TYPE_CHECKING:
    from vmclone_operator.domain.backend import BackendConfig, Fence, Wake


@cache
def shared_world() -> World:
    """Return the one world of this process, in which every source exists as soon as it is named."""
    return World(on_demand=True)


class FakeBackend:
    """Opens sessions onto a World; without one, onto that of this process."""

    def __init__(self, world: World | None = None, *, pause: Pause = at_once) -> None:
        self._world = world or shared_world()
        self._pause = pause

    async def open(self, config: BackendConfig, *, wake: Wake, fence: Fence) -> FakeSession:
        """Connect, if no fault prevents it."""
        seconds = config.settings.get("bootSeconds", self._world.boot_seconds)
        if not isinstance(seconds, int | float):
            raise CredentialsInvalid(f"CloneBackend {config.name}: bootSeconds must be a number")
        process = self._world.faults.process
        self._world.faults.check_alive(process)
        self._world.faults.run("open", "connect", config.name, lambda: None, advance=self._world.advance, writes=False)
        return FakeSession(self._world, wake=wake, fence=fence, boot_seconds=float(seconds), pause=self._pause)


__all__ = [
    "ERRORS",
    "KILLS",
    "RUNNING",
    "FakeBackend",
    "FakeSession",
    "Fault",
    "FaultKind",
    "FaultSchedule",
    "Inventory",
    "Killed",
    "Point",
    "World",
    "at_call",
    "at_index",
    "no_faults",
    "seeded",
    "shared_world",
]
