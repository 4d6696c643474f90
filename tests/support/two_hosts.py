"""Two hypervisors for one simulation: what is at one of them goes on while the other is away."""

from __future__ import annotations

from tests.support.simulation import Simulation

from vmclone_operator.domain.backend import BackendConfig, BackendSession, Fence, Wake
from vmclone_operator.domain.errors import BackendUnreachable
from vmclone_operator.providers.fake import FakeBackend, World


class TwoHosts:
    """A hypervisor for each CloneBackend."""

    def __init__(self) -> None:
        self.worlds: dict[str, World] = {}
        self.away: set[str] = set()
        """The CloneBackends that do not answer whoever asks anew."""

    async def open(self, config: BackendConfig, *, wake: Wake, fence: Fence) -> BackendSession:
        """Open the session of one of them."""
        if config.name in self.away:
            raise BackendUnreachable(f"{config.name} does not answer")
        return await FakeBackend(self.worlds[config.name]).open(config, wake=wake, fence=fence)


def with_two_hosts() -> tuple[Simulation, TwoHosts]:
    """Return an operator of two hosts: `lab`, which is `sim.world`, and `other`, which has a golden image."""
    hosts = TwoHosts()
    sim = Simulation(backend=hosts)
    there = World(clock=sim.clock)
    hosts.worlds = {"lab": sim.world, "other": there}
    there.boot_seconds, there.settle_seconds, there.dhcp_seconds = 30, 2, 2
    there.add_image("golden")
    return sim, hosts
