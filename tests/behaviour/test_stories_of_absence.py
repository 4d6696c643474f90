"""Stories of what is away for a while, with the figures that are promised: API server, events, a whole list of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.crash.lives import wait_ready
from tests.support.simulation import Simulation
from tests.support.stories import DEV, change, ready, ready_clean, wipe

from vmclone_operator.domain.naming import clone_uuid
from vmclone_operator.kube.cluster import Key, Kind
from vmclone_operator.providers.fake.state import Machine

AWAY_SECONDS = 600
CONVERGED_SECONDS = 60
HEALED_SECONDS = 600
REBUILT_SECONDS = 30


def vm_of(sim: Simulation, ordinal: int) -> Machine:
    uid = sim.cluster.documents[Key(Kind.REPLICA, "team-a", f"dev-{ordinal}")]["metadata"]["uid"]
    return sim.world.state.machines[clone_uuid(uid)]


@pytest.mark.parametrize("restarts", [True, False], ids=["the lease is lost", "the same operator"])
def test_ten_minutes_without_the_api_server_destroy_nothing_and_are_caught_up_with_in_a_minute(restarts: bool) -> None:
    """Meanwhile a clone was taken away at the backend, and the wish is for one more as soon as it can be said."""
    sim = ready(2)
    made = dict(sim.world.effects.creates)
    sim.api_away = True
    sim.world.remove_by_hand(vm_of(sim, 2))
    sim.run(AWAY_SECONDS)
    assert (sim.world.effects.creates, sim.world.effects.deletes) == (made, {})
    sim.api_away = False
    if restarts:
        sim.restart()
    change(sim, replicas=3)
    sim.run(CONVERGED_SECONDS, until=lambda: len(sim.world.effects.creates) == len(made) + 2)
    assert len(sim.world.effects.creates) == len(made) + 2
    wait_ready(sim, 3)
    assert (sim.world.effects.deletes, set(sim.world.effects.creates.values())) == ({}, {1})


def test_what_a_silent_watch_never_told_is_found_within_ten_minutes() -> None:
    sim = ready(1)
    sim.silence()
    change(sim, replicas=2)
    sim.run(HEALED_SECONDS, until=lambda: len(sim.world.effects.creates) == 2)
    assert len(sim.world.effects.creates) == 2
    sim.cluster.remove(DEV)
    sim.run(HEALED_SECONDS, until=lambda: sim.get(Kind.REPLICA, "dev-2", "team-a") is None)
    assert sim.get(Kind.REPLICA, "dev-2", "team-a") is None


@pytest.mark.parametrize("begun", [lambda: ready(2), lambda: ready_clean(2)], ids=["disk", "clean"])
def test_what_a_410_gap_swallowed_is_found_within_ten_minutes(begun: Callable[[], Simulation]) -> None:
    """Somebody forced a replica away, VM and all; the list that follows does not show it, and so says nothing of it."""
    sim, gone = begun(), Key(Kind.REPLICA, "team-a", "dev-2")
    sim.silence()
    machine = vm_of(sim, 2)
    sim.world.pool.remove(machine)
    for name in machine.volumes:
        sim.world.pool.lose_volume(name)
    sim.cluster.overwrite(gone, lambda document: document["metadata"].update(finalizers=[]))
    sim.cluster.remove(gone)
    sim.hear_again(listed=True)
    sim.run(HEALED_SECONDS, until=lambda: len(sim.world.effects.creates) == 3)
    assert len(sim.world.effects.creates) == 3
    wait_ready(sim, 2)


def test_everything_wiped_at_once_is_rebuilt_within_thirty_seconds_and_no_vm_is_made() -> None:
    """Status, finalizers, labels and owners of every object, in one moment."""
    sim = ready(2)
    made, keys = dict(sim.world.effects.creates), [Key(Kind.REPLICA, "team-a", f"dev-{n}") for n in (1, 2)]
    wipe(sim, DEV, finalizers=[], labels={})
    for key in keys:
        wipe(sim, key, finalizers=[], labels={})
    sim.run(REBUILT_SECONDS)
    for key in (DEV, *keys):
        document = sim.cluster.documents[key]
        assert document["metadata"]["finalizers"] == ["vmclone.dev/teardown"], key
        assert any(c["type"] == "Ready" and c["status"] == "True" for c in document["status"]["conditions"]), key
    assert sim.world.effects.creates == made
