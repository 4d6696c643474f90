"""Stories of what CloneBackends and CloneSources tell the platform team, and of being asked to look again."""

from __future__ import annotations

from typing import Any

from tests.crash.lives import begin, wait_ready
from tests.support import manifests
from tests.support.simulation import Simulation
from tests.support.stories import DEV, condition, ready, replica

from vmclone_operator.domain.backend import Capabilities, Mode, Power
from vmclone_operator.domain.naming import clone_uuid
from vmclone_operator.kube.cluster import Document, Key, Kind
from vmclone_operator.providers.fake import Fault, FaultKind, FaultSchedule


def got(sim: Simulation, kind: Kind, name: str) -> Document:
    found = sim.get(kind, name)
    assert found is not None
    return found


def lab(sim: Simulation) -> Document:
    return got(sim, Kind.BACKEND, "lab")


def golden(sim: Simulation) -> Document:
    return got(sim, Kind.SOURCE, "golden-dev")


def unreachable(sim: Simulation) -> None:
    """Take the backend away: every call fails."""
    sim.schedule.choose = lambda point: Fault(kind=FaultKind.FAIL) if point.verb != "kube" else None


def look_again(sim: Simulation) -> None:
    """Have both passes run, as their own resync does."""
    for key in [key for key in sim.cluster.documents if key.kind in {Kind.BACKEND, Kind.SOURCE}]:
        sim.queue.add(key)
    sim.run(5)


def test_a_backend_says_what_it_can_do_and_that_it_was_reached() -> None:
    sim = Simulation()
    sim.world.capabilities = Capabilities(full=False, modes=frozenset({Mode.DISK}))
    sim.cluster.apply(Kind.BACKEND, manifests.backend())
    sim.run(5)
    assert lab(sim)["status"]["capabilities"] == {"modes": ["Disk"], "copies": ["Linked"]}
    assert condition(lab(sim), "Reachable") == ("True", "Reachable")
    assert condition(lab(sim), "CredentialsValid") == ("True", "CredentialsValid")


def test_credentials_that_are_refused_are_told_apart_from_a_host_that_is_away() -> None:
    sim = Simulation()
    sim.cluster.apply(Kind.BACKEND, manifests.backend(credentials={"secretRef": {"name": "none"}}))
    sim.run(5)
    assert condition(lab(sim), "CredentialsValid") == ("False", "CredentialsInvalid")
    assert all(c["type"] != "Reachable" for c in lab(sim)["status"]["conditions"])


def test_a_host_that_is_away_is_not_reachable_and_its_credentials_are_as_they_were() -> None:
    sim = ready(1)
    unreachable(sim)
    look_again(sim)
    for document in (lab(sim), golden(sim)):
        assert condition(document, "Reachable") == ("False", "BackendUnreachable")
    assert condition(lab(sim), "CredentialsValid")[0] == "True"
    sim.schedule.choose = lambda _: None
    look_again(sim)
    sim.run(60)
    for document in (lab(sim), golden(sim)):
        assert condition(document, "Reachable") == ("True", "Reachable")


def test_who_asks_for_a_reconcile_gets_the_full_look_now_and_the_echo_of_the_request() -> None:
    sim = ready(2)
    machines: dict[str, Any] = dict(sim.world.state.machines)
    clone = machines[clone_uuid(replica(sim, 1)["metadata"]["uid"])]
    sim.world.state.leases[clone.guest.machine_id] = "10.9.9.9"
    asked = {"vmclone.dev/reconcile-requested-at": "2026-01-01T00:00:00Z"}
    sim.cluster.overwrite(DEV, lambda d: d["metadata"].update(annotations=asked))
    sim.run(30)
    assert replica(sim, 1)["status"]["guest"]["addresses"] == ["10.9.9.9"]
    found = got_vmclone(sim)["status"]
    assert found["lastHandledReconcileAt"] == "2026-01-01T00:00:00Z"
    writes = len(sim.cluster.writes)
    sim.run(3600)
    assert len(sim.cluster.writes) == writes


def got_vmclone(sim: Simulation) -> Document:
    return sim.cluster.documents[DEV]


def ask_to_orphan(sim: Simulation, key: Key) -> None:
    """Say in so many words that the VM is to be left behind."""
    asked = {"vmclone.dev/orphan-on-delete": "true"}
    sim.cluster.overwrite(key, lambda d: d["metadata"].update(annotations=asked))


def notes(sim: Simulation) -> str:
    """Return what the Events say of what was left."""
    told = (d for key, d in sim.cluster.documents.items() if key.kind is Kind.EVENT and d["reason"] == "Orphaned")
    return "; ".join(d["note"] for d in told)


def test_a_vmclone_whose_backend_is_gone_for_good_goes_and_says_what_is_left() -> None:
    sim = ready(1)
    sim.cluster.remove(Key(Kind.BACKEND, "", "lab"))
    sim.cluster.remove(DEV)
    sim.run(60)
    ask_to_orphan(sim, DEV)
    sim.run(600)
    assert sim.get(Kind.VMCLONE, "dev", "team-a") is None
    assert "is left at backend lab" in notes(sim)
    assert "frozen points of team-a/dev may be left" in notes(sim)


def test_a_replica_that_is_left_behind_keeps_its_vm_and_is_made_anew_beside_it() -> None:
    sim = ready(1)
    key = Key(Kind.REPLICA, "team-a", "dev-1")
    before = replica(sim, 1)["metadata"]["uid"]
    ask_to_orphan(sim, key)
    sim.cluster.remove(key)
    sim.run(10)
    wait_ready(sim, 1)
    assert replica(sim, 1)["metadata"]["uid"] != before
    assert clone_uuid(before) in sim.world.state.machines


def test_a_source_that_stays_switched_is_named_when_its_backend_is_away_for_good() -> None:
    wish: dict[str, Any] = {"sourcePower": "StopForClone", "disk": {"consistency": "PoweredOff"}}
    sim = begin(FaultSchedule(), replicas=1, **wish)
    sim.run(600, until=lambda: sim.world.find("golden-dev").power is Power.OFF)
    unreachable(sim)
    sim.cluster.remove(DEV)
    sim.run(60)
    ask_to_orphan(sim, DEV)
    sim.run(600)
    assert sim.get(Kind.VMCLONE, "dev", "team-a") is None
    assert "its source switched Off, which was On before" in notes(sim)
