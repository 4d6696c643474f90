"""What people, machines and networks do while an operator works: each happening of a random story, carried out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tests.crash.oracles import Oracles
from tests.crash.random_story import Happening, Story, What
from tests.support import manifests
from tests.support.simulation import Simulation

from vmclone_operator.domain.backend import Power
from vmclone_operator.domain.naming import clone_uuid
from vmclone_operator.kube.cluster import Document, Key, Kind
from vmclone_operator.providers.fake import Fault, FaultKind, Point
from vmclone_operator.providers.fake.state import Machine

VMCLONE = Key(Kind.VMCLONE, "team-a", "dev")
_LEASE_SECONDS = 30
_TRY_AGAIN_SECONDS = 10
_UNSEEN = 2
"""The second clone is taken away without an event that tells."""


@dataclass
class Happenings:
    """Carries out what a story tells; knows what is wished for at the moment."""

    story: Story
    sim: Simulation
    oracles: Oracles
    wish: dict[str, Any] = field(default_factory=dict)
    removed: bool = False
    """Whether the VMClone is meant to be away now."""
    away_until: float = 0
    """Until then the provider answers nobody."""
    taken: set[str] = field(default_factory=set)
    """The names of the VMs that somebody took away."""
    over: bool = False
    """Whether it is not to come back."""

    def plan(self) -> None:
        """Put everything on the agenda."""
        self.wish = self.story.wish()
        for happening in self.story.happenings:
            self.sim.at(happening.at, partial(self._happen, happening))

    def apply(self) -> None:
        """Apply the VMClone as it is wished for now."""
        if not self.removed and not self.over:
            self.sim.cluster.apply(Kind.VMCLONE, manifests.vmclone(**self.wish))

    def _happen(self, happening: Happening) -> None:
        if self.sim.api_away and happening.what in _THROUGH_THE_API:
            self.sim.at(self.sim.clock() + _TRY_AGAIN_SECONDS, partial(self._happen, happening))
        else:
            _DEEDS[happening.what](self, happening)

    def _later(self, happening: Happening, action: Callable[[], None]) -> None:
        self.sim.at(self.sim.clock() + happening.seconds, action)

    def scale(self, happening: Happening) -> None:
        self.wish["replicas"] = happening.number
        self.apply()

    def template(self, happening: Happening) -> None:
        self.wish["template"] = {"cpus": 1 + happening.number}
        self.apply()

    def pause(self, happening: Happening) -> None:
        def go_on() -> None:
            self.wish.pop("paused", None)
            self.apply()

        self.wish["paused"] = True
        self.apply()
        self._later(happening, go_on)

    def rebuild(self, happening: Happening) -> None:
        document = self._replica(happening.number)
        if document is not None:
            self.oracles.excused.add(document["metadata"]["uid"])
            self.sim.cluster.remove(Key(Kind.REPLICA, "team-a", document["metadata"]["name"]))

    def remove(self, happening: Happening) -> None:
        def again() -> None:
            if VMCLONE in self.sim.cluster.documents:  # it is still going: whoever applies it again has to wait
                self.sim.at(self.sim.clock() + _TRY_AGAIN_SECONDS, again)
            elif not self.over:
                self.removed = False
                self.apply()

        self.removed = True
        self.sim.cluster.remove(VMCLONE)
        self._later(happening, again)

    def sync(self, happening: Happening) -> None:
        if VMCLONE in self.sim.cluster.documents:
            asked = {"vmclone.dev/sync-requested-at": f"{happening.at:.0f}"}
            self.sim.cluster.overwrite(VMCLONE, lambda d: d["metadata"].update(annotations=asked))

    def provider_away(self, happening: Happening) -> None:
        self.away_until = max(self.away_until, self.sim.clock() + happening.seconds)

    def struck(self, point: Point) -> Fault | None:
        """Return the fault of a provider that is away now."""
        away = point.verb != "kube" and self.sim.clock() < self.away_until
        return Fault(kind=FaultKind.FAIL) if away else None

    def api_away(self, happening: Happening) -> None:
        def back() -> None:
            self.sim.api_away = False
            if happening.seconds > _LEASE_SECONDS:  # the Lease was lost meanwhile
                self.sim.restart()

        self.sim.api_away = True
        self._later(happening, back)

    def silent(self, happening: Happening) -> None:
        self.sim.silence()
        self._later(happening, partial(self.sim.hear_again, listed=happening.what is What.GAP))

    def hypervisor(self, _: Happening) -> None:
        self.sim.world.lose_copies()

    def restart(self, _: Happening) -> None:
        self.sim.restart()

    def take(self, happening: Happening) -> None:
        machine = self._machine(happening.number)
        if machine is None or machine.stamp is None:
            return
        self.taken.add(machine.name)
        self.oracles.excused.add(machine.stamp.incarnation)
        if not _is_recorded(self._replica(happening.number)):
            self.oracles.unrecorded.add(machine.stamp.incarnation)
        if happening.number == _UNSEEN:
            self.sim.world.pool.remove(machine)
            for name in machine.volumes:
                self.sim.world.pool.lose_volume(name)
        else:
            self.sim.world.remove_by_hand(machine)

    def switch_off(self, happening: Happening) -> None:
        machine = self._machine(happening.number)
        if machine is not None:
            self.sim.world.set_power_by_hand(machine, Power.OFF)

    def source(self, happening: Happening) -> None:
        source = self.sim.world.find("golden-dev")
        was, other = (Power.ON, Power.OFF) if self.story.source_on else (Power.OFF, Power.ON)
        self.sim.world.set_power_by_hand(source, other)
        self._later(happening, lambda: self.sim.world.set_power_by_hand(source, was))

    def wipe(self, happening: Happening) -> None:
        key = VMCLONE if happening.number == 3 else Key(Kind.REPLICA, "team-a", f"dev-{happening.number}")
        if key in self.sim.cluster.documents:
            self.sim.cluster.overwrite(key, _WIPES[happening.what])

    def _replica(self, ordinal: int) -> Document | None:
        return self.sim.cluster.documents.get(Key(Kind.REPLICA, "team-a", f"dev-{ordinal}"))

    def _machine(self, ordinal: int) -> Machine | None:
        document = self._replica(ordinal)
        machines = self.sim.world.state.machines
        return machines.get(clone_uuid(document["metadata"]["uid"])) if document is not None else None


def _is_recorded(replica: Document | None) -> bool:
    """Return whether the ledger says that the clone's disks are complete."""
    told = ((replica or {}).get("status") or {}).get("conditions", [])
    return any((condition["type"], condition["status"]) == ("Provisioned", "True") for condition in told)


