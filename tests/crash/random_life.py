"""Lives one story: what a seed drew happens, and everything that was promised is held against what came of it.

`python -m tests.crash.random_life 4711`, from the root of the checkout, lives that seed alone.
"""

from __future__ import annotations

import random
import sys
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.crash.endings import check_nothing_left, check_settled
from tests.crash.happenings import VMCLONE, Happenings
from tests.crash.oracles import Oracles
from tests.crash.random_story import End, Story, What, story_of
from tests.support import manifests
from tests.support.simulation import Simulation

from vmclone_operator.domain.backend import Power, Stamp
from vmclone_operator.domain.naming import clone_uuid
from vmclone_operator.homecopy.outcome import Ended
from vmclone_operator.kube.cluster import Key, Kind
from vmclone_operator.providers.fake import Fault, FaultSchedule, Point, no_faults, seeded

NEIGHBOUR = Key(Kind.VMCLONE, "team-b", "other")
PATIENCE_SECONDS = 3600.0
"""Within this time a life converges, back-off included, whatever went wrong before."""
BACK_OFF_SECONDS = 320.0
"""A little more than anybody waits before it tries again."""
HEALED_SECONDS = 620.0
"""Within this time a lost event is made good."""
SETTLED_SECONDS = 600.0
"""So long nothing may be written once everything is as it was wished."""
FAULTY_CALLS = 400
"""Faults strike within so many calls while clones are made, and again when they go."""
_STRANGER = Stamp(instance="other", namespace="team-a", vmclone="dev", vmclone_uid="1", ordinal=1, incarnation="2")


