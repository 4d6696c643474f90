"""Changes over a real libvirtd: more, fewer, other and orphaned clones, and clones of clones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.contract.libvirt_backend import MARKER
from tests.crash.libvirt_site import Site
from tests.integration.libvirt import shapes
from tests.support.unbooted_story import NAMESPACE, Story

from vmclone_operator.domain import naming
from vmclone_operator.kube.cluster import Key, Kind
from vmclone_operator.providers.libvirt import domain_xml
from vmclone_operator.providers.libvirt.shape_xml import shape_of
from vmclone_operator.providers.libvirt.stamp import read_stamp

pytestmark = pytest.mark.libvirt


def uids(story: Story, count: int) -> list[str]:
    return [story.uid(ordinal) for ordinal in range(1, count + 1)]


def cpus(story: Story, count: int) -> list[int]:
    """Return how many processors each of the first clones has."""
    found = [domain_xml.parsed(story.clone(ordinal).XMLDesc()) for ordinal in range(1, count + 1)]
    return [shape_of(xml).cpus for xml in found]


def own_disk(story: Story, ordinal: int, name: str = "") -> str:
    """Return the path of a clone's own disk."""
    xml = domain_xml.parsed(story.clone(ordinal, name).XMLDesc())
    return next(disk.path for disk in domain_xml.disks(xml) if disk.target == "vda")


def delivered(site: Site) -> int:
    return sum("links=True" in line for line in site.look().clones)


def test_one_to_three_to_one_keeps_the_first_vm_and_freezes_once(story: Story) -> None:
    story.make(replicas=1)
    first, disk = story.clone(1).UUIDString(), own_disk(story, 1)
    story.make(replicas=3)
    assert len(story.site.look().clones) == 3
    story.make(replicas=1)
    assert (story.clone(1).UUIDString(), own_disk(story, 1)) == (first, disk)
    assert len(story.site.look().clones) == 1
    assert story.site.look().files == ("clone 1 seed.iso x1", "clone 1 vda.qcow2 x1", "frozen vda whole x1")
    assert sorted(story.host.defines.values()) == [1, 1, 1]
    assert sum(point.call == "copy_disks" for point in story.host.schedule.trace) == 1


@pytest.mark.parametrize("most", [1, 2])
def test_recreate_replaces_every_clone_and_keeps_the_rest_delivered(story: Story, most: int) -> None:
    story.make(replicas=3)
    before, fewest = uids(story, 3), 3
    story.wish(replicas=3, template={"cpus": 2}, rollout={"update": "Recreate", "maxUnavailable": most})

    def rolled_out() -> bool:
        nonlocal fewest
        fewest = min(fewest, delivered(story.site))
        return story.is_ready("", 3) and story.status().get("updatedReplicas") == 3

    story.run_until(rolled_out, "the rollout did not end")
    assert fewest == 3 - most
    assert not {*before} & {*uids(story, 3)}
    assert cpus(story, 3) == [2, 2, 2]
    assert len(story.site.look().clones) == 3
    assert not any("NOBODY" in line for line in story.site.look().files)


def test_a_changed_template_waits_for_the_deletion_of_each_replica(story: Story) -> None:
    story.make(replicas=2)
    story.wish(replicas=2, template={"cpus": 2})
    story.sim.run(600)
    assert cpus(story, 2) == [1, 1]
    story.sim.cluster.remove(Key(Kind.REPLICA, NAMESPACE, f"{story.name}-2"))
    story.sim.run(5)
    story.wait_ready(replicas=2)
    assert cpus(story, 2) == [1, 2]


def test_auto_makes_linked_clones_where_they_are_to_be_had_and_says_so(story: Story) -> None:
    story.make(replicas=1, disk={"copy": "Auto"})
    assert story.status()["copy"] == {"requested": "Auto", "actual": "Linked"}
    assert "frozen vda whole x1" in story.site.look().files


def test_a_template_gives_a_clone_its_processors_memory_and_networks(story: Story) -> None:
    connection, name = story.site.facts.connection, story.name
    wish: dict[str, Any] = {"template": {"cpus": 3, "memory": "48Mi", "networks": [name, name]}}
    story.wish(replicas=1, **wish)
    story.run_until(lambda: story.told("Stalled")[0] == "Blocked", "it was made all the same")
    assert f"there is no network {name}" in story.told("Stalled")[1]
    assert story.site.look().clones == ()
    network = connection.networkCreateXML(f"<network><name>{name}</name></network>")
    try:
        story.wait_ready(replicas=1)
        shape = shape_of(domain_xml.parsed(story.clone(1).XMLDesc()))
        assert (shape.cpus, shape.memory_bytes, shape.networks) == (3, 48 << 20, (name, name))
        assert story.told("Drifted") == ("", "")
    finally:
        network.destroy()


