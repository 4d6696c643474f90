"""Uninstalling is refused while anything of ours would be left without its operator."""

from __future__ import annotations

import asyncio

from tests.support.memory_cluster import MemoryCluster

from vmclone_operator.guard import refusal, remaining
from vmclone_operator.kube.cluster import Kind


def test_vmclones_that_exist_are_named_with_the_ways_on() -> None:
    cluster = MemoryCluster(now=lambda: "2026-01-01T00:00:00Z")
    assert asyncio.run(remaining(cluster)) == []
    for number in range(25):
        cluster.apply(Kind.VMCLONE, {"metadata": {"namespace": "team-a", "name": f"dev-{number:02}"}, "spec": {}})
    text = refusal(asyncio.run(remaining(cluster)))
    assert text.startswith("25 VMClones or VMCloneReplicas still exist:\n  team-a/dev-00\n")
    assert "  and 5 more\n" in text
    assert "orphan-on-delete=true" in text


def test_a_replica_whose_vmclone_is_gone_counts_too() -> None:
    cluster = MemoryCluster(now=lambda: "2026-01-01T00:00:00Z")
    cluster.apply(Kind.REPLICA, {"metadata": {"namespace": "team-a", "name": "dev-1"}, "spec": {}})
    assert len(asyncio.run(remaining(cluster))) == 1
