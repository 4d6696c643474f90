"""An operator over the double of Azure: the registered backend, its manifest and Secret, one loop for both ends.

async def story(site: AzureSite) -> None:
    site.apply(replicas=2)
    await site.ready(2)

on_azure(story)
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.crash.lives import PATIENCE_SECONDS, VMCLONE
from tests.doubles.arm.double import Double
from tests.doubles.arm.faults import Faults
from tests.doubles.arm.guests import ModelledGuests
from tests.doubles.arm.modelled import use_vmclone_guests, vmclone_disk
from tests.doubles.arm.server import Server
from tests.doubles.arm.site import COMPUTE, GROUP, IMAGE, LAN_GROUP, SECRET, SUBNET, furnished
from tests.doubles.arm.world import Client, World
from tests.support import manifests
from tests.support.simulation import Simulation

from vmclone_operator.api.backend import CloneBackendSpec
from vmclone_operator.kube.cluster import Document, Key, Kind
from vmclone_operator.providers import registry
from vmclone_operator.providers.fake import FaultSchedule
from vmclone_operator.providers.fake.guest import Guest, host_key

APPLICATION = "55555555-5555-4555-8555-555555555555"
ROLE = Path(__file__).parents[2] / "examples" / "azure-role.json"
"""What the how-to gives the operator: every story lives with these rights alone."""
BOOT_SECONDS, RESET_SECONDS = 40.0, 30.0


@dataclass
class AzureSite:
    """What a story works on."""

    sim: Simulation
    server: Server

    @property
    def world(self) -> World:
        return self.server.double.world

    @property
    def guests(self) -> ModelledGuests:
        assert isinstance(self.world.guests, ModelledGuests)
        return self.world.guests

    def block(self, **more: Any) -> dict[str, Any]:
        """Return the block `azure` of the CloneBackend."""
        base = f"/subscriptions/{self.world.subscription}/resourceGroups"
        return {
            "subscriptionID": self.world.subscription,
            "tenantID": self.world.tenant,
            "clientID": APPLICATION,
            "resourceGroup": GROUP,
            "location": self.world.location,
            "subnetID": f"{base}/{SUBNET}",
            "networkSecurityGroupID": f"{base}/{LAN_GROUP}",
            "endpoint": self.server.base,
            "authority": self.server.base,
            "caBundle": self.server.certificate.read_text(),
            "requestsPerSecond": 100,
            **more,
        }

    def apply(self, *, clean: bool = False, replicas: int = 2, secret: str = SECRET, **spec: Any) -> None:
        """Apply what the platform team and a user write."""
        credentials = {"secretRef": {"name": "azure"}}
        backend: Document = {
            "metadata": {"name": "lab"},
            "spec": {"azure": self.block(), "credentials": credentials, "allowedNamespaces": {"from": "All"}},
        }
        CloneBackendSpec.model_validate(backend["spec"])
        data = {"client-secret": base64.b64encode(secret.encode()).decode()} if secret else {}
        kept = {"metadata": {"name": "azure", "namespace": "vmclone-system"}, "type": "Opaque", "data": data}
        image = [{"backend": "lab", "volume": f"{IMAGE}:latest"}]
        source = manifests.clean_source(vm="golden", images=image) if clean else manifests.source(vm="golden")
        self.sim.cluster.remove(Key(Kind.SECRET, "vmclone-system", "azure"))
        self.sim.cluster.apply(Kind.SECRET, kept)
        if clean and self.sim.get(Kind.SECRET, "home-key", "vmclone-system") is None:
            self.sim.cluster.apply(Kind.SECRET, manifests.home_key())
        for kind, document in (
            (Kind.BACKEND, backend),
            (Kind.SOURCE, source),
            (Kind.VMCLONE, manifests.vmclone(replicas=replicas, **spec)),
        ):
            self.sim.cluster.apply(kind, document)

    def get(self, kind: Kind, name: str, namespace: str = "team-a") -> Document:
        """Return an object as it is."""
        found = self.sim.get(kind, name, namespace)
        assert found is not None, f"{kind} {name} is not there"
        return found

    async def until(self, done: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
        """Run until that holds; fails with the VMClone's status when it does not."""
        await self.sim._run(self.sim.clock() + seconds, done)
        told = (self.sim.get(Kind.VMCLONE, "dev", "team-a") or {}).get("status")
        backend = (self.sim.get(Kind.BACKEND, "lab") or {}).get("status")
        assert done(), f"not after {seconds} s: {told} {backend}"

    async def ready(self, replicas: int) -> None:
        """Run until exactly so many replicas are ready."""

        def counted() -> bool:
            status = self.sim.cluster.documents[VMCLONE].get("status", {})
            return bool(status.get("readyReplicas", 0) == replicas == status.get("replicas", 0))

        await self.until(counted)

    async def removed(self) -> None:
        """Delete the VMClone, and run until it is gone."""
        self.sim.cluster.remove(Key(Kind.VMCLONE, "team-a", "dev"))
        await self.until(lambda: self.sim.get(Kind.VMCLONE, "dev", "team-a") is None)
        self.world.timeline.settle()


def on_azure(story: Callable[[AzureSite], Awaitable[None]], schedule: FaultSchedule | None = None) -> None:
    """Run a story over a fresh double."""

    async def told() -> None:
        sim = Simulation(backend=registry.load("azure", allow_fake=False))
        world = furnished(sim.clock)
        world.clients[APPLICATION] = Client(secret=SECRET, rights=set(json.loads(ROLE.read_text())["Actions"]))
        assert isinstance(world.guests, ModelledGuests)
        use_vmclone_guests(world.guests)
        boot = f"/subscriptions/{world.subscription}/resourceGroups/{COMPUTE}/disks/golden-0".lower()
        golden = Guest(
            machine_id="a" * 32, hostname="golden", host_key=host_key("golden"), reset_seconds=RESET_SECONDS, secrets=2
        )
        world.guests.disks[boot] = vmclone_disk(golden, boot_seconds=BOOT_SECONDS)
        fresh = Guest(machine_id="", hostname="", host_key=host_key("image"))
        world.guests.images[f"{IMAGE}:0.20261001.1"] = vmclone_disk(fresh, boot_seconds=BOOT_SECONDS)

        async def sleep(seconds: float) -> None:
            sim.clock.advance(seconds)

        async with Server(Double(world), sleep=sleep, faults=Faults(schedule)) as server:
            site = AzureSite(sim=sim, server=server)
            try:
                await story(site)
            finally:
                await sim.engine.sessions.close()

    asyncio.run(told())