def test_a_paused_wish_changes_nothing_and_is_deleted_all_the_same(story: Story) -> None:
    story.make(replicas=1)
    before = story.site.look()
    story.wish(replicas=3, paused=True, template={"cpus": 2}, rollout={"update": "Recreate"})
    story.sim.run(600)
    assert story.site.look() == before
    story.remove()
    assert (story.site.look().clones, story.site.look().files) == ((), ())


def test_an_orphan_stays_with_its_disks_and_what_they_stand_on_and_is_nobodys(story: Story) -> None:
    orphan: dict[str, Any] = {"deletion": {"onDelete": "Orphan"}}
    story.make(replicas=1, **orphan)
    left, disk = story.clone(1), own_disk(story, 1)
    frozen = [name for name in story.site.facts.volume_names() if name.endswith(".off.qcow2")]
    story.remove()
    assert read_stamp(domain_xml.parsed(left.XMLDesc())) is None
    shapes.qemu_img("check", "-q", disk)
    assert {*frozen} <= {*story.site.facts.volume_names()}
    assert shapes.content(story.site.facts, disk, 1) == MARKER


def test_an_orphan_whose_disks_were_copied_in_full_stands_alone(story: Story) -> None:
    story.make(replicas=1, deletion={"onDelete": "Orphan"}, disk={"copy": "Full"})
    disk = own_disk(story, 1)
    story.remove()
    assert "frozen vda whole x1" not in story.site.look().files
    assert shapes.content(story.site.facts, disk, 1) == MARKER


def test_a_session_is_cloned_with_all_that_was_done_on_it(story: Story) -> None:
    facts, second = story.site.facts, f"{story.name}-second"
    story.grant(cloneOfClones=True)
    story.make(replicas=1)
    shapes.write(Path(own_disk(story, 1)), "qcow2", 3, "W")
    story.make(second, replicas=1, source={"session": story.name})
    assert story.status(second)["source"]["id"] == story.clone(1).UUIDString()
    disk = own_disk(story, 1, second)
    story.remove()
    assert story.is_ready(second, 1)
    assert shapes.content(facts, disk, 4) == MARKER + shapes.letters("..W")
    story.remove(second)
    assert (story.site.look().clones, story.site.look().files) == ((), ())


def test_without_the_owners_word_a_session_is_not_cloned(story: Story) -> None:
    second = f"{story.name}-second"
    story.make(replicas=1)
    before = story.site.look()
    story.wish(second, replicas=1, source={"session": story.name})
    story.sim.run(300)
    assert story.told("Stalled", second)[0] == "ModeNotAllowed"
    assert story.site.look() == before


def test_the_second_of_two_wishes_with_one_session_makes_nothing_and_names_the_first(story: Story) -> None:
    second = f"{story.name}-second"
    story.make(replicas=1, sessionPrefix="shared")
    before = story.site.look()
    story.wish(second, replicas=1, sessionPrefix="shared")
    story.sim.run(300)
    reason, message = story.told("Stalled", second)
    assert reason == "SessionConflict"
    assert story.name in message
    assert story.site.look() == before


def test_one_clone_whose_name_is_taken_does_not_hold_up_the_others(story: Story) -> None:
    facts = story.site.facts
    story.wish(replicas=3)
    story.run_until(
        lambda: Key(Kind.REPLICA, NAMESPACE, f"{story.name}-2") in story.sim.cluster.documents, "no replica"
    )
    taken = naming.vm_name(f"{story.name}-2", story.uid(2))
    stranger = facts.make_domain(taken, disk=facts.make_volume("theirs.img"))
    xml = stranger.XMLDesc()
    try:
        story.run_until(lambda: story.status().get("readyReplicas") == 2, "the others never ready")
        story.sim.run(600)
        assert story.told("Stalled", ordinal=2)[0] == "TargetConflict"
        assert story.status()["readyReplicas"] == 2
        assert stranger.XMLDesc() == xml
    finally:
        stranger.undefine()
    story.wait_ready(replicas=3)
