"""A whole operator over a real libvirtd whose clones are not booted: what it is asked for, and what that comes to."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import libvirt
from tests.support import manifests
from tests.support.simulation import SimClock, Simulation
from tests.support.unbooted import UnbootedBackend
from tests.support.unbooted_host import Host

from vmclone_operator.domain import naming
from vmclone_operator.kube.cluster import Document, Key, Kind
from vmclone_operator.providers.fake import FaultSchedule

if TYPE_CHECKING:
    from tests.crash.libvirt_site import Site

PATIENCE_SECONDS = 3600.0
NAMESPACE = "team-a"
INSTANCE = "instance-1"
"""Whose volumes and stamps a simulation's are."""


class Story:
    """One operator, one backend, one source, and at first one VMClone under a name that nobody else has."""

    def __init__(
        self,
        site: Site,
        schedule: FaultSchedule | None = None,
        *,
        late_events: bool = True,
        settings: Mapping[str, Any] | None = None,
        secret: Mapping[str, bytes] | None = None,
    ) -> None:
        self.site = site
        self._settings = settings or {"transport": "local", "pool": site.facts.pool_name}
        self._secret = secret or {}
        self.name = site.fresh_name()
        schedule = schedule or FaultSchedule()
        self.host = Host(schedule, SimClock())
        self.backend = UnbootedBackend(self.host)
        self.sim = Simulation(schedule, late_events=late_events, backend=self.backend)
        self.host.clock = self.sim.clock
        self._undo = ExitStack()

    def __enter__(self) -> Self:
        """Grant the source; nothing is wished for yet."""
        self._undo.enter_context(self.host.watching_copies())
        self._undo.callback(lambda: asyncio.run(self.backend.close()))
        lab: Document = {"libvirt": dict(self._settings), "allowedNamespaces": {"from": "All"}}
        if self._secret:
            data = {key: base64.b64encode(value).decode() for key, value in self._secret.items()}
            meta = {"name": "lab-keys", "namespace": "vmclone-system"}
            self.sim.cluster.apply(Kind.SECRET, {"metadata": meta, "data": data, "type": "Opaque"})
            lab["credentials"] = {"secretRef": {"name": "lab-keys"}}
        self.sim.cluster.apply(Kind.BACKEND, {"metadata": {"name": "lab"}, "spec": lab})
        self.grant()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the operator; what it made stays."""
        self._undo.close()

    def grant(self, **spec: Any) -> None:
        """Grant the source, in these words."""
        self.sim.cluster.apply(Kind.SOURCE, manifests.source(vm=self.site.facts.source_name, **spec))

    def wish(self, name: str = "", *, replicas: int = 1, **spec: Any) -> None:
        """Wish for so many clones."""
        self.sim.cluster.apply(Kind.VMCLONE, manifests.vmclone(name or self.name, NAMESPACE, replicas=replicas, **spec))

    def make(self, name: str = "", *, replicas: int = 1, **spec: Any) -> None:
        """Wish for so many clones, and run until exactly they are ready."""
        self.wish(name, replicas=replicas, **spec)
        self.wait_ready(name, replicas=replicas)

    def wait_ready(self, name: str = "", *, replicas: int) -> None:
        """Run until exactly so many clones are ready, and a little longer."""
        self.run_until(lambda: self.is_ready(name, replicas), f"{replicas} replicas never ready", name)
        self.sim.run(30)

    def is_ready(self, name: str, replicas: int) -> bool:
        """Return whether the wish as it is now is fulfilled."""
        document = self.find(name)
        status = self.status(name)
        seen = document is not None and status.get("observedGeneration") == document["metadata"]["generation"]
        return seen and (status.get("readyReplicas", 0), status.get("replicas", 0)) == (replicas, replicas)

    def remove(self, name: str = "") -> None:
        """Have the VMClone deleted, and run until it is gone and a little longer."""
        self.sim.cluster.remove(Key(Kind.VMCLONE, NAMESPACE, name or self.name))
        self.run_until(lambda: self.find(name) is None, "the VMClone did not go", name)
        self.sim.run(120)

    def run_until(self, condition: Callable[[], bool], otherwise: str, name: str = "") -> None:
        """Run until it is so; fail with this sentence when it never is."""
        self.sim.run(PATIENCE_SECONDS, until=condition)
        assert condition(), f"{otherwise}: {self.status(name)}"

    def find(self, name: str = "") -> Document | None:
        """Return the VMClone, if it is there."""
        return self.sim.get(Kind.VMCLONE, name or self.name, NAMESPACE)

    def status(self, name: str = "") -> Document:
        """Return the VMClone's status."""
        return (self.find(name) or {}).get("status") or {}

    def uid(self, ordinal: int, name: str = "") -> str:
        """Return a replica's incarnation; empty while it has none."""
        found = self._replica(ordinal, name)
        return str(found["metadata"]["uid"]) if found else ""

    def _replica(self, ordinal: int, name: str) -> Document | None:
        return self.sim.get(Kind.REPLICA, naming.replica_name(name or self.name, ordinal), NAMESPACE)

    def clone(self, ordinal: int, name: str = "") -> libvirt.virDomain:
        """Return a replica's VM."""
        uid = self.uid(ordinal, name)
        return self.site.facts.connection.lookupByUUIDString(naming.clone_uuid(uid))

    def told(self, kind: str, name: str = "", ordinal: int = 0) -> tuple[str, str]:
        """Return reason and message of a condition that is true of the VMClone, or of one of its replicas."""
        document = self._replica(ordinal, name) if ordinal else self.find(name)
        status = (document or {}).get("status") or {}
        found = [c for c in status.get("conditions", []) if c["type"] == kind and c["status"] == "True"]
        return (found[0]["reason"], found[0]["message"]) if found else ("", "")
