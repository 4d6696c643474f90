"""Lives of a VMClone on real libvirt, and the places in them where a crash can strike."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from tests.crash.libvirt_site import Seen, Site
from tests.support import manifests
from tests.support.simulation import SimClock, Simulation
from tests.support.unbooted import Host, UnbootedBackend

from vmclone_operator.kube.cluster import Document, Key, Kind
from vmclone_operator.providers.fake import Fault, FaultKind, FaultSchedule, Point, at_call

KINDS = (FaultKind.KILL_BEFORE, FaultKind.KILL_AFTER, FaultKind.LOSE_REPLY)
PATIENCE_SECONDS = 3600.0


@dataclass(frozen=True, order=True)
class Place:
    """One write of a life: the how many-th of its name inside its verb. Numbers over all would not be repeatable."""

    verb: str
    call: str
    turn: int

    def __str__(self) -> str:
        return f"{self.verb}/{self.call}#{self.turn}"

    def schedule(self, kind: FaultKind) -> FaultSchedule:
        """Return a schedule that strikes here, once."""
        return FaultSchedule(at_call(self.call, Fault(kind=kind), verb=self.verb, skip=self.turn - 1))


def places(trace: Iterable[Point]) -> list[Place]:
    """Return where the writes of a life are."""
    seen: Counter[tuple[str, str]] = Counter()
    found = []
    for point in trace:
        seen[point.verb, point.call] += 1
        found.append(Place(point.verb, point.call, seen[point.verb, point.call]))
    return found


@dataclass(frozen=True)
class Outcome:
    """What one life left at Ready and at its end."""

    ready: Seen
    end: Seen
    defines: tuple[int, ...]
    boots: tuple[int, ...]


class Life:
    """One VMClone: two replicas, then one, then none."""

    def __init__(self, site: Site, schedule: FaultSchedule, *, late_events: bool) -> None:
        self.site = site
        self.name = site.fresh_name()
        clock = SimClock()
        self.host = Host(schedule, clock)
        self.backend = UnbootedBackend(self.host)
        self.sim = Simulation(schedule, late_events=late_events, backend=self.backend)
        self.host.clock = self.sim.clock

    def run(self) -> Outcome:
        """Live; return what that left."""
        try:
            return self._run()
        finally:
            asyncio.run(self.backend.close())

    def _run(self) -> Outcome:
        facts = self.site.facts
        local = {"transport": "local", "pool": facts.pool_name}
        lab = {"libvirt": local, "allowedNamespaces": {"from": "All"}}
        self.sim.cluster.apply(Kind.BACKEND, {"metadata": {"name": "lab"}, "spec": lab})
        self.sim.cluster.apply(Kind.SOURCE, manifests.source(vm=facts.source_name))
        self._wish(2)
        ready = self.site.look()
        self._wish(1)
        self.sim.cluster.remove(Key(Kind.VMCLONE, "team-a", self.name))
        self.sim.run(PATIENCE_SECONDS, until=lambda: self._document() is None)
        assert self._document() is None, f"the VMClone did not go: {self._status()}"
        self.sim.run(120)
        return Outcome(
            ready=ready,
            end=self.site.look(),
            defines=tuple(sorted(self.host.defines.values())),
            boots=tuple(sorted(self.host.boots.values())),
        )

    def _wish(self, replicas: int) -> None:
        self.sim.cluster.apply(Kind.VMCLONE, manifests.vmclone(self.name, replicas=replicas))
        self.sim.run(PATIENCE_SECONDS, until=lambda: self._ready(replicas))
        assert self._ready(replicas), f"{replicas} replicas never ready: {self._status()}"
        self.sim.run(30)

    def _ready(self, replicas: int) -> bool:
        status = self._status()
        generation = (self._document() or {"metadata": {"generation": 0}})["metadata"]["generation"]
        counts = (status.get("readyReplicas", 0), status.get("replicas", 0))
        return status.get("observedGeneration") == generation and counts == (replicas, replicas)

    def _document(self) -> Document | None:
        return self.sim.get(Kind.VMCLONE, self.name, "team-a")

    def _status(self) -> Document:
        return (self._document() or {}).get("status") or {}


def trouble(site: Site, expected: Outcome, schedule: FaultSchedule, *, late_events: bool = True) -> str:
    """Return how a disturbed life ends otherwise than the undisturbed one, and clean up after it."""
    try:
        outcome = Life(site, schedule, late_events=late_events).run()
    except AssertionError as error:
        site.purge()
        return str(error)[:600]
    wrong = [name for name in ("ready", "end", "defines", "boots") if getattr(outcome, name) != getattr(expected, name)]
    if wrong:
        site.purge()
    if not schedule.struck:
        wrong.append("struck")
    told = {"ready": outcome.ready, "end": outcome.end, "defines": outcome.defines, "boots": outcome.boots}
    return "; ".join(f"{name}: {told.get(name, 'the fault never struck')}" for name in wrong)
