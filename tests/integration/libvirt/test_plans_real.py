"""Plans over a real libvirtd: everything that speaks against them at once, and nothing made before they are meant."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from typing import Any

import libvirt
import pytest
from tests.support.unbooted_story import Story

from vmclone_operator.providers.libvirt.preflight import PER_CLONE_BYTES

pytestmark = pytest.mark.libvirt
DRY_RUN = {"mode": "DryRun"}
MIB = 1 << 20
BROKEN = (
    "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='{}'/><target dev='vdz'/></disk>"
)


def plan(story: Story) -> dict[str, Any]:
    told: dict[str, Any] = story.status().get("plan", {})
    return told


def test_a_dry_run_tells_what_would_be_made_and_makes_nothing(story: Story) -> None:
    before = story.site.look()
    story.wish(replicas=3, plan=DRY_RUN)
    story.sim.run(600)
    assert story.told("Planned")[0] == "Planned"
    assert [(action["op"], action["replica"]) for action in plan(story)["actions"]] == [
        ("Create", f"{story.name}-{ordinal}") for ordinal in (1, 2, 3)
    ]
    frozen = plan(story)["estimate"]["bytes"] - 3 * PER_CLONE_BYTES
    assert 0 < frozen <= MIB, "the source's disk holds two sectors"
    assert story.site.look() == before
    assert story.host.schedule.trace == []
    story.make(replicas=3)


def test_all_findings_are_told_in_one_plan_and_nothing_is_made(story: Story) -> None:
    facts = story.site.facts
    source = facts.connection.lookupByUUIDString(facts.source_id)
    source.attachDeviceFlags(BROKEN.format(facts.pool_path / "no.qcow2"), libvirt.VIR_DOMAIN_AFFECT_CONFIG)
    story.host.asks_for_agent = True
    before = story.site.look()
    story.wish(replicas=3, disk={"copy": "Linked", "pool": "nowhere"})
    story.sim.run(600)
    told = plan(story)["blockers"]
    for words in ("vdz", "guest agent channel", "there is no storage pool nowhere"):
        assert [line for line in told if words in line], (words, told)
    assert len(told) == 3
    assert story.site.look() == before
    assert story.host.schedule.trace == []


@contextlib.contextmanager
def _room_of(story: Story, size: int) -> Iterator[str]:
    """Give the second pool a file system of its own, of this size."""
    path = str(story.site.facts.spare_path)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=711", "none", path], check=True)
    try:
        story.site.facts.spare.refresh()
        yield path
    finally:
        subprocess.run(["umount", path], check=True)


def test_the_margin_of_15_percent_is_asked_for_in_the_pool_of_the_clones_too(story: Story) -> None:
    facts = story.site.facts
    wish: dict[str, Any] = {"replicas": 2, "disk": {"copy": "Linked", "pool": facts.spare_name}}
    needed = 2 * PER_CLONE_BYTES
    with _room_of(story, needed * 114 // 100) as path:
        story.wish(**wish)
        story.sim.run(300)
        (told,) = plan(story)["blockers"]
        assert facts.spare_name in told
        assert "15 % margin" in told
        assert facts.spare_names() == []
        subprocess.run(["mount", "-o", f"remount,size={needed * 117 // 100}", path], check=True)
        story.wait_ready(replicas=2)
        assert len(facts.spare_names()) == 4, "two overlays, two seeds"
        story.remove()
        assert facts.spare_names() == []