_DEEDS: dict[What, Callable[[Happenings, Happening], None]] = {
    What.SCALE: Happenings.scale,
    What.TEMPLATE: Happenings.template,
    What.PAUSE: Happenings.pause,
    What.REBUILD: Happenings.rebuild,
    What.REMOVE: Happenings.remove,
    What.SYNC: Happenings.sync,
    What.PROVIDER_AWAY: Happenings.provider_away,
    What.API_AWAY: Happenings.api_away,
    What.SILENT: Happenings.silent,
    What.GAP: Happenings.silent,
    What.HYPERVISOR: Happenings.hypervisor,
    What.RESTART: Happenings.restart,
    What.TAKE: Happenings.take,
    What.SWITCH_OFF: Happenings.switch_off,
    What.SOURCE: Happenings.source,
    What.WIPE_STATUS: Happenings.wipe,
    What.WIPE_LABELS: Happenings.wipe,
    What.WIPE_FINALIZERS: Happenings.wipe,
}
_WIPES: dict[What, Callable[[Document], None]] = {
    What.WIPE_STATUS: lambda d: d.update(status={"observedGeneration": -1}),
    What.WIPE_LABELS: lambda d: d["metadata"].update(labels={}),
    What.WIPE_FINALIZERS: lambda d: d["metadata"].update(finalizers=[]),
}
_THROUGH_THE_API = frozenset({What.SCALE, What.TEMPLATE, What.PAUSE, What.REBUILD, What.REMOVE, What.SYNC, *_WIPES})
