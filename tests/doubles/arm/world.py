"""The state of one Azure subscription: resources by id, operations that run, sizes, quotas, images, who may what.

    world = World(clock)
    world.groups["lab"] = "westeurope"
    world.clients["app"] = Client(secret="...")

Time is the clock's: an operation that takes 40 s is over when the clock has moved that far, and the next request sees
it. Whatever a test puts into `late` makes the next operation of that kind fail after it was accepted.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.doubles.arm.guests import Guests, ModelledGuests
from tests.doubles.arm.refusals import Refusal
from tests.doubles.arm.throttles import Throttles
from tests.doubles.pve.timeline import Clock, Timeline

EPOCH = 1_767_225_600.0
"""2026-01-01, where the simulation's clock begins as well."""
Effect = Callable[[], None]
SECONDS = {
    "put": 8.0,
    "delete": 6.0,
    "Microsoft.Compute/virtualMachines put": 40.0,
    "Microsoft.Compute/virtualMachines delete": 30.0,
    "Microsoft.Compute/virtualMachines power": 20.0,
    "Microsoft.Compute/restorePointCollections/restorePoints put": 30.0,
    "Microsoft.Compute/restorePointCollections put": 0.0,
    "Microsoft.Network/networkSecurityGroups put": 3.0,
    "Microsoft.Network/networkInterfaces put": 3.0,
}
"""How long an operation takes, in the order of what people report; no document promises a figure."""


@dataclass(slots=True, kw_only=True)
class Operation:
    """A long-running operation, as its status URL shows it."""

    id: str
    path: str
    """Of its status, without the query."""
    result: str
    """Of its Location URL; empty where the service sends none."""
    resource: str
    verb: str
    started: float
    ended: float = 0.0
    error: Refusal | None = None

    @property
    def done(self) -> bool:
        """Whether it is over, whatever way."""
        return self.ended > 0


