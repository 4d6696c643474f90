"""Stories of sessions as sources: a clone is cloned, when the owner of its source allows that."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from tests.crash.lives import wait_ready
from tests.support import manifests
from tests.support.refs import ref_to
from tests.support.simulation import Simulation
from tests.support.stories import condition, ready, replica, vmclone
from tests.support.two_hosts import with_two_hosts

from vmclone_operator.domain.backend import Power
from vmclone_operator.domain.errors import SourceNotFound
from vmclone_operator.domain.naming import clone_uuid
from vmclone_operator.engine.source.session_source import SessionSource, described
from vmclone_operator.kube.cluster import Key, Kind

SECOND = Key(Kind.VMCLONE, "team-a", "second")


def allowed(**source: Any) -> Simulation:
    """Return an operator with two ready clones, whose source allows clones of clones."""
    sim = ready(2)
    sim.cluster.apply(Kind.SOURCE, manifests.source(**{"cloneOfClones": True, **source}))
    return sim


def wish(sim: Simulation, session: str = "dev-2", *, namespace: str = "team-a", replicas: int = 1, **spec: Any) -> None:
    """Wish for clones of a session."""
    wanted = {"source": {"session": session}, **spec}
    sim.cluster.apply(Kind.VMCLONE, manifests.vmclone("second", namespace, replicas=replicas, **wanted))


def told(sim: Simulation, kind: str) -> str:
    """Return a condition's message of the second VMClone."""
    conditions = vmclone(sim, "second")["status"]["conditions"]
    return str(next(c["message"] for c in conditions if c["type"] == kind))


def is_ready(sim: Simulation) -> bool:
    """Return whether the second VMClone is ready."""
    return condition(sim.get(Kind.VMCLONE, "second", "team-a") or {"status": {}}, "Ready") == ("True", "AllReady")


def test_a_ready_clone_can_be_cloned_by_its_session() -> None:
    sim = allowed()
    wish(sim)
    sim.run(600, until=lambda: is_ready(sim))
    assert is_ready(sim)
    origin = clone_uuid(replica(sim, 2)["metadata"]["uid"])
    assert vmclone(sim, "second")["status"]["source"]["id"] == origin
    assert vmclone(sim, "second")["status"]["source"]["cloneSource"] == "golden-dev"
    identities = {m.guest.machine_id for m in sim.world.state.machines.values()}
    assert len(identities) == len(sim.world.state.machines) == 4


def test_clones_of_clones_are_nobodys_right_unless_the_owner_says_so() -> None:
    sim = ready(2)
    before = sim.world.effects.writes
    wish(sim)
    sim.run(300)
    assert condition(vmclone(sim, "second"), "Stalled") == ("True", "ModeNotAllowed")
    assert "cloneOfClones" in told(sim, "Stalled")
    assert sim.world.effects.writes == before


def test_a_session_of_another_namespace_is_not_there_and_is_not_named() -> None:
    sim = allowed()
    wish(sim, namespace="team-b")
    sim.run(120)
    document = sim.get(Kind.VMCLONE, "second", "team-b")
    assert document is not None
    assert condition(document, "Stalled") == ("True", "SourceNotFound")
    message = next(c["message"] for c in document["status"]["conditions"] if c["type"] == "Stalled")
    assert "session dev-1" not in message


def test_an_unknown_session_names_those_that_may_be_cloned() -> None:
    sim = allowed()
    wish(sim, "dev-9")
    sim.run(120)
    assert condition(vmclone(sim, "second"), "Stalled") == ("True", "SourceNotFound")
    assert all(name in told(sim, "Stalled") for name in ("session dev-1", "session dev-2", "golden-dev"))


def test_a_session_that_is_not_ready_yet_is_waited_for() -> None:
    sim = ready(1)
    sim.cluster.apply(Kind.SOURCE, manifests.source(cloneOfClones=True))
    sim.cluster.apply(Kind.VMCLONE, manifests.vmclone(replicas=2))
    wish(sim)
    sim.run(20)
    assert condition(vmclone(sim, "second"), "Reconciling")[0] == "True"
    sim.run(900, until=lambda: is_ready(sim))
    assert is_ready(sim)


def test_clones_of_clones_count_against_the_limits_of_the_root() -> None:
    sim = allowed(limits={"maxClones": 3})
    wish(sim, replicas=2)
    sim.run(120)
    assert condition(vmclone(sim, "second"), "Stalled") == ("True", "QuotaExceeded")
    sim.cluster.apply(Kind.VMCLONE, manifests.vmclone("second", replicas=1, source={"session": "dev-2"}))
    sim.run(600, until=lambda: is_ready(sim))
    assert is_ready(sim)


