"""Stories of mode Disk: nothing of the source's secrets reaches the network, and what is not proven is said so."""

from __future__ import annotations

from typing import Any

from tests.crash.lives import wait_ready
from tests.support import manifests
from tests.support.simulation import Simulation
from tests.support.stories import condition, replica, vmclone

from vmclone_operator.domain.naming import clone_uuid
from vmclone_operator.kube.cluster import Kind
from vmclone_operator.providers.fake.guest import Guest


def begin(*, guest: dict[str, Any], scrub: dict[str, Any] | None = None, **spec: Any) -> Simulation:
    """Start an operator with a source whose guest is like this, and wish for one clone of it."""
    sim = Simulation()
    machine = sim.world.add_source("golden-dev")
    for name, value in guest.items():
        setattr(machine.guest, name, value)
    wanted: dict[str, Any] = {"scrub": scrub} if scrub else {}
    for kind, document in (
        (Kind.BACKEND, manifests.backend()),
        (Kind.SOURCE, manifests.source(**wanted)),
        (Kind.VMCLONE, manifests.vmclone(replicas=1, **spec)),
    ):
        sim.cluster.apply(kind, document)
    return sim


def guest_of(sim: Simulation) -> Guest:
    """Return the guest of the one clone."""
    return sim.world.state.machines[clone_uuid(replica(sim, 1)["metadata"]["uid"])].guest


def boots(sim: Simulation) -> int:
    """Return how often the one clone was switched on."""
    return sim.world.effects.boots[replica(sim, 1)["metadata"]["uid"]]


def test_a_clone_of_a_disk_has_no_secret_left_and_says_what_went() -> None:
    sim = begin(guest={"secrets": 12})
    wait_ready(sim, 1)
    assert guest_of(sim).secrets == 0
    told = replica(sim, 1)["status"]["scrub"]
    assert (told["files"], bool(told["scope"]), bool(told["verifiedTime"])) == (12, True, True)


def test_the_owner_s_units_are_masked_before_the_clone_is_connected() -> None:
    sim = begin(guest={"secrets": 1}, scrub={"disableUnits": ["gitlab-runner.service"], "paths": ["/srv/app/secret"]})
    wait_ready(sim, 1)
    assert guest_of(sim).masked == {"gitlab-runner.service"}
    assert replica(sim, 1)["status"]["scrub"]["unitsMasked"] == 1


def test_a_file_system_that_keeps_old_content_holds_the_clone_back() -> None:
    sim = begin(guest={"secrets": 1, "file_system": "btrfs"})
    sim.run(600)
    assert condition(replica(sim, 1), "IdentityReset") == ("False", "ScrubUnverified")
    assert condition(vmclone(sim), "Stalled") == ("True", "ScrubUnverified")
    machine = sim.world.state.machines[clone_uuid(replica(sim, 1)["metadata"]["uid"])]
    assert not machine.connected


def test_a_user_who_accepts_that_gets_the_clone_and_the_condition_still_says_so() -> None:
    sim = begin(guest={"secrets": 1, "file_system": "btrfs"}, identity={"verify": "Warn"})
    wait_ready(sim, 1)
    assert condition(replica(sim, 1), "IdentityReset") == ("False", "ScrubUnverified")


def test_a_guest_that_asks_for_a_reboot_gets_it_before_it_is_connected() -> None:
    sim = begin(guest={"secrets": 1, "declares_reboot": True})
    wait_ready(sim, 1)
    assert boots(sim) == 2


def test_an_addition_that_no_guest_could_be_told_stops_everything_before_it_begins() -> None:
    sim = begin(guest={}, scrub={"paths": ["/etc/*"]})
    sim.run(120)
    status, reason = condition(vmclone(sim), "SourceReady")
    assert (status, reason) == ("False", "SourceUnhealthy")
    said = next(c["message"] for c in vmclone(sim)["status"]["conditions"] if c["type"] == "SourceReady")
    assert "spec.scrub" in said
    assert sim.world.effects.copies == {}
