"""What a seed stands for: a wish, what people and machines do meanwhile, and what goes wrong. Pure data.

A story is drawn from its seed alone, so the number is all that a failure has to print; `shrink.py` makes a
smaller one of it, which is no seed's any more.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from tests.support.second_leader import Stay, random_stays

from vmclone_operator.providers.fake import Fault

BUSY_SECONDS = 160.0
"""Within this time everything happens that happens while clones are made and used."""


class What(StrEnum):
    """What may happen beside the operator."""

    SCALE = "scale"
    TEMPLATE = "template"
    PAUSE = "pause"
    REBUILD = "rebuild"
    """Somebody deletes a VMCloneReplica."""
    REMOVE = "remove"
    """Somebody deletes the VMClone, and applies it again later."""
    SYNC = "sync"
    """Somebody asks for a refresh of the homes."""
    PROVIDER_AWAY = "provider away"
    API_AWAY = "api away"
    SILENT = "silent watch"
    GAP = "410 gap"
    HYPERVISOR = "hypervisor restarts"
    RESTART = "operator restarts"
    TAKE = "vm taken away"
    SWITCH_OFF = "vm switched off"
    SOURCE = "source switched"
    WIPE_STATUS = "status wiped"
    WIPE_LABELS = "labels wiped"
    WIPE_FINALIZERS = "finalizers wiped"


REMOVING = frozenset({What.SCALE, What.TEMPLATE, What.REBUILD, What.REMOVE})
"""What removes replicas: with the finalizer wiped just before, the API server lets go of an object at once."""
LASTING = frozenset({What.PROVIDER_AWAY, What.API_AWAY, What.SILENT, What.GAP, What.PAUSE, What.REMOVE, What.SOURCE})
"""What ends by itself after a while."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """Something that happens at a moment, perhaps for a while."""

    at: float
    what: What
    number: int = 1
    """A count or an ordinal."""
    seconds: float = 0


class End(StrEnum):
    """How the VMClone ends."""

    DELETE = "delete"
    """Once it is ready and settled."""
    EARLY = "early"
    """At a random moment."""
    ORPHAN = "orphan"
    """As DELETE, with `onDelete: Orphan`."""
    EARLY_ORPHAN = "early orphan"


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """One life, told beforehand."""

    seed: int
    clean: bool = False
    full: bool = False
    source_on: bool = True
    switches_source: bool = False
    replicas: int = 2
    at_once: int = 5
    recreate: bool = False
    scale_down_orphan: bool = False
    one_copy: bool = False
    """The source lets one home copy run at a time."""
    neighbour: bool = False
    """Another team clones the same source."""
    late_events: bool = True
    end: End = End.DELETE
    ends_at: float = 0
    stays: tuple[Stay, ...] = ()
    happenings: tuple[Happening, ...] = ()
    rate: float = 0.1
    """Of calls that go wrong."""
    lost_reads: float = 0.0
    """Of reads at the API server that nobody answers."""
    strikes: tuple[tuple[int, Fault], ...] | None = None
    """Exactly these calls go wrong; None: as the seed says."""

    @property
    def early(self) -> bool:
        """Return whether it ends before it is settled."""
        return self.end in {End.EARLY, End.EARLY_ORPHAN}

    @property
    def leaves_vms(self) -> bool:
        """Return whether VMs may stay on purpose."""
        return self.scale_down_orphan or self.end in {End.ORPHAN, End.EARLY_ORPHAN}

    def had(self, *what: What) -> bool:
        """Return whether any of this happens."""
        return any(happening.what in what for happening in self.happenings)

    def wish(self) -> dict[str, Any]:
        """Return the spec that it begins with."""
        spec: dict[str, Any] = {"replicas": self.replicas, "rollout": {"maxInFlight": self.at_once}}
        spec["rollout"] |= {"update": "Recreate"} if self.recreate else {}
        if self.full:
            spec["disk"] = {"copy": "Full"}
        if self.switches_source:
            spec["sourcePower"] = "StartForCopy" if self.clean else "StopForClone"
            if not self.clean:
                spec["disk"] = {**spec.get("disk", {}), "consistency": "PoweredOff"}
        if self.clean:
            spec["homeCopy"] = {"refresh": "OnRequest"}
        deletion = {"onScaleDown": "Orphan"} if self.scale_down_orphan else {}
        deletion |= {"onDelete": "Orphan"} if self.end in {End.ORPHAN, End.EARLY_ORPHAN} else {}
        return {**spec, **({"deletion": deletion} if deletion else {})}


def story_of(seed: int) -> Story:
    """Return what a seed stands for."""
    chance = random.Random(f"story {seed}")  # noqa: S311  - repeatable on purpose
    clean, switches = chance.random() < 0.3, chance.random() < 0.12
    end = chance.choice([End.DELETE] * 5 + [End.EARLY] * 3 + [End.ORPHAN, End.EARLY_ORPHAN])
    early = end in {End.EARLY, End.EARLY_ORPHAN}
    drawn = Story(
        seed=seed,
        clean=clean,
        full=chance.random() < 0.3,
        source_on=chance.random() < 0.65 or (clean and not switches),
        switches_source=switches,
        replicas=chance.choice((1, 1, 2, 2, 2, 3)),
        at_once=chance.choice((1, 5, 5)),
        recreate=chance.random() < 0.5,
        scale_down_orphan=chance.random() < 0.08,
        one_copy=chance.random() < 0.5,
        neighbour=chance.random() < 0.15,
        late_events=chance.random() < 0.5,
        end=end,
        ends_at=chance.uniform(0, BUSY_SECONDS) if early else 0,
        stays=random_stays(seed) if chance.random() < 0.5 else (),
        rate=chance.choice((0.0, 0.03, 0.1, 0.1, 0.15)),
        lost_reads=chance.choice((0.0, 0.0, 0.02)),
    )
    reachable = drawn.source_on or not clean  # the neighbour switches no source on
    return replace(drawn, neighbour=drawn.neighbour and reachable, happenings=_happenings(chance, drawn))


def _happenings(chance: random.Random, story: Story) -> tuple[Happening, ...]:
    """Return up to five happenings in their order, less those that nobody could make good again."""
    found = [_happening(chance, chance.choice(list(What))) for _ in range(chance.choice((0, 1, 2, 3, 4, 5)))]
    left_out = set() if story.clean else {What.SYNC}
    if story.early or any(happening.what in REMOVING for happening in found):
        left_out.add(What.WIPE_FINALIZERS)
    if story.switches_source:
        left_out.add(What.SOURCE)  # it is then left as that person switched it, and a person has to switch it back
    kept = (happening for happening in found if happening.what not in left_out)
    return tuple(sorted(kept, key=lambda happening: happening.at))


def _happening(chance: random.Random, what: What) -> Happening:
    return Happening(
        at=chance.uniform(0, BUSY_SECONDS),
        what=what,
        number=chance.choice((1, 2, 3)),
        seconds=chance.choice((2, 10, 40, 120)) if what in LASTING else 0,
    )
