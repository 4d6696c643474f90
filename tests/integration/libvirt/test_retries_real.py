"""Steps that take too long or fail over a real libvirtd: told in time, tried less and less often, begun anew."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.unbooted_story import NAMESPACE, Story

from vmclone_operator.domain import naming
from vmclone_operator.kube.cluster import Key, Kind

pytestmark = pytest.mark.libvirt
FULL: dict[str, Any] = {"disk": {"copy": "Full"}, "timeouts": {"clone": "1m"}}


def replica_key(story: Story) -> Key:
    return Key(Kind.REPLICA, NAMESPACE, f"{story.name}-1")


@pytest.fixture
def overdue(story: Story) -> Story:
    """Wish for a clone whose disks are copied for longer than they may be."""
    story.wish(replicas=1, **FULL)
    story.run_until(lambda: "completionTime" in str(story.status().get("frozenPoints")), "nothing to copy from")
    story.host.copies.clear()
    story.run_until(lambda: story.told("Stalled")[0] == "CloneTimedOut", "nobody was told")
    return story


def test_disks_that_take_longer_than_they_may_are_told_and_waited_for(overdue: Story) -> None:
    uid = overdue.uid(1)
    overdue.host.copies.set()
    overdue.wait_ready(replicas=1)
    assert (overdue.uid(1), overdue.told("Stalled", ordinal=1)) == (uid, ("", ""))
    assert overdue.host.copied_again == []
    assert [point.call for point in overdue.host.schedule.trace].count("_copy") == 1


def test_a_clone_that_took_too_long_is_begun_anew_when_its_replica_is_deleted(overdue: Story) -> None:
    uid = overdue.uid(1)
    overdue.sim.cluster.remove(replica_key(overdue))
    overdue.sim.run(60)
    assert overdue.uid(1) == uid, "who could tell yet that nothing will be left?"
    overdue.host.copies.set()
    overdue.run_until(lambda: overdue.uid(1) not in ("", uid), "it was not begun anew")
    overdue.wait_ready(replicas=1)
    assert list(overdue.host.defines) == [overdue.uid(1)]
    assert overdue.site.look().files[:2] == ("clone 1 seed.iso x1", "clone 1 vda.qcow2 x1")
    assert not any("NOBODY" in line for line in overdue.site.look().files)


def test_attempts_that_are_used_up_wait_for_a_person(story: Story) -> None:
    facts = story.site.facts
    story.wish(replicas=1, retry={"backoff": "1s", "maxAttempts": 3})
    story.run_until(lambda: replica_key(story) in story.sim.cluster.documents, "no replica")
    taken = naming.vm_name(story.name, story.uid(1))
    stranger = facts.make_domain(taken, disk=facts.make_volume("theirs.img"))
    try:
        story.sim.run(600)
        retry = story.sim.cluster.documents[replica_key(story)]["status"]["retry"]
        assert (retry["step"], retry["reason"], retry["failures"]) == ("Clone", "TargetConflict", 3)
        trace = len(story.host.schedule.trace)
        story.sim.run(3600)
        assert len(story.host.schedule.trace) == trace
    finally:
        stranger.undefine()
    ask = {"vmclone.dev/retry-at": "now"}
    story.sim.cluster.overwrite(replica_key(story), lambda document: document["metadata"].update(annotations=ask))
    story.wait_ready(replicas=1)