def test_a_revoked_word_stops_new_clones_of_clones_and_keeps_those_that_are_there() -> None:
    sim = allowed()
    wish(sim)
    sim.run(600, until=lambda: is_ready(sim))
    sim.cluster.apply(Kind.SOURCE, manifests.source())
    wish(sim, replicas=3)
    sim.run(300)
    assert condition(vmclone(sim, "second"), "Stalled") == ("True", "ModeNotAllowed")
    assert len(sim.world.inventory().clones) == 3


def test_a_session_is_cloned_in_mode_disk_only() -> None:
    sim = allowed(modes=["Disk", "Clean"], images=[{"backend": "lab", "volume": "golden"}], home=manifests.HOME)
    wish(sim, mode="Clean")
    sim.run(120)
    assert condition(vmclone(sim, "second"), "Stalled") == ("True", "ModeNotAllowed")


def test_a_session_that_was_rebuilt_is_another_source_and_frozen_anew() -> None:
    sim = allowed()
    wish(sim)
    sim.run(600, until=lambda: is_ready(sim))
    first = vmclone(sim, "second")["status"]["source"]["id"]
    sim.cluster.remove(Key(Kind.REPLICA, "team-a", "dev-2"))
    sim.run(120)
    wait_ready(sim, 2)
    wish(sim, replicas=2)
    sim.run(900, until=lambda: vmclone(sim, "second")["status"]["readyReplicas"] == 2)
    assert vmclone(sim, "second")["status"]["readyReplicas"] == 2
    assert vmclone(sim, "second")["status"]["source"]["id"] != first
    notes = [d["note"] for key, d in sim.cluster.documents.items() if key.kind is Kind.EVENT]
    assert any("frozen again for 1 replicas" in note for note in notes)


def test_clones_outlive_the_clone_that_they_were_made_from() -> None:
    sim = allowed()
    wish(sim)
    sim.run(600, until=lambda: is_ready(sim))
    sim.cluster.remove(Key(Kind.VMCLONE, "team-a", "dev"))
    sim.run(300)
    assert sim.get(Kind.VMCLONE, "dev", "team-a") is None
    assert condition(vmclone(sim, "second"), "Ready")[0] == "True"
    sim.cluster.remove(SECOND)
    sim.run(300)
    assert (sim.world.inventory().files, sim.world.inventory().frozen_points) == ((), ())


def test_a_vm_that_carries_another_stamp_is_no_source() -> None:
    """Looked up and compared live: what a replica says of itself is not enough."""
    sim = allowed()
    incarnation = replica(sim, 2)["metadata"]["uid"]
    stamp = sim.world.state.machines[clone_uuid(incarnation)].stamp
    assert stamp is not None
    another = SessionSource(
        session="dev-2", ref=ref_to(replace(stamp, ordinal=9)), backend="lab", clone_source="golden-dev", ready=True
    )
    with pytest.raises(SourceNotFound):
        asyncio.run(described(sim.engine, another))


def test_the_power_of_a_session_s_clone_is_not_switched_for_its_clones() -> None:
    sim = allowed()
    wish(sim, sourcePower="StopForClone")
    sim.run(300)
    assert condition(vmclone(sim, "second"), "Stalled") == ("True", "SourcePowerNotAllowed")
    assert all(machine.power is Power.ON for machine in sim.world.state.machines.values())


def test_a_clone_of_a_session_on_another_host_takes_its_frozen_point_along_although_its_status_was_wiped() -> None:
    sim, hosts = with_two_hosts()
    sim.world.add_source("golden-dev")
    images = [{"backend": "other", "volume": "golden"}]
    for kind, document in (
        (Kind.SECRET, manifests.home_key()),
        (Kind.BACKEND, manifests.backend()),
        (Kind.BACKEND, manifests.backend("other")),
        (Kind.SOURCE, manifests.clean_source(images=images, modes=["Clean", "Disk"], cloneOfClones=True)),
        (Kind.VMCLONE, manifests.vmclone(replicas=1, backend={"name": "other"})),
    ):
        sim.cluster.apply(kind, document)
    wait_ready(sim, 1)
    before = hosts.worlds["other"].inventory().frozen_points
    wish(sim, "dev", mode="Disk")
    sim.run(600, until=lambda: is_ready(sim))
    assert len(hosts.worlds["other"].inventory().frozen_points) == len(before) + 1, vmclone(sim, "second")["status"]
    sim.cluster.overwrite(SECOND, lambda d: d.update(status={"observedGeneration": -1}))
    sim.cluster.remove(SECOND)
    sim.run(300, until=lambda: SECOND not in sim.cluster.documents)
    assert hosts.worlds["other"].inventory().frozen_points == before
