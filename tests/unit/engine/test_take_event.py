"""Whom an event wakes, and that an echo of our own write wakes nobody."""

from __future__ import annotations

import asyncio
import copy
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from tests.support import manifests
from tests.support.memory_cluster import MemoryCluster

from vmclone_operator.domain.backend import Backend
from vmclone_operator.engine.backends.sessions import Sessions
from vmclone_operator.engine.context import Engine
from vmclone_operator.engine.objects.cache import Cache
from vmclone_operator.engine.objects.replica import new_replica
from vmclone_operator.engine.reconcile import reconcile
from vmclone_operator.engine.vmclone.wake_replicas import wake_blocked
from vmclone_operator.engine.work.queue import Priority
from vmclone_operator.handlers import take_event
from vmclone_operator.homecopy.job_manifest import PodSettings
from vmclone_operator.kube.cluster import Document, Key, Kind, Unavailable
from vmclone_operator.kube.events import EventRecorder

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LAB = Key(Kind.BACKEND, "", "lab")
GOLDEN = Key(Kind.SOURCE, "", "golden-dev")
DEV = Key(Kind.VMCLONE, "team-a", "dev")
OTHER = Key(Kind.VMCLONE, "team-b", "other")
DEV_1 = Key(Kind.REPLICA, "team-a", "dev-1")


@dataclass
class Woken:
    """Notes whom the engine wakes."""

    keys: dict[Key, Priority] = field(default_factory=dict)

    def add(self, key: Key, priority: Priority = Priority.HIGH) -> None:
        self.keys[key] = priority

    def forget(self, key: Key) -> None:
        self.keys.pop(key, None)

    def add_after(self, key: Key, seconds: float, priority: Priority = Priority.HIGH) -> None:
        raise AssertionError(f"an event waits for nothing: {key} {seconds} {priority}")


def no_backend(kind: str) -> Backend:
    raise AssertionError(f"an event opens no connection: {kind}")


class Operator:
    """An engine whose cluster and cache hold a backend, a source, two VMClones and a replica."""

    def __init__(self) -> None:
        self.woken = Woken()
        self.cluster = MemoryCluster(now=lambda: "2026-01-01T00:00:00Z")
        sessions = Sessions(
            cluster=self.cluster,
            namespace="vmclone-system",
            load=no_backend,
            wake=lambda _: None,
            fence=lambda: None,
            clock=lambda: 0.0,
        )
        self.engine = Engine(
            cluster=self.cluster,
            cache=Cache(),
            queue=self.woken,
            sessions=sessions,
            events=EventRecorder(self.cluster, reporter="test", clock=lambda: 0.0, now=lambda: NOW),
            instance="i",
            clock=lambda: 0.0,
            now=lambda: NOW,
            server_now=lambda: NOW,
            new_token=lambda: "t",
            pods=PodSettings(namespace="vmclone-system", image="home-copy"),
        )
        self.cluster.apply(Kind.BACKEND, manifests.backend())
        self.cluster.apply(Kind.SOURCE, manifests.source())
        dev = self.cluster.apply(Kind.VMCLONE, manifests.vmclone())
        elsewhere = {"source": {"name": "another"}, "replicas": 1}
        self.cluster.apply(Kind.VMCLONE, {"metadata": {"name": "other", "namespace": "team-b"}, "spec": elsewhere})
        self.cluster.apply(Kind.REPLICA, new_replica(dev, ordinal=1, session="dev", backend="lab"))
        for key, document in self.cluster.documents.items():
            self.engine.cache.put(key.kind, copy.deepcopy(document))

    def changed(self, key: Key) -> Document:
        """Return an object as the API server has it after somebody changed it."""
        self.cluster.overwrite(key, lambda d: d["metadata"].update(annotations={"changed": "yes"}))
        return copy.deepcopy(self.cluster.documents[key])

    def woken_by(self, event: str | None, key: Key, document: Document) -> dict[Key, Priority]:
        self.woken.keys.clear()
        take_event(self.engine, key.kind, event, document)
        return dict(self.woken.keys)


WHOM = {
    "a VMClone wakes itself": (DEV, {DEV}),
    "a replica wakes itself and its VMClone": (DEV_1, {DEV_1, DEV}),
    "a source wakes itself and the VMClones that clone it": (GOLDEN, {GOLDEN, DEV}),
    "a backend wakes itself and the VMClones whose source is on it": (LAB, {LAB, DEV}),
}