@dataclass(slots=True, kw_only=True)
class Resource:
    """One ARM resource."""

    id: str
    kind: str
    """Microsoft.Compute/disks, ..."""
    name: str
    group: str
    body: dict[str, Any]
    """What was put, and what the provider adds."""
    created: float
    etag: int = 1
    operation: Operation | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    """What the double knows and ARM does not show, or shows elsewhere."""

    @property
    def key(self) -> str:
        """Return the id as it is compared: ids are case-insensitive."""
        return self.id.lower()

    @property
    def location(self) -> str:
        """Return its region."""
        return str(self.body.get("location", ""))

    @property
    def properties(self) -> dict[str, Any]:
        """Return its properties."""
        found: dict[str, Any] = self.body.setdefault("properties", {})
        return found

    @property
    def busy(self) -> bool:
        """Whether an operation runs on it."""
        return self.operation is not None and not self.operation.done

    def shown(self) -> dict[str, Any]:
        """Return it as ARM answers it."""
        return {"id": self.id, "name": self.name, "type": self.kind, **copy.deepcopy(self.body)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """A VM size."""

    family: str
    cores: int
    memory_mib: int
    zones: tuple[str, ...] = ("1", "2", "3")
    restricted: str = ""
    """A reason code when this subscription can not have it here: NotAvailableForSubscription."""
    architecture: str = "x64"


@dataclass(slots=True, kw_only=True)
class Client:
    """An application that may ask for tokens."""

    secret: str
    rights: set[str] = field(default_factory=lambda: {"*"})
    object_id: str = "11111111-1111-1111-1111-111111111111"


class World:
    """Everything there is."""

    def __init__(self, clock: Clock, *, location: str = "westeurope") -> None:
        self.timeline = Timeline(clock, EPOCH)
        self.now = self.timeline.now
        self.tenant = "22222222-2222-2222-2222-222222222222"
        self.subscription = "33333333-3333-3333-3333-333333333333"
        self.location = location
        self.groups: dict[str, str] = {}
        """Resource groups: name in lower case, and its region."""
        self.resources: dict[str, Resource] = {}
        self.operations: dict[str, Operation] = {}
        self.clients: dict[str, Client] = {}
        self.tokens: dict[str, tuple[str, float]] = {}
        """Token: whose it is, and until when."""
        self.token_seconds = 3600.0
        self.throttles = Throttles(self.now)
        self.guests: Guests = ModelledGuests(self.now)
        self.sizes = {
            "Standard_B2s": Size(family="standardBSFamily", cores=2, memory_mib=4096),
            "Standard_D2s_v5": Size(family="standardDSv5Family", cores=2, memory_mib=8192),
            "Standard_D4s_v5": Size(family="standardDSv5Family", cores=4, memory_mib=16384),
            "Standard_D2ps_v5": Size(family="standardDPSv5Family", cores=2, memory_mib=8192, architecture="Arm64"),
        }
        self.quotas = {"cores": 100, "standardBSFamily": 50, "standardDSv5Family": 50, "standardDPSv5Family": 10}
        """Cores per region, all together and by family."""
        self.images: dict[str, list[str]] = {}
        """Marketplace images: publisher:offer:sku, and the versions."""
        self.seconds = dict(SECONDS)
        self.list_lag_seconds = 20.0
        """How long a fresh resource is missing from lists; cloudfoundry/bosh-azure-cpi-release issue 765."""
        self.page_size = 50
        self.run_command_needs_egress = False
        """Whether a run command gets nowhere while the VM may not reach AzureCloud:443: the page on Run Command says
        so, WALinuxAgent issue 505 that the host's own channel is enough. Nobody here could try it."""
        self.late: dict[tuple[str, str], list[Refusal]] = {}
        """(kind, put | delete | power): how the next such operations end, after they were accepted."""
        self._numbers = 0

    def number(self) -> int:
        """Return a number that was never used."""
        self._numbers += 1
        return self._numbers

    def free_address(self) -> str:
        """Return a private address that no interface has."""
        number = self.number()
        return f"10.8.{number // 250}.{number % 250 + 4}"

    def uuid(self) -> str:
        """Return an id of the kind that Azure makes up."""
        return f"44444444-4444-4444-4444-{self.number():012d}"

    def takes(self, kind: str, verb: str) -> float:
        """Return how long an operation takes."""
        return self.seconds.get(f"{kind} {verb}", self.seconds["delete" if verb == "delete" else "put"])

    def find(self, resource_id: str) -> Resource | None:
        """Return a resource by id, whatever its case."""
        return self.resources.get(resource_id.lower())

    def of_kind(self, kind: str) -> list[Resource]:
        """Return all resources of a kind, oldest first."""
        return [one for one in self.resources.values() if one.kind.lower() == kind.lower()]

    def operation(self, resource: Resource, verb: str) -> Operation:
        """Open an operation on a resource; somebody has to end it."""
        service, _, _ = resource.kind.partition("/")
        disk = resource.kind in {"Microsoft.Compute/disks", "Microsoft.Compute/snapshots"}
        name, location = self.uuid(), resource.location or self.location
        folder = f"/subscriptions/{self.subscription}/providers/{service}/locations/{location}"
        operation = Operation(
            id=name,
            path=f"{folder}/{'DiskOperations' if disk else 'operations'}/{name}",
            result=f"{folder}/operationResults/{name}",
            resource=resource.key,
            verb=verb,
            started=self.now(),
        )
        self.operations[name] = operation
        resource.operation = operation
        return operation

    def end(self, resource: Resource, operation: Operation, effect: Effect, failed: Effect) -> None:
        """End an operation: with its effect, unless a test wants it to fail."""
        operation.ended = self.now()
        planned = self.late.get((resource.kind, operation.verb), [])
        if planned:
            operation.error = planned.pop(0)
            resource.properties["provisioningState"] = "Failed"
            failed()
        else:
            effect()

    def begin(
        self,
        resource: Resource,
        verb: str,
        effect: Effect,
        *,
        failed: Effect = lambda: None,
    ) -> Operation:
        """Start an operation on a resource that takes as long as such operations do."""
        operation = self.operation(resource, verb)
        self.timeline.later(self.takes(resource.kind, verb), lambda: self.end(resource, operation, effect, failed))
        return operation

    def inventory(self) -> dict[str, dict[str, Any]]:
        """Return every resource with its tags: what two runs are compared by."""
        return {key: dict(one.body.get("tags") or {}) for key, one in sorted(self.resources.items())}
