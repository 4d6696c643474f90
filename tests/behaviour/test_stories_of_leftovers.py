"""Stories of files, Jobs and Secrets that nobody has any more: told to people, removed when they are named."""

from __future__ import annotations

import pytest
from tests.crash.lives import begin, begin_clean, wait_ready
from tests.support.restoring import lose, restore
from tests.support.simulation import Simulation
from tests.support.stories import condition, copying, reads, ready, replica

from vmclone_operator.domain import naming
from vmclone_operator.domain.naming import clone_uuid
from vmclone_operator.kube.cluster import Document, Key, Kind
from vmclone_operator.providers.fake import FaultSchedule
from vmclone_operator.providers.fake.state import Volume

LAB = Key(Kind.BACKEND, "", "lab")
NOBODY = "11111111-0000-4000-8000-000000000001"


def backend(sim: Simulation) -> Document:
    return sim.cluster.documents[LAB]


def told(sim: Simulation) -> list[tuple[str, str]]:
    """Return kind and id of what the CloneBackend says belongs to nobody."""
    return [(row["kind"], row["externalID"]) for row in backend(sim)["status"].get("orphans", [])]


def name_for_removal(sim: Simulation, *names: str) -> None:
    annotations = {"vmclone.dev/remove-orphans": ",".join(names)}
    sim.cluster.overwrite(LAB, lambda d: d["metadata"].update(annotations=annotations))


def events(sim: Simulation, reason: str, kind: str) -> list[Document]:
    found = [d for key, d in sim.cluster.documents.items() if key.kind is Kind.EVENT and d["reason"] == reason]
    return [event for event in found if event["regarding"]["kind"] == kind]


def abandoned(sim: Simulation) -> str:
    """Take the first clone's VM away and all objects with it; its files stay. Return its incarnation."""
    incarnation: str = replica(sim, 1)["metadata"]["uid"]
    sim.world.pool.remove(sim.world.state.machines[clone_uuid(incarnation)])
    lose(sim)
    return incarnation


def test_volumes_without_a_vm_are_reported_and_then_the_frozen_point_that_they_stood_on() -> None:
    sim = ready(1)
    incarnation = abandoned(sim)
    files = dict(sim.world.state.volumes)
    sim.run(300)
    ((kind, volume),) = told(sim)
    assert (kind, volume) == ("Volume", naming.volume_prefix("instance-1", incarnation).rstrip("-"))
    assert condition(backend(sim), "OrphansFound") == ("True", "OrphansFound")
    assert sim.world.state.volumes == files
    name_for_removal(sim, volume, "golden-dev", "vmclone-")
    sim.run(300)
    ((kind, point),) = told(sim)
    assert kind == "FrozenPoint"
    assert len(sim.world.inventory().frozen_points) == 1
    name_for_removal(sim, point)
    sim.run(300)
    assert (told(sim), condition(backend(sim), "OrphansFound")[0]) == ([], "absent")
    assert (sim.world.inventory().files, sim.world.inventory().frozen_points) == ((), ())
    assert sim.world.effects.foreign_touched == []
    assert len(events(sim, "OrphanRemoved", "CloneBackend")) == 2


def test_a_frozen_point_of_a_lost_wish_is_reported_when_no_clone_was_made_yet() -> None:
    sim = begin(FaultSchedule(), replicas=1)
    sim.run(600, until=lambda: bool(sim.world.state.images))
    lose(sim)
    sim.run(300)
    assert [kind for kind, _ in told(sim)] == ["FrozenPoint"]


@pytest.mark.parametrize("copy", ["Linked", "Full"])
def test_in_a_whole_life_nothing_of_the_living_is_ever_called_left_over(copy: str) -> None:
    sim = begin(FaultSchedule(), replicas=3, disk={"copy": copy})
    sim.world.clone_seconds, sim.world.copy_seconds = 300, 200
    wait_ready(sim, 3)
    assert events(sim, "OrphansFound", "CloneBackend") == []


def test_what_an_adopted_vm_stands_on_is_not_left_over() -> None:
    sim = ready(2)
    lose(sim)
    restore(sim, replicas=2)
    wait_ready(sim, 2)
    sim.run(600)
    assert condition(backend(sim), "OrphansFound")[0] == "absent"


def test_a_file_that_a_vm_uses_by_now_is_not_removed_although_it_is_named() -> None:
    sim = ready(1)
    incarnation = abandoned(sim)
    sim.run(120)
    ((_, volume),) = told(sim)
    sim.world.add_foreign("rescued", machine_uuid=clone_uuid(incarnation))
    files = dict(sim.world.state.volumes)
    name_for_removal(sim, volume)
    sim.run(300)
    assert sim.world.state.volumes == files
    assert sim.world.effects.foreign_touched == []


def test_another_installations_files_are_nobodys_business() -> None:
    sim = ready(1)
    for prefix in (naming.volume_prefix("instance-2", NOBODY), naming.frozen_prefix("instance-2", NOBODY)):
        sim.world.pool.insert_volume(Volume(name=f"{prefix}t1-vda", group=prefix, role="vda", token="t1"))
    sim.run(600)
    assert (told(sim), condition(backend(sim), "OrphansFound")[0]) == ([], "absent")


def test_secrets_of_clones_that_are_gone_are_told() -> None:
    sim = begin_clean(FaultSchedule(), replicas=1)
    sim.run(600, until=lambda: bool(seeds(sim)))
    lose(sim)
    sim.run(180)
    assert sim.engine.leftover_secrets == tuple(seeds(sim))
    assert [e["regarding"]["name"] for e in events(sim, "OrphansFound", "Secret")] == seeds(sim)
    restore(sim, replicas=1)
    wait_ready(sim, 1)
    sim.run(120)
    assert (seeds(sim), sim.engine.leftover_secrets) == ([], ())


def test_what_nobody_deletes_is_told_once_and_costs_the_api_server_no_further_look() -> None:
    sim = copying(1)
    lose(sim)
    sim.run(180)
    jobs, asked = sim.engine.leftover_jobs, reads(sim, 6 * 3600)
    assert [e["regarding"]["name"] for e in events(sim, "OrphansFound", "Job")] == list(jobs)
    assert len(events(sim, "OrphansFound", "Secret")) == len(sim.engine.leftover_secrets)
    each_minute, each_relist = 3, 4  # Jobs, Secrets and the key of the source's home
    assert asked <= 360 * each_minute + 36 * each_relist


def seeds(sim: Simulation) -> list[str]:
    """Return the Secrets of host keys."""
    return [
        key.name for key in sim.cluster.documents if key.kind is Kind.SECRET and key.name.startswith("vmclone-seed")
    ]


def test_the_key_of_a_copy_whose_clone_is_gone_is_told_beside_its_job() -> None:
    sim = copying(1)
    lose(sim)
    sim.run(180)
    assert len(sim.engine.leftover_jobs) == 1
    assert set(sim.engine.leftover_jobs) <= set(sim.engine.leftover_secrets)
    assert "home-key" not in sim.engine.leftover_secrets
