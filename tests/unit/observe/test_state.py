"""What a scrape shows of the objects, with no name of a VMClone in any label; and what the docs say of each metric."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prometheus_client import generate_latest
from tests.support.memory_cluster import MemoryCluster
from tests.unit.observe.scrape import Clock, samples, watched

from vmclone_operator.domain.orphans import Orphans
from vmclone_operator.engine.backends.sessions import Sessions
from vmclone_operator.engine.context import Engine
from vmclone_operator.engine.objects.cache import Cache
from vmclone_operator.engine.work.queue import WorkQueue
from vmclone_operator.handlers import take_event
from vmclone_operator.homecopy.job_manifest import PodSettings
from vmclone_operator.kube.cluster import Kind
from vmclone_operator.kube.events import EventRecorder
from vmclone_operator.kube.lease import LeaseKeeper
from vmclone_operator.observe.observer import Observer
from vmclone_operator.providers.fake import FakeBackend

ROOT = Path(__file__).parents[3]
SERIES_AT_REST = 300


def engine(clock: Clock) -> Engine:
    cluster = MemoryCluster(now=lambda: datetime.now(UTC).isoformat())
    return Engine(
        cluster=cluster,
        cache=Cache(),
        queue=WorkQueue(),
        sessions=Sessions(
            cluster=cluster,
            namespace="vmclone-system",
            load=lambda _: FakeBackend(),
            wake=lambda _: None,
            fence=lambda: None,
            clock=clock,
        ),
        events=EventRecorder(cluster, reporter="a", clock=clock, now=lambda: datetime.now(UTC)),
        instance="i",
        clock=clock,
        now=lambda: datetime.now(UTC),
        server_now=lambda: None,
        new_token=lambda: "t",
        pods=PodSettings(namespace="vmclone-system", image="home-copy"),
    )


def seen(watching: Observer, kind: Kind, name: str, **fields: Any) -> None:
    meta = {"namespace": "team-a", "name": name, "uid": f"{kind.kind}-{name}", "resourceVersion": "1"}
    engine_of_watching = watching.state.engine
    assert engine_of_watching is not None
    document = {"metadata": {**meta, **fields.pop("metadata", {})}, "spec": {}, **fields}
    take_event(engine_of_watching, kind, None, document)


def ready(status: str, reason: str) -> dict[str, Any]:
    return {"conditions": [{"type": "Ready", "status": status, "reason": reason}]}


def test_objects_are_counted_by_state_and_reason() -> None:
    clock = Clock()
    watching = watched(clock)

    async def scenario() -> None:
        watching.state.engine = engine(clock)
        for name in ("dev-1", "dev-2"):
            seen(watching, Kind.REPLICA, name, spec={"backend": "lab", "ordinal": 1}, status={"state": "Ready"})
        going = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
        seen(watching, Kind.REPLICA, "dev-3", spec={"backend": "lab", "ordinal": 3}, metadata=going)
        seen(watching, Kind.VMCLONE, "dev", status=ready("False", "Progressing"))
        seen(watching, Kind.VMCLONE, "unseen")
        seen(watching, Kind.BACKEND, "lab", status=ready("True", "Reachable"))

    asyncio.run(scenario())
    clock.seconds += 7
    registry = watching.registry
    assert samples(registry, "vmclone_replicas") == {("lab", "Ready"): 2, ("lab", "Deleting"): 1}
    assert samples(registry, "vmclone_vmclones") == {("False", "Progressing"): 1, ("Unknown", "NotSeen"): 1}
    assert samples(registry, "vmclone_backend_up") == {("lab",): 1}
    assert samples(registry, "vmclone_watch_age_seconds")["vmclone",] == 7
    assert "dev-1" not in generate_latest(registry).decode()


def test_what_belongs_to_nobody_is_counted_once_somebody_looked() -> None:
    clock = Clock()
    watching = watched(clock)
    assert samples(watching.registry, "vmclone_orphans") == {}

    async def scenario() -> None:
        watching.state.engine = engine(clock)
        watching.state.engine.orphans["lab"] = Orphans()
        watching.state.engine.leftover_secrets = ("one",)
        watching.state.engine.leftover_jobs = ("one", "two")

    asyncio.run(scenario())
    assert samples(watching.registry, "vmclone_orphans") == {
        ("lab", kind): 0 for kind in ("VM", "Volume", "FrozenPoint")
    }
    assert samples(watching.registry, "vmclone_leftover_jobs") == {(): 2}
    assert samples(watching.registry, "vmclone_leftover_secrets") == {(): 1}


COPIES: dict[str, dict[str, Any]] = {
    "runs": {"operation": {"kind": "HomeCopy"}},
    "is cleaned up": {"operation": {"kind": "HomeCopyEnded"}},
    "waits for its turn": {"steps": [{"name": "HomeCopy", "state": "Running", "queuePosition": 2}]},
    "waits for its next attempt": {
        "operation": {"kind": "HomeCopyRetry"},
        "steps": [{"name": "HomeCopy", "state": "Waiting"}],
        "conditions": [{"type": "HomeCopied", "status": "False", "reason": "CopyFailed"}],
    },
    "may not begin": {
        "steps": [{"name": "HomeCopy", "state": "Waiting"}],
        "conditions": [{"type": "HomeCopied", "status": "False", "reason": "Copying"}],
    },
    "is done": {"conditions": [{"type": "HomeCopied", "status": "True", "reason": "Copied"}]},
}


def test_home_copies_are_counted_in_all_and_by_nobody() -> None:
    clock = Clock()
    watching = watched(clock)
    assert samples(watching.registry, "vmclone_homecopy_queued") == {}

    async def scenario() -> None:
        watching.follow(engine(clock), relist_seconds=600)
        for number, status in enumerate(COPIES.values()):
            seen(watching, Kind.REPLICA, f"dev-{number}", spec={"backend": "lab", "ordinal": number}, status=status)

    asyncio.run(scenario())
    names = ("active", "queued", "failed")
    found = {name: samples(watching.registry, f"vmclone_homecopy_{name}") for name in names}
    assert found == {"active": {(): 2}, "queued": {(): 1}, "failed": {(): 1}}


def test_who_leads_is_a_metric_of_its_own() -> None:
    clock, watching = Clock(), watched(Clock())
    cluster = MemoryCluster(now=lambda: datetime.now(UTC).isoformat())
    keeper = LeaseKeeper(cluster, namespace="vmclone-system", identity="a", clock=clock)
    watching.health.keeper = keeper
    assert samples(watching.registry, "leader_election_master_status") == {("vmclone-operator",): 0}
    asyncio.run(keeper.acquire())
    watching.health.leads = True
    clock.seconds += 3
    assert samples(watching.registry, "leader_election_master_status") == {("vmclone-operator",): 1}
    assert samples(watching.registry, "vmclone_lease_age_seconds") == {(): 3}


def families() -> dict[str, str]:
    """Return type by name as a scraper sees them."""
    text = generate_latest(watched(Clock()).registry).decode()
    return dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))


def test_an_operator_without_objects_has_few_series() -> None:
    text = generate_latest(watched(Clock()).registry).decode()
    assert 0 < len([line for line in text.splitlines() if not line.startswith("#")]) <= SERIES_AT_REST


def test_names_follow_the_rules_of_the_monitoring_system() -> None:
    for name, kind in families().items():
        assert re.fullmatch(r"(vmclone|controller_runtime|workqueue|leader_election)_[a-z_]+", name)
        assert name.endswith("_total") == (kind == "counter")
        assert not re.search(r"_(ms|milliseconds|minutes|kb|mb|count|sum|bucket)$", name)


def test_the_reference_page_lists_exactly_what_is_served() -> None:
    page = (ROOT / "docs/reference/metrics.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| `([a-z_]+)` \| (\w+) \|", page, re.MULTILINE))
    assert listed == families()
