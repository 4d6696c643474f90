"""Lives of a VMClone that crash tests repeat, once for every external call and every way it can go wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.support import manifests
from tests.support.second_leader import Stay
from tests.support.simulation import Simulation

from vmclone_operator.domain.backend import Power
from vmclone_operator.kube.cluster import Key, Kind
from vmclone_operator.providers.fake import FaultSchedule, Inventory
from vmclone_operator.providers.fake.profiles import LIBVIRT, Profile

VMCLONE = Key(Kind.VMCLONE, "team-a", "dev")
PATIENCE_SECONDS = 3600.0


@dataclass(frozen=True)
class Outcome:
    """What one life left: at Ready, and after everything was deleted."""

    ready: Inventory
    fewer: Inventory
    """After the scale-down to one."""
    end: Inventory
    defines: tuple[int, ...]
    boots: tuple[int, ...]
    longest_freeze_seconds: float
    foreign_writes: int
    copied_again: int
    """Disks that the ledger called finished and that were copied again all the same."""
    freezes: int
    """How often the source was copied; once, when nothing goes wrong."""


def live(
    schedule: FaultSchedule,
    *,
    running: bool = True,
    replicas: int = 2,
    late_events: bool = True,
    stays: Sequence[Stay] = (),
    full: bool = False,
    grows: bool = False,
    profile: Profile = LIBVIRT,
) -> Outcome:
    """Make a VMClone, wait until it is Ready, scale it down to one, delete it; return what that left.

    One that grows begins with one replica, and is scaled up to the rest once that is Ready.
    """
    spec: dict[str, Any] = {"disk": {"copy": "Full"}} if full else {}
    sim = begin(schedule, running=running, replicas=1 if grows else replicas, late_events=late_events, **spec)
    sim.world.clone_seconds = 4 if full else 0
    if profile is not LIBVIRT:
        sim.world.become(profile)
    for stay in stays:
        sim.expect_second_leader(stay)
    if grows:
        wait_ready(sim, 1)
        sim.cluster.apply(Kind.VMCLONE, manifests.vmclone(replicas=replicas, **spec))
    wait_ready(sim, replicas)
    ready = sim.world.inventory()
    sim.cluster.apply(Kind.VMCLONE, manifests.vmclone(replicas=1, **spec))
    wait_ready(sim, 1)
    fewer = sim.world.inventory()
    sim.cluster.remove(VMCLONE)
    watched(sim, PATIENCE_SECONDS, until=lambda: sim.get(Kind.VMCLONE, "dev", "team-a") is None)
    watched(sim, 120)
    assert sim.get(Kind.VMCLONE, "dev", "team-a") is None, "the VMClone did not go"
    effects = sim.world.effects
    return Outcome(
        ready=ready,
        fewer=fewer,
        end=sim.world.inventory(),
        defines=tuple(sorted(effects.creates.values())),
        boots=tuple(sorted(effects.boots.values())),
        longest_freeze_seconds=sim.world.longest_freeze_seconds,
        foreign_writes=len(effects.foreign_touched),
        copied_again=len(effects.finished_copied_again),
        freezes=sum(effects.copies.values()),
    )


def difference(expected: Outcome, schedule: FaultSchedule, **life: Any) -> str:
    """Return how a disturbed life ends otherwise than the undisturbed one."""
    try:
        outcome = live(schedule, **life)
    except AssertionError as error:
        return str(error)[:600]
    checks = {
        "inventory at Ready": (outcome.ready, expected.ready),
        "inventory after the scale-down": (outcome.fewer, expected.fewer),
        "inventory at the end": (outcome.end, expected.end),
        "VMs made": (outcome.defines, expected.defines),
        "boots": (outcome.boots, expected.boots),
        "foreign objects touched": (outcome.foreign_writes, 0),
        "finished disks copied again": (outcome.copied_again, 0),
        "frozen at most 5 s": (outcome.longest_freeze_seconds <= 5, True),
    }
    return "; ".join(f"{name}: {got} != {want}" for name, (got, want) in checks.items() if got != want)


def begin(
    schedule: FaultSchedule, *, running: bool = True, replicas: int = 2, late_events: bool = True, **spec: Any
) -> Simulation:
    """Start an operator with one source, and wish for clones of it."""
    sim = Simulation(schedule, late_events=late_events)
    sim.world.add_source("golden-dev", power=Power.ON if running else Power.OFF)
    for kind, document in (
        (Kind.BACKEND, manifests.backend()),
        (Kind.SOURCE, manifests.source()),
        (Kind.VMCLONE, manifests.vmclone(replicas=replicas, **spec)),
    ):
        sim.cluster.apply(kind, document)
    return sim


def begin_clean(schedule: FaultSchedule, *, replicas: int = 2, late_events: bool = True, **spec: Any) -> Simulation:
    """Start an operator with one source whose home may be copied, and wish for clean clones."""
    sim = Simulation(schedule, late_events=late_events)
    sim.world.add_source("golden-dev")
    sim.world.add_image("golden")
    for kind, document in (
        (Kind.SECRET, manifests.home_key()),
        (Kind.BACKEND, manifests.backend()),
        (Kind.SOURCE, manifests.clean_source()),
        (Kind.VMCLONE, manifests.vmclone(replicas=replicas, **spec)),
    ):
        sim.cluster.apply(kind, document)
    return sim


def wait_ready(sim: Simulation, replicas: int) -> None:
    """Run until the VMClone says that exactly so many replicas are ready."""

    def ready() -> bool:
        document = sim.cluster.documents[VMCLONE]
        status = document.get("status", {})
        seen = status.get("observedGeneration", -1) == document["metadata"]["generation"]
        return bool(seen and status.get("readyReplicas", 0) == replicas == status.get("replicas", 0))

    watched(sim, PATIENCE_SECONDS, until=ready)
    assert ready(), f"never ready: {(sim.get(Kind.VMCLONE, 'dev', 'team-a') or {}).get('status')}"
    watched(sim, 30)


def watched(sim: Simulation, seconds: float, *, until: Callable[[], bool] = lambda: False) -> None:
    """Run, and look after every pass whether a clone is on the network as its source: it must not be for a moment."""

    def look() -> bool:
        for machine in sim.world.state.machines.values():
            nobody_yet = not machine.connected or not machine.guest.machine_id
            assert machine.foreign or nobody_yet or machine.guest.machine_id == machine.machine_id, (
                f"{machine.name} is up as its source"
            )
        return until()

    sim.run(seconds, until=look)
