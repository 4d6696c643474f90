"""Over a real libvirtd: wishes that come back find their VMs, and files that nobody has any more are found and go."""

from __future__ import annotations

import pytest
from tests.support.restoring import lose, restore
from tests.support.unbooted_story import INSTANCE, NAMESPACE, Story

from vmclone_operator.domain import naming
from vmclone_operator.kube.cluster import Key, Kind

pytestmark = pytest.mark.libvirt
LAB = Key(Kind.BACKEND, "", "lab")


def leftovers_of(story: Story, *uids: str) -> list[tuple[str, str]]:
    """Return kind and id of what the CloneBackend reports of these owners: other tests share the host."""
    prefixes = tuple(make(INSTANCE, uid) for uid in uids for make in (naming.volume_prefix, naming.frozen_prefix))
    rows = story.sim.cluster.documents[LAB]["status"].get("orphans", [])
    return [(r["kind"], r["externalID"]) for r in rows if f"{r['externalID']}-".startswith(prefixes)]


def remove_asked(story: Story, name: str) -> None:
    annotations = {"vmclone.dev/remove-orphans": name}
    story.sim.cluster.overwrite(LAB, lambda d: d["metadata"].update(annotations=annotations))
    story.sim.run(180)


@pytest.mark.parametrize("copy", ["Linked", "Full"])
def test_a_restored_wish_goes_on_with_its_vms_and_takes_all_along_when_it_goes(story: Story, copy: str) -> None:
    disk = {"copy": copy}
    story.make(replicas=2, disk=disk)
    before, uids = story.site.look(), [story.uid(ordinal) for ordinal in (1, 2)]
    lose(story.sim)
    restore(story.sim, story.name, replicas=2, disk=disk)
    story.wait_ready(replicas=2)
    found = [story.sim.get(Kind.REPLICA, f"{story.name}-{ordinal}", NAMESPACE) or {} for ordinal in (1, 2)]
    assert [document["spec"]["adopted"]["incarnation"] for document in found] == uids
    assert story.site.look() == before
    assert sorted(story.host.defines.values()) == sorted(story.host.boots.values()) == [1, 1]
    story.make(replicas=1, disk=disk)
    assert [line.split()[1] for line in story.site.look().clones] == ["1"]
    story.remove()
    assert (story.site.look().clones, story.site.look().files) == ((), ())
    assert story.site.look().others == before.others


def test_files_of_a_vm_that_is_gone_and_then_its_frozen_point_go_when_they_are_named(story: Story) -> None:
    story.make(replicas=1)
    document = story.find()
    assert document is not None
    uid, wish, before = story.uid(1), document["metadata"]["uid"], story.site.look()
    story.clone(1).undefine()
    lose(story.sim)
    story.sim.run(180)
    ((kind, volume),) = leftovers_of(story, uid, wish)
    assert (kind, f"{volume}-") == ("Volume", naming.volume_prefix(INSTANCE, uid))
    remove_asked(story, volume)
    ((kind, point),) = leftovers_of(story, uid, wish)
    assert kind == "FrozenPoint"
    assert story.site.look().files == ("frozen vda whole x1",)
    remove_asked(story, point)
    assert leftovers_of(story, uid, wish) == []
    assert (story.site.look().files, story.site.look().others) == ((), before.others)