@pytest.mark.parametrize(("key", "expected"), WHOM.values(), ids=WHOM.keys())
def test_a_change_wakes_exactly_whom_it_concerns(key: Key, expected: set[Key]) -> None:
    operator = Operator()
    woken = operator.woken_by("MODIFIED", key, operator.changed(key))
    assert woken == dict.fromkeys(expected, Priority.HIGH)


@pytest.mark.parametrize(("key", "expected"), WHOM.values(), ids=WHOM.keys())
def test_a_deletion_is_forgotten_and_wakes_the_others(key: Key, expected: set[Key]) -> None:
    operator = Operator()
    document = operator.changed(key)
    assert set(operator.woken_by("DELETED", key, document)) == expected - {key}
    assert operator.engine.cache.get(key) is None
    assert operator.engine.cache.by_incarnation(document["metadata"]["uid"]) is None


def test_replicas_do_not_wait_for_the_busy_pass_of_a_vmclone_that_goes() -> None:
    operator = Operator()
    held = {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["vmclone.dev/teardown"]}
    operator.cluster.overwrite(DEV, lambda d: d["metadata"].update(held))
    going = copy.deepcopy(operator.cluster.documents[DEV])
    assert set(operator.woken_by("MODIFIED", DEV, going)) == {DEV, DEV_1}
    assert asyncio.run(reconcile(operator.engine, DEV_1)) is None
    assert operator.cluster.documents[DEV_1]["metadata"]["deletionTimestamp"]


def test_the_initial_list_goes_behind_live_events() -> None:
    operator = Operator()
    woken = operator.woken_by(None, DEV_1, operator.changed(DEV_1))
    assert set(woken.values()) == {Priority.LOW}


def test_an_echo_of_our_own_write_wakes_nobody() -> None:
    operator = Operator()
    document = copy.deepcopy(operator.cluster.documents[DEV])
    status = {"observedGeneration": 1}
    written = asyncio.run(operator.engine.write_status(Kind.VMCLONE, document, status))
    assert operator.woken_by("MODIFIED", DEV, copy.deepcopy(written)) == {}
    assert operator.woken_by("MODIFIED", DEV, document) == {}
    cached = operator.engine.cache.get(DEV)
    assert cached is not None
    assert cached["status"] == status


def test_the_end_of_a_predecessor_leaves_its_successor_known() -> None:
    operator = Operator()
    old = copy.deepcopy(operator.cluster.documents[DEV_1])
    old["metadata"]["uid"] = "old"
    operator.woken_by("DELETED", DEV_1, old)
    assert operator.engine.cache.get(DEV_1) is not None


def test_a_replica_is_asked_to_go_once_by_its_own_pass_and_its_vmclones() -> None:
    operator = Operator()
    held = {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["vmclone.dev/teardown"]}
    operator.cluster.overwrite(DEV, lambda d: d["metadata"].update(held))
    operator.woken_by("MODIFIED", DEV, copy.deepcopy(operator.cluster.documents[DEV]))
    asked: list[Document] = []

    async def delete(kind: Kind, document: Document) -> None:
        asked.append({"kind": kind, **document})

    operator.cluster.delete = delete  # type: ignore[method-assign]  # the API server has not said so yet
    asyncio.run(reconcile(operator.engine, DEV_1))
    asyncio.run(reconcile(operator.engine, DEV))
    assert [document["metadata"]["name"] for document in asked] == ["dev-1"]


def test_a_replica_whose_deletion_failed_is_asked_to_go_again() -> None:
    operator = Operator()
    document = copy.deepcopy(operator.cluster.documents[DEV_1])
    asked: list[Kind] = []

    async def delete(kind: Kind, document: Document) -> None:
        assert document["metadata"]["name"] == "dev-1"
        asked.append(kind)
        if len(asked) == 1:
            raise Unavailable("no answer")

    operator.cluster.delete = delete  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        asyncio.run(operator.engine.delete(Kind.REPLICA, document))
    for _ in range(2):
        asyncio.run(operator.engine.delete(Kind.REPLICA, document))
    assert len(asked) == 2


@pytest.mark.parametrize("in_line", [False, True], ids=["waits for its VMClone", "is in line for a slot"])
def test_a_replica_that_has_said_nothing_is_woken_by_its_vmclones_news_unless_its_turn_wakes_it(in_line: bool) -> None:
    operator = Operator()
    document, slots = copy.deepcopy(operator.cluster.documents[DEV_1]), operator.engine.cache.slots
    if in_line:
        slots.set_limit(document["spec"]["backend"], 0)
        assert not slots.take(DEV_1, operator.engine.cache.place_of(document))
    operator.woken.keys.clear()
    wake_blocked(operator.engine, [document])
    assert set(operator.woken.keys) == (set() if in_line else {DEV_1})
