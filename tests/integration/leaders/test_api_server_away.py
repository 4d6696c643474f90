"""The API server goes away and comes back: nothing is destroyed meanwhile, and everything converges."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.integration.leaders.conftest import Start
from tests.integration.leaders.operators import ROOT, Place
from tests.support.cluster_cli import kubectl, wait_until

AWAY_SECONDS = 45
"""More than a lease: the leader ends by itself, and another process (in a cluster, its container) starts."""
CONVERGED_SECONDS = 60


@contextmanager
def stopped_api_server() -> Iterator[None]:
    """Stop the lab's API server without a word: connections stay open and nothing answers."""
    told = subprocess.run([str(ROOT / "hack/lab"), "status", "--json"], check=True, capture_output=True, text=True)
    process = int(json.loads(told.stdout)["processes"]["kube-apiserver"]["pid"])
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


def test_an_api_server_that_is_away_for_longer_than_a_lease(place: Place, start: Start) -> None:
    """The leader ends rather than go on unseen; the next one converges within a minute and destroys nothing."""
    first = start("first")
    first.wait_for('"leading"')
    place.apply("before", replicas=2)
    wait_until("its clones are ready", lambda: place.is_ready("before", 2), 60)
    effects = place.world["effects"]
    with stopped_api_server():
        wait_until("the leader has ended", first.ended, AWAY_SECONDS)
        assert place.world["effects"] == effects
    start("next").wait_for('"leading"', CONVERGED_SECONDS)
    place.apply("after")
    wait_until("it converges", lambda: place.is_ready("after") and place.is_ready("before", 2), CONVERGED_SECONDS)
    after = place.world["effects"]
    assert (after["deletes"], set(after["creates"].values()), len(after["creates"])) == ({}, {1}, 3)


def test_a_namespace_deleted_with_the_operator_down_goes_once_one_starts(place: Place, start: Start) -> None:
    """Every kind at once, in whatever order the namespace's controller takes: nothing is left at the backend."""
    first = start("first")
    first.wait_for('"leading"')
    place.apply("before", replicas=2)
    wait_until("its clones are ready", lambda: place.is_ready("before", 2), 60)
    first.send(signal.SIGKILL)
    kubectl("delete", "namespace", place.users, "--wait=false")
    kubectl("delete", "clonesource", place.namespace)
    following = start("next")
    following.wait_for('"leading"')
    wait_until("it is gone", place.users_are_gone, 60, explain=lambda: place.what_is_left() + following.last_words())
    world = place.world
    assert [m["name"] for m in world["machines"].values() if m["stamp"]] == []
    assert world["images"] == {}
    assert set(world["effects"]["deletes"].values()) == {1}
