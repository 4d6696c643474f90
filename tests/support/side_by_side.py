"""An operator whose workers run side by side, as they really do, on a clock that jumps to whatever is due next.

A simulation works on one key at a time; here a pass that waits for a host holds its worker, and only that.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable
from typing import Any

from tests.support.simulation import SimClock, Simulation

from vmclone_operator.domain.backend import BackendConfig, BackendSession, Fence, Wake
from vmclone_operator.engine.reconcile import reconcile
from vmclone_operator.engine.work.queue import WorkQueue
from vmclone_operator.providers.fake import FakeBackend, World

WORKERS = 16
"""As `--workers` is when nobody says otherwise."""


class HangingHosts:
    """Hypervisors that share a world; a call to one that hangs is not answered before it comes back."""

    def __init__(self) -> None:
        self.world: World | None = None
        self.hung: set[str] = set()

    async def open(self, config: BackendConfig, *, wake: Wake, fence: Fence) -> BackendSession:
        """Open a session; what hangs is what is asked then."""

        async def pause() -> None:
            await asyncio.sleep(0)
            while config.name in self.hung:  # noqa: ASYNC110  - on a clock that jumps
                await asyncio.sleep(1)

        return await FakeBackend(self.world, pause=pause).open(config, wake=wake, fence=fence)


Story = Callable[[Simulation, HangingHosts], Awaitable[None]]


def play(story: Story) -> None:
    """Let an operator with all its workers run while a story is told."""
    hosts = HangingHosts()
    sim = Simulation(late_events=False, backend=hosts)
    hosts.world = sim.world
    with asyncio.Runner(loop_factory=lambda: _JumpingLoop(sim.clock)) as runner:
        runner.run(_told(sim, hosts, story))


async def _told(sim: Simulation, hosts: HangingHosts, story: Story) -> None:
    queue = WorkQueue()
    sim.engine.queue = queue
    tasks = [asyncio.create_task(queue.work(lambda key: reconcile(sim.engine, key))) for _ in range(WORKERS)]
    try:
        await story(sim, hosts)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def passed(sim: Simulation, seconds: float, *, until: Callable[[], bool] = lambda: False) -> float:
    """Wait until the given condition holds or that much time has passed; return how much has."""
    began = sim.clock()
    while not until() and sim.clock() < began + seconds:  # noqa: ASYNC110  - on a clock that jumps
        await asyncio.sleep(0.1)
    return sim.clock() - began


class _JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop in which nobody really waits."""

    def __init__(self, clock: SimClock) -> None:
        super().__init__(_JumpingSelector(clock))
        self._sim_clock = clock

    def time(self) -> float:
        return self._sim_clock()


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self, clock: SimClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> Any:
        """Move the clock on by as long as the loop is willing to wait."""
        found = super().select(0)
        if not found and timeout:
            self._clock.advance(timeout)
        return found
