"""What a burst of VMClones costs the operator, from the first create call to the last one Ready."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.fleet import wishes
from tests.fleet.installation import Installation

from vmclone_operator.kube.cluster import Kind

_CALM_SECONDS = 3.0
"""An operator that used next to no CPU for so long has done what there was to do."""
_CALM_CPU = 0.05


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What so many replicas cost."""

    vmclones: int
    replicas: int
    seconds: float
    cpu_seconds: float
    passes: Counter[str]
    writes: Counter[str]
    memory_bytes: int

    @property
    def passes_per_vmclone(self) -> float:
        """VMClone passes."""
        return self.passes["vmclone"] / self.vmclones

    @property
    def cpu_per_replica(self) -> float:
        """CPU seconds of the operator."""
        return self.cpu_seconds / self.replicas

    @property
    def writes_per_replica(self) -> float:
        """Writes to the API server, Events apart."""
        return self.writes.total() / self.replicas

    def __str__(self) -> str:
        """Return a line for people."""
        kinds = ", ".join(f"{kind} {count / self.replicas:.2f}" for kind, count in sorted(self.writes.items()))
        return (
            f"{self.vmclones} VMClones, {self.replicas} replicas: {self.seconds:.1f} s,"
            f" CPU {1000 * self.cpu_per_replica:.1f} ms a replica,"
            f" {self.passes_per_vmclone:.1f} VMClone and {self.passes['vmclonereplica'] / self.replicas:.1f} replica"
            f" passes each, {self.writes_per_replica:.2f} writes a replica ({kinds}),"
            f" RSS {self.memory_bytes / 2**20:.0f} MiB"
        )


class Meter:
    """Measures from its making on."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._began = time.monotonic()
        self._cpu = installation.cpu_seconds()
        self._passes = installation.passes()
        self._mark = installation.log_end()

    def cost(self, vmclones: int, replicas: int, seconds: float | None = None) -> Cost:
        """Return what it cost until now."""
        took = time.monotonic() - self._began if seconds is None else seconds
        return Cost(
            vmclones=vmclones,
            replicas=replicas,
            seconds=took,
            cpu_seconds=self._installation.cpu_seconds() - self._cpu,
            passes=self._installation.passes() - self._passes,
            writes=Counter(map(_of_what, self._installation.writes(self._mark))),
            memory_bytes=self._installation.memory_bytes(),
        )

    @property
    def seconds(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self._began


def make_ready(
    installation: Installation, names: Sequence[str], sources: Sequence[str], *, replicas: int = 1, within: float
) -> Cost:
    """Make VMClones at once; return what it cost until all were Ready and the operator had calmed down."""
    users = installation.place.users
    before = wishes.ready(users)
    meter = Meter(installation)
    wishes.make(users, names, sources, replicas=replicas)
    until(lambda: wishes.ready(users) - before >= len(names), within, pause=max(0.5, len(names) / 500))
    seconds = meter.seconds
    calm(installation)
    return meter.cost(len(names), len(names) * replicas, seconds)


def remove(installation: Installation, names: Sequence[str], *, replicas: int = 1, within: float) -> Cost:
    """Remove VMClones; return what it cost until they were gone."""
    users, gone = installation.place.users, set(names)
    meter = Meter(installation)
    wishes.remove(users, names)

    def all_gone() -> bool:
        return not gone & {document["metadata"]["name"] for document in wishes.all_of(Kind.VMCLONE, users)}

    until(all_gone, within, pause=max(0.5, len(names) / 500))
    seconds = meter.seconds
    calm(installation)
    return meter.cost(len(names), len(names) * replicas, seconds)


def calm(installation: Installation) -> None:
    """Wait until the operator has nothing left to do."""
    for _ in range(60):
        before = installation.cpu_seconds()
        time.sleep(_CALM_SECONDS)
        if installation.cpu_seconds() - before < _CALM_CPU:
            return
    raise AssertionError(f"the operator does not calm down\n{installation.last_words()}")


def passes_of_a_removal(installation: Installation, name: str) -> Counter[str]:
    """Remove one VMClone; return the passes that this took, of whatever objects."""
    calm(installation)
    cost = remove(installation, [name], within=60)
    return +cost.passes


def until(condition: Callable[[], bool], seconds: float, *, pause: float) -> float:
    """Wait for a condition; return how long it took, fail after so many seconds."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, f"not within {seconds:.0f} s"
        time.sleep(pause)
    return time.monotonic() - began


def _of_what(write: str) -> str:
    """Return the verb and the kind of a write, as `patch vmclones/status`, from its line of the audit log."""
    _, verb, uri = write.split(" ", 2)
    words = uri.split("?")[0].strip("/").split("/")
    words = words[words.index("namespaces") + 2 :] if "namespaces" in words else words[3:]
    kind, sub = words[0], words[2] if len(words) > 2 else ""
    return f"{verb} {kind}/{sub}" if sub else f"{verb} {kind}"
