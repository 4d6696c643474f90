"""What people do to clones behind the operator's back on a real libvirtd, and what it does about that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import libvirt
import pytest
from tests.support.stories import wipe
from tests.support.unbooted_story import NAMESPACE, Story

from vmclone_operator.kube.cluster import Document, Key, Kind
from vmclone_operator.providers.libvirt import domain_xml
from vmclone_operator.providers.libvirt.shape_xml import shape_of
from vmclone_operator.providers.libvirt.stamp import NAMESPACE as STAMP

pytestmark = pytest.mark.libvirt
LAB = Key(Kind.BACKEND, "", "lab")
CONFIG = libvirt.VIR_DOMAIN_AFFECT_CONFIG


def cpus(story: Story, ordinal: int) -> int:
    return shape_of(domain_xml.parsed(story.clone(ordinal).XMLDesc())).cpus


def lab(story: Story) -> Document:
    found = story.sim.get(Kind.BACKEND, "lab")
    assert found is not None
    return found


def annotate(story: Story, key: Key, **annotations: str) -> None:
    ours = {f"vmclone.dev/{name.replace('_', '-')}": value for name, value in annotations.items()}
    story.sim.cluster.overwrite(key, lambda document: document["metadata"].update(annotations=ours))


def test_a_clone_that_was_undefined_by_hand_is_made_again_and_leaves_no_file(story: Story) -> None:
    story.make(replicas=2)
    old = story.uid(2)
    story.clone(2).undefine()
    story.host.guests.pop(old)
    story.run_until(lambda: story.uid(2) not in ("", old), "it was not made again")
    story.sim.run(5)
    story.wait_ready(replicas=2)
    assert sorted(story.host.defines.values()) == [1, 1, 1]
    assert story.site.look().files == tuple(
        f"{whose} x1"
        for whose in (*(f"clone {n} {f}" for n in (1, 2) for f in ("seed.iso", "vda.qcow2")), "frozen vda whole")
    )


def test_a_clone_whose_stamp_was_taken_off_is_reported_and_never_touched(story: Story) -> None:
    story.make(replicas=1)
    taken = story.clone(1)
    mark = taken.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, STAMP, CONFIG)
    taken.setMetadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, None, None, STAMP, CONFIG)
    xml, files = taken.XMLDesc(), story.site.facts.volume_names()
    story.run_until(lambda: story.told("Drifted", ordinal=1)[0] == "Foreign", "it was not reported")
    story.sim.run(3600)
    assert story.told("Stalled")[0] == "Foreign"
    assert (taken.XMLDesc(), story.site.facts.volume_names()) == (xml, files)
    taken.setMetadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, mark, "vmclone", STAMP, CONFIG)
    story.wait_ready(replicas=1)
    assert story.told("Drifted", ordinal=1) == ("", "")
    assert sorted(story.host.defines.values()) == [1]


def _more_processors(clone: libvirt.virDomain) -> None:
    clone.setVcpusFlags(4, CONFIG | libvirt.VIR_DOMAIN_VCPU_MAXIMUM)
    clone.setVcpusFlags(4, CONFIG)


def _more_memory(clone: libvirt.virDomain) -> None:
    clone.setMemoryFlags(64 << 10, CONFIG | libvirt.VIR_DOMAIN_MEM_MAXIMUM)
    clone.setMemoryFlags(64 << 10, CONFIG)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(_more_processors, "1 CPU became 4", id="processors"),
        pytest.param(_more_memory, "32 MiB of memory became 64 MiB", id="memory"),
    ],
)
def test_a_clone_that_was_reconfigured_is_reported_and_stays_as_it_is(
    story: Story, change: Callable[[libvirt.virDomain], None], words: str
) -> None:
    story.make(replicas=1)
    old = story.uid(1)
    change(story.clone(1))
    xml = story.clone(1).XMLDesc()
    story.run_until(lambda: story.told("Drifted")[0] == "Reconfigured", "it was not reported")
    story.sim.run(600)
    assert words in story.told("Drifted")[1]
    assert story.is_ready("", 1)
    assert (story.uid(1), story.clone(1).XMLDesc()) == (old, xml)


def test_a_reconfigured_clone_is_made_anew_where_the_backend_says_so(story: Story) -> None:
    story.sim.cluster.apply(
        Kind.BACKEND, {**lab(story), "spec": {**lab(story)["spec"], "drift": {"action": "Recreate"}}}
    )
    story.make(replicas=2)
    old = [story.uid(1), story.uid(2)]
    _more_processors(story.clone(1))
    story.run_until(lambda: story.uid(1) not in ("", old[0]), "it was not made anew")
    story.sim.run(5)
    story.wait_ready(replicas=2)
    assert cpus(story, 1) == 1
    assert story.uid(2) == old[1]


def test_a_vm_that_was_left_behind_is_reported_and_goes_when_an_administrator_names_it(story: Story) -> None:
    story.make(replicas=1)
    left = story.clone(1)
    annotate(story, Key(Kind.VMCLONE, NAMESPACE, story.name), orphan_on_delete="true")
    story.remove()
    story.sim.run(300)
    (row,) = (row for row in lab(story)["status"]["orphans"] if row["externalID"] == left.UUIDString())
    assert row["vmclone"] == f"{NAMESPACE}/{story.name}"
    assert len(story.site.look().clones) == 1
    others = story.site.look().others
    annotate(story, LAB, remove_orphans=f"{left.UUIDString()},{story.site.facts.source_id}")
    story.sim.run(300)
    assert story.site.look().clones == ()
    assert story.site.look().others == others
    assert not [row for row in lab(story)["status"].get("orphans", []) if row["externalID"] == left.UUIDString()]


def test_objects_that_come_back_without_status_and_finalizers_find_their_vms(story: Story) -> None:
    story.make(replicas=2)
    seen, ids = story.site.look(), [story.clone(ordinal).UUIDString() for ordinal in (1, 2)]
    mine = (Kind.VMCLONE, Kind.REPLICA)
    for key in [key for key in story.sim.cluster.documents if key.kind in mine]:
        wipe(story.sim, key, finalizers=[])
    story.sim.restart()
    story.sim.run(600)
    story.wait_ready(replicas=2)
    assert [story.clone(ordinal).UUIDString() for ordinal in (1, 2)] == ids
    assert sorted(story.host.defines.values()) == sorted(story.host.boots.values()) == [1, 1]
    assert story.site.look().clones == seen.clones
    story.remove()
    assert (story.site.look().clones, story.site.look().files) == ((), ())


ORDERS: dict[str, tuple[Kind, ...]] = {
    "the wish first": (Kind.VMCLONE, Kind.SOURCE),
    "the grant first": (Kind.SOURCE, Kind.VMCLONE),
    "the replicas first": (Kind.REPLICA, Kind.VMCLONE, Kind.SOURCE),
}


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS.keys())
def test_deleted_in_any_order_with_the_operator_down_nothing_is_left(story: Story, order: tuple[Kind, ...]) -> None:
    story.make(replicas=2)
    names: dict[Kind, list[Any]] = {kind: [k for k in story.sim.cluster.documents if k.kind is kind] for kind in order}
    for kind in order:
        for key in names[kind]:
            story.sim.cluster.remove(key)
    story.sim.restart()
    story.run_until(lambda: story.find() is None, "the VMClone did not go")
    story.sim.run(120)
    assert (story.site.look().clones, story.site.look().files) == ((), ())


def test_a_wish_whose_backend_was_deleted_first_says_so_and_leaves_nothing_once_that_is_back(story: Story) -> None:
    story.make(replicas=2)
    kept, seen = lab(story), story.site.look()
    story.sim.cluster.remove(LAB)
    story.sim.cluster.remove(Key(Kind.VMCLONE, NAMESPACE, story.name))
    story.sim.restart()
    story.sim.run(300)
    reason, message = story.told("Deleting")
    assert reason == "BackendNotReady"
    assert "CloneBackend lab does not exist" in message
    for ordinal in (1, 2):
        reason, message = story.told("Deleting", ordinal=ordinal)
        assert reason == "BackendNotReady"
        assert "CloneBackend lab does not exist" in message
    assert story.site.look() == seen
    story.sim.cluster.apply(Kind.BACKEND, {"metadata": {"name": "lab"}, "spec": kept["spec"]})
    story.run_until(lambda: story.find() is None, "the VMClone did not go")
    assert (story.site.look().clones, story.site.look().files) == ((), ())
