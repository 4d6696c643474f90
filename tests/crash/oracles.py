"""What must be true at every moment of a life, whatever goes wrong; looked at after every pass that wrote anything."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.crash.random_story import Story, What
from tests.support.simulation import Simulation

from vmclone_operator.domain.revision import is_current, revision_of
from vmclone_operator.kube.cluster import Document, Key, Kind
from vmclone_operator.providers.fake import Point
from vmclone_operator.providers.fake.state import Machine

_WIPING = (What.WIPE_STATUS, What.WIPE_LABELS, What.WIPE_FINALIZERS)
_MOST_AT_ONCE = 400
"""Passes in one moment; a right engine needs a few dozen."""


@dataclass
class Oracles:
    """Follows one simulation; raises AssertionError the moment that a promise is broken."""

    sim: Simulation
    story: Story
    excused: set[str] = field(default_factory=set)
    """Uids of replicas that somebody else deleted, or whose VM somebody else took away."""
    unrecorded: set[str] = field(default_factory=set)
    """Of these, whose VM went before it was written down that it was complete; it never ran, and is made once more."""
    sessions: dict[tuple[str, str], str] = field(default_factory=dict)
    """The session of each VMClone's ordinal."""
    going: set[str] = field(default_factory=set)
    broken: str = ""
    """What was seen at a moment that nobody can stop at."""
    _seen: tuple[int, int] = (-1, -1)
    _still: tuple[float, int] = (-1.0, 0)

    def __post_init__(self) -> None:
        """Hear of every change, as it is made."""
        self.sim.cluster.watchers.append(self._told)

    def look(self) -> None:
        """Hold what is at the hypervisor now against what must be true at any time."""
        assert not self.broken, self.broken
        self._moves_on()
        seen = (self.sim.world.effects.writes, len(self.sim.cluster.writes))
        if seen == self._seen:
            return
        self._seen = seen
        machines = self.sim.world.state.machines.values()
        for machine in machines:
            assert machine.foreign or _nobody_yet(machine) or _is_itself(machine), f"{machine.name} is up as its source"
        self._once(machine for machine in machines if machine.stamp is not None and not machine.foreign)
        self._none_destroyed()
        self._in_turn()
        effects = self.sim.world.effects
        assert not effects.foreign_touched, f"foreign: {effects.foreign_touched}"
        # Of a VM that is taken away, and whose replica then loses its ledger, nobody knows that it ever was.
        unknown = self.excused if self.story.had(What.WIPE_STATUS) else self.unrecorded
        twice = {uid: count for uid, count in effects.creates.items() if count > 1 and uid not in unknown}
        assert not twice, f"made twice: {twice}"

    def called(self, point: Point) -> None:
        """Look at a call that is about to be made: a clone is asked for by an intent that is written down."""
        if (point.verb, point.call) != ("start_clone", "define") or self.story.had(What.WIPE_STATUS):
            return
        intents = [d.get("status", {}).get("intent", {}) for d in self._replicas()]
        written = {intent.get("vmName"): intent.get("frozenPoint") for intent in intents}
        if not written.get(point.target) and point.target.startswith("dev"):
            self.broken = self.broken or f"{point.target} is made without an intent"

    def _in_turn(self) -> None:
        """No more clones are made at a time than was wished; one whose step failed gives its place to others."""
        unclear = self.story.rate or self.story.stays or self.story.had(What.SILENT, What.GAP, *_WIPING)
        if self.story.clean or unclear:
            return
        machines = [m for m in self.sim.world.state.machines.values() if m.stamp and m.stamp.vmclone == "dev"]
        unplugged = [m.name for m in machines if not m.foreign and not m.connected]
        assert len(unplugged) <= self.story.at_once, f"made at a time: {unplugged}"

    def _replicas(self) -> list[Document]:
        return [document for key, document in self.sim.cluster.documents.items() if key.kind is Kind.REPLICA]

    def _moves_on(self) -> None:
        """Time passes: a pass that wakes itself at once, for ever, is a spin."""
        now = self.sim.clock()
        self._still = (now, self._still[1] + 1 if self._still[0] == now else 0)
        assert self._still[1] < _MOST_AT_ONCE, f"it spins at {now} s: {sorted(map(str, self.sim.queue.due))}"

    def _once(self, machines: Any) -> None:
        places = Counter((m.stamp.vmclone_uid, m.stamp.ordinal) for m in machines)
        twice = [place for place, count in places.items() if count > 1]
        assert not twice, f"two VMs of one ordinal: {twice}"

    def _none_destroyed(self) -> None:
        """A VM goes only after its replica was asked to."""
        for key, document in self.sim.cluster.documents.items():
            if key.kind is Kind.REPLICA and not document["metadata"].get("deletionTimestamp"):
                uid = document["metadata"]["uid"]
                assert uid not in self.sim.world.effects.deletes, f"{key} is wanted, and its VM was destroyed"

    def _told(self, kind: Kind, event: str, document: Document) -> None:
        if kind is Kind.REPLICA:
            self._keeps_session(document)
            if event == "DELETED" or document["metadata"].get("deletionTimestamp"):
                self._goes_for_a_reason(document)
        if kind is Kind.JOB and event == "ADDED":
            self._may_copy(document)

    def _keeps_session(self, replica: Document) -> None:
        spec = replica["spec"]
        place = (spec["vmCloneUID"], str(spec["ordinal"]))
        known = self.sessions.setdefault(place, spec["session"])
        assert known == spec["session"], f"the session of {place} became {spec['session']}, it was {known}"

    def _goes_for_a_reason(self, replica: Document) -> None:
        meta, spec = replica["metadata"], replica["spec"]
        if meta["uid"] in self.going:
            return
        self.going.add(meta["uid"])
        owner = self.sim.cluster.documents.get(Key(Kind.VMCLONE, meta["namespace"], _parent(replica)))
        if meta["uid"] in self.excused or owner is None or owner["metadata"]["uid"] != spec["vmCloneUID"]:
            return
        if owner["metadata"].get("deletionTimestamp"):
            return
        wish, siblings = owner["spec"], [d for d in self._replicas() if d["spec"]["vmCloneUID"] == spec["vmCloneUID"]]
        uids = {meta["uid"], *(d["metadata"]["uid"] for d in siblings)}
        revision = spec.get("revision", "")
        old = wish.get("rollout", {}).get("update") == "Recreate" and not is_current(revision, revision_of(wish))
        assert old or len(uids) > wish["replicas"], f"{meta['name']} was removed for no reason"
        staying = (d for d in siblings if not d["metadata"].get("deletionTimestamp"))
        higher = [d["spec"]["ordinal"] for d in staying if d["metadata"]["uid"] not in self.excused]
        assert old or max(higher, default=0) <= spec["ordinal"], f"{meta['name']} was removed, and not {higher}"

    def _may_copy(self, job: Document) -> None:
        uid = job["metadata"]["labels"]["vmclone.dev/incarnation"]
        told = [d.get("status", {}).get("operation", {}) for d in self._replicas() if d["metadata"]["uid"] == uid]
        tokens = [operation.get("token") for operation in told]
        intended = self.story.had(What.WIPE_STATUS) or job["metadata"]["name"].rpartition("-")[2] in tokens
        assert intended, "a Job without an intent"
        at_once = max(self.sim.kubelet.most_at_once.values(), default=0)
        assert at_once <= 1 or not self.story.one_copy, f"{at_once} copies at a time"
        busy = [run.incarnation for run in self.sim.kubelet.running()]
        assert busy.count(uid) <= 1, "two copies into one clone"
        machines = [m for m in self.sim.world.state.machines.values() if m.stamp and m.stamp.incarnation == uid]
        assert all(m.guest.copy_keys for m in machines), "a copy that its clone does not let in"


def _nobody_yet(machine: Machine) -> bool:
    return not machine.connected or not machine.guest.machine_id


def _is_itself(machine: Machine) -> bool:
    return machine.guest.machine_id == machine.machine_id


def _parent(replica: Document) -> str:
    name: str = replica["metadata"]["name"]
    return name.removesuffix(f"-{replica['spec']['ordinal']}")
