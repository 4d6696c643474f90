"""How clones over a real libvirtd are handed over: on or off, and only with what their guests prove."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.stories import condition
from tests.support.unbooted_story import NAMESPACE, Story

from vmclone_operator.kube.cluster import Document, Kind
from vmclone_operator.providers.libvirt import domain_xml

pytestmark = pytest.mark.libvirt


@pytest.fixture(autouse=True)
def switched(story: Story) -> None:
    """Really switch the clones, though their guests are simulated."""
    story.host.switches_clones = True


def links_up(story: Story) -> bool:
    return domain_xml.links_up(domain_xml.parsed(story.clone(1).XMLDesc()))


def replica(story: Story) -> Document:
    found = story.sim.get(Kind.REPLICA, f"{story.name}-1", NAMESPACE)
    assert found is not None
    return found


def test_a_clone_delivered_off_was_on_once_for_its_identity_and_never_on_the_network(story: Story) -> None:
    seen: set[tuple[bool, bool]] = set()

    def ready() -> bool:
        if story.host.guests:
            seen.add((bool(story.clone(1).isActive()), links_up(story)))
        return story.is_ready("", 1)

    story.wish(replicas=1, template={"power": "Off"})
    story.run_until(ready, "it never was ready")
    story.sim.run(600)
    assert seen == {(True, False)}
    assert (bool(story.clone(1).isActive()), links_up(story)) == (False, True)
    assert list(story.host.boots.values()) == [1]
    assert condition(replica(story), "IdentityReset") == ("True", "Verified")


def test_a_disk_that_keeps_what_was_overwritten_holds_the_clone_back(story: Story) -> None:
    story.host.source_guest.file_system = "btrfs"
    story.wish(replicas=1)
    story.run_until(lambda: story.told("Stalled")[0] == "ScrubUnverified", "it was not said")
    story.sim.run(600)
    assert condition(replica(story), "IdentityReset") == ("False", "ScrubUnverified")
    assert (bool(story.clone(1).isActive()), links_up(story)) == (True, False)


def test_who_goes_on_without_proof_gets_the_clone_and_is_told_what_is_not_proven(story: Story) -> None:
    warn: dict[str, Any] = {"identity": {"verify": "Warn"}}
    story.host.source_guest.file_system = "btrfs"
    story.make(replicas=1, **warn)
    assert condition(replica(story), "IdentityReset") == ("False", "ScrubUnverified")
    assert (bool(story.clone(1).isActive()), links_up(story)) == (True, True)