class Life:
    """One story while it is lived."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.schedule = FaultSchedule()
        self.sim = Simulation(self.schedule, late_events=story.late_events)
        self.oracles = Oracles(self.sim, story)
        self.happenings = Happenings(story, self.sim, self.oracles)
        self.schedule.choose = self._strikes(story.seed)
        self._put_up()
        for stay in story.stays:
            self.sim.expect_second_leader(stay)
        self._foreign = self.sim.world.inventory().foreign

    def live(self) -> None:
        """Live to the end; raises AssertionError with what was not as promised."""
        if self.story.early:
            self._run(self.story.ends_at)
        else:
            self._converge()
            self._stay()
        self._end()

    def _put_up(self) -> None:
        story, sim = self.story, self.sim
        limits: dict[str, Any] = {"limits": {"maxParallelCopies": 1}} if story.one_copy else {}
        sim.world.clone_seconds = 4 if story.full else 0
        sim.world.add_source("golden-dev", power=Power.ON if story.source_on else Power.OFF)
        sim.world.add_image("golden")
        sim.world.add_foreign("bystander")
        sim.world.add_foreign("of-another-installation", stamp=_STRANGER)
        for kind, document in (
            (Kind.SECRET, manifests.home_key()),
            (Kind.BACKEND, manifests.backend()),
            (Kind.SOURCE, manifests.clean_source(**limits) if story.clean else manifests.source()),
        ):
            sim.cluster.apply(kind, document)
        self.happenings.plan()
        self.happenings.apply()
        if story.neighbour:
            sim.cluster.apply(Kind.VMCLONE, manifests.vmclone("other", "team-b", replicas=1))
        self._lose_some()

    def _lose_some(self) -> None:
        """Let some home copies end badly, and some reads at the API server be answered by nobody."""
        story, chance = self.story, random.Random(f"losses {self.story.seed}")  # noqa: S311  - repeatable on purpose
        endings = (Ended.COPIED, Ended.COPIED, Ended.INTERRUPTED, Ended.COPY_FAILED)
        self.sim.kubelet.outcomes = [chance.choice(endings) for _ in range(3)] if story.rate else []

        def lost() -> bool:
            return self.schedule.calls < FAULTY_CALLS and chance.random() < story.lost_reads

        self.sim.loses_read = lost if story.lost_reads else lambda: False

    def _strikes(self, seed: int, since: int = 0) -> Callable[[Point], Fault | None]:
        """Return what goes wrong in the next calls."""
        choose: Callable[[Point], Fault | None] = no_faults
        if self.story.rate:
            choose = seeded(seed, rate=self.story.rate, until=FAULTY_CALLS)
        strikes = None if self.story.strikes is None else dict(self.story.strikes)

        def strike(point: Point) -> Fault | None:
            self.oracles.called(point)
            away = self.happenings.struck(point)
            if strikes is not None:
                return away or strikes.get(point.index)
            return away or choose(replace(point, index=point.index - since))

        return strike

    def _run(self, seconds: float, *, until: Callable[[], bool] = lambda: False) -> None:
        def look() -> bool:
            self.oracles.look()
            return until()

        self.sim.run(seconds, until=look)
        self.oracles.look()
        frozen = self.sim.world.longest_freeze_seconds
        assert frozen <= 5, f"the source was frozen for {frozen} s"

    def _converge(self) -> None:
        over = max((h.at + h.seconds for h in self.story.happenings), default=0.0)
        self._run(over + 1)
        self._run(PATIENCE_SECONDS, until=self._ready)
        status = self.sim.cluster.documents.get(VMCLONE, {}).get("status")
        assert self._ready(), f"never ready: {status}"

    def _ready(self) -> bool:
        wanted = {VMCLONE: self.happenings.wish["replicas"]} | ({NEIGHBOUR: 1} if self.story.neighbour else {})
        return all(self._is_ready(key, replicas) for key, replicas in wanted.items())

    def _is_ready(self, key: Key, replicas: int) -> bool:
        document = self.sim.cluster.documents.get(key)
        if document is None or document["metadata"].get("deletionTimestamp"):
            return False
        status = document.get("status") or {}
        current = status.get("updatedReplicas", 0) if self.story.recreate and key == VMCLONE else replicas
        seen = status.get("observedGeneration") == document["metadata"]["generation"]
        return bool(seen and status.get("readyReplicas", 0) == replicas == status.get("replicas", 0) == current)

    def _stay(self) -> None:
        """Everything is as wished; and once nothing goes wrong any more, it stays so without a write."""
        sim = self.sim
        sim.schedule.choose = no_faults
        self._run(HEALED_SECONDS if self.story.had(What.SILENT, What.GAP) else BACK_OFF_SECONDS)
        assert self._ready(), "was ready, and is not any more"
        check_settled(sim, self.story, wanted=self.happenings.wish["replicas"] + self.story.neighbour)
        writes, changes, passes = len(sim.cluster.writes), sim.world.effects.writes, sim.passes
        self._run(SETTLED_SECONDS)
        assert not sim.cluster.writes[writes:], f"settled, and writes {sim.cluster.writes[writes:][:5]}"
        assert sim.world.effects.writes == changes, "settled, and changes the hypervisor"
        assert sim.passes - passes <= SETTLED_SECONDS / 4, "settled, and spins"

    def _end(self) -> None:
        """Everything is deleted, with faults again; nothing is left but what was to stay."""
        sim = self.sim
        if not self.story.early:
            sim.schedule.choose = self._strikes(self.story.seed + 1, self.schedule.calls)
        self.happenings.over = True
        delivered = self._delivered() if self.story.end in {End.ORPHAN, End.EARLY_ORPHAN} else set()
        for key in (VMCLONE, NEIGHBOUR):
            sim.cluster.remove(key)
        self._run(PATIENCE_SECONDS, until=lambda: not ({VMCLONE, NEIGHBOUR} & sim.cluster.documents.keys()))
        left = [str(key) for key in (VMCLONE, NEIGHBOUR) if key in sim.cluster.documents]
        assert not left, f"did not go: {left}"
        sim.schedule.choose = no_faults
        late = self.story.had(What.WIPE_STATUS) and self.story.had(What.SILENT, What.GAP)
        self._run(HEALED_SECONDS + 90 if late else 90)  # the sweeper tells what is left once the operator knows
        check_nothing_left(sim, self.story, foreign=self._foreign, delivered=delivered - self.happenings.taken)

    def _delivered(self) -> set[str]:
        """Return the names of the VMs that people were given."""
        found = set()
        for key, document in self.sim.cluster.documents.items():
            if key.kind is Kind.REPLICA and key.namespace == "team-a":
                machine = self.sim.world.state.machines.get(clone_uuid(document["metadata"]["uid"]))
                ready = document.get("status", {}).get("readyTime") and not document["metadata"].get(
                    "deletionTimestamp"
                )
                if machine is not None and machine.connected and ready:
                    found.add(machine.name)
        return found


def trouble(story: Story) -> str:
    """Return what is wrong with a life, empty when nothing is."""
    try:
        Life(story).live()
    except AssertionError as error:
        return str(error)[:1000]
    return ""


def main() -> int:
    """Live the seeds that are named, and say what came of each."""
    failed = 0
    for seed in map(int, sys.argv[1:]):
        story = story_of(seed)
        sys.stdout.write(f"{story}\n")
        try:
            Life(story).live()
        except AssertionError:
            failed += 1
            traceback.print_exc()
    return failed


if __name__ == "__main__":
    sys.exit(main())
