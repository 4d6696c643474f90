"""Clones that really run on a real libvirtd, and boot nothing: nobody can tell who they are, so nobody meets them."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.unbooted_story import Story

from vmclone_operator.providers.libvirt import domain_xml

pytestmark = pytest.mark.libvirt


@pytest.mark.parametrize("verify", ["Require", "Warn"])
def test_a_clone_that_never_answers_stays_disconnected_and_says_what_is_missing(story: Story, verify: str) -> None:
    wish: dict[str, Any] = {"identity": {"verify": verify}}
    story.host.simulates_guests = False
    story.wish(replicas=1, **wish)
    story.run_until(lambda: story.told("Stalled", ordinal=1)[0] == "GuestAgentMissing", "nothing is missed")
    story.sim.run(600)
    assert story.clone(1).isActive()
    assert not domain_xml.links_up(domain_xml.parsed(story.clone(1).XMLDesc()))
    assert "qemu-guest-agent" in story.told("Stalled", ordinal=1)[1]
    assert not story.status().get("readyReplicas")
    story.remove()
    assert (story.site.look().clones, story.site.look().files) == ((), ())


def test_a_clone_that_is_given_up_while_it_runs_is_switched_off_and_gone(story: Story) -> None:
    story.host.simulates_guests = False
    story.wish(replicas=2)
    story.run_until(lambda: all(story.uid(n) and _runs(story, n) for n in (1, 2)), "they never ran")
    story.wish(replicas=1)
    story.sim.run(60)
    assert len(story.site.look().clones) == 1
    assert _runs(story, 1)
    story.remove()
    assert (story.site.look().clones, story.site.look().files) == ((), ())


def _runs(story: Story, ordinal: int) -> bool:
    return any(f"clone {ordinal} " in line for line in story.site.look().clones) and bool(
        story.clone(ordinal).isActive()
    )
