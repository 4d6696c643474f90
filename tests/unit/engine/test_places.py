"""Places at hosts: nobody takes those of others, and whoever found none is told when there is one."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from itertools import count
from typing import Any

import pytest
from tests.support import manifests
from tests.support.sim_queue import SimQueue

from vmclone_operator.engine.cache import Cache
from vmclone_operator.engine.places import Places, Room, Share
from vmclone_operator.engine.whereabouts import rooms_of
from vmclone_operator.kube.cluster import Document, Key, Kind

WORKERS = 16
A: Room = ("a", Share.WISHES)
B: Room = ("b", Share.WISHES)
A_ACROSS: Room = ("a", Share.WISHES_ACROSS)
B_ACROSS: Room = ("b", Share.WISHES_ACROSS)
REPLICAS_OF_A: Room = ("a", Share.REPLICAS)
HOSTS = {"lab": "one", "lab-too": "ONE", "other": "two"}


class Crowd:
    """Passes that take a place and stay."""

    def __init__(self, workers: int = WORKERS) -> None:
        self.queue = SimQueue(lambda: 0.0)
        self._places, self._stack, self._names = Places(workers=workers), ExitStack(), count()

    def enter(self, *rooms: Room, passes: int = 1) -> int:
        """Have so many passes ask for a place; return how many got one."""
        keys = [Key(Kind.VMCLONE, "team-a", f"wish-{next(self._names)}") for _ in range(passes)]
        return sum(self._stack.enter_context(self._places.taken(self.queue, key, rooms)) for key in keys)

    def leave(self) -> None:
        """End all passes."""
        self._stack.close()


def test_all_that_needs_one_host_leaves_workers_to_the_others() -> None:
    crowd = Crowd()
    rooms = ([A, A_ACROSS, B, B_ACROSS], [A], [REPLICAS_OF_A])
    assert WORKERS / 2 < sum(crowd.enter(*asked, passes=99) for asked in rooms) < WORKERS - 2


@pytest.mark.parametrize(
    ("crowded", "wanted"),
    [
        pytest.param([A], [B], id="another host"),
        pytest.param([A], [REPLICAS_OF_A], id="the replicas of the same host"),
        pytest.param([REPLICAS_OF_A], [A], id="the wishes of the same host"),
        pytest.param([A, A_ACROSS, B, B_ACROSS], [B], id="one of two hosts that others need both"),
    ],
)
def test_there_is_a_place_at(crowded: list[Room], wanted: list[Room]) -> None:
    crowd = Crowd()
    assert crowd.enter(*crowded, passes=99) < 99
    assert crowd.enter(*wanted)


def test_a_place_that_is_given_back_wakes_one_that_waits() -> None:
    crowd = Crowd(workers=4)
    assert crowd.enter(A, passes=3) == 1
    crowd.leave()
    assert [key.name for key in crowd.queue.due] == ["wish-1"]


def test_even_few_workers_serve_everybody() -> None:
    crowd = Crowd(workers=1)
    assert crowd.enter(A, A_ACROSS, B, B_ACROSS)


def known() -> Cache:
    """Return a cache with two hosts, the first under two names, a source at each, and a clone of one of them."""
    cache = Cache()
    for name, host in HOSTS.items():
        backend = manifests.backend(name)
        backend["spec"] = {"libvirt": {"transport": "tls", "host": host}}
        cache.put(Kind.BACKEND, document(backend))
    cache.put(Kind.SOURCE, document(manifests.source()))
    cache.put(Kind.SOURCE, document(manifests.source("far", backend={"name": "other"})))
    cache.put(Kind.VMCLONE, document(manifests.vmclone("dev", source={"name": "far"}, backend={"name": "lab"})))
    cache.put(Kind.REPLICA, replica_of("dev"))
    return cache


def document(manifest: Document, **more: Any) -> Document:
    manifest["metadata"] |= {"uid": manifest["metadata"]["name"], "resourceVersion": "1"}
    return {**manifest, **more}


def replica_of(vmclone: str, backend: str = "lab") -> Document:
    meta = {"name": f"{vmclone}-1", "namespace": "team-a"}
    spec = {"ordinal": 1, "session": f"{vmclone}-1", "backend": backend, "vmCloneUID": vmclone}
    return document({"metadata": meta, "spec": spec})


def wish(status: Mapping[str, Any] | None = None, **spec: Any) -> Document:
    return document(manifests.vmclone("wish", **spec), status=status or {})


NEEDS: dict[str, tuple[Kind, Document, set[str]]] = {
    "a VMClone: its source's": (Kind.VMCLONE, wish(), {"one"}),
    "its own, if it names one": (Kind.VMCLONE, wish(backend={"name": "other"}), {"one", "two"}),
    "the same host by another name": (Kind.VMCLONE, wish(backend={"name": "lab-too"}), {"one"}),
    "that of its frozen points": (Kind.VMCLONE, wish({"source": {"backend": "other"}}), {"one", "two"}),
    "that of a source it switched": (Kind.VMCLONE, wish({"sourcePower": {"backend": "other"}}), {"one", "two"}),
    "a session's": (Kind.VMCLONE, wish(source={"session": "dev-1"}), {"one"}),
    "a source that is gone: nobody's": (Kind.VMCLONE, wish(source={"name": "gone"}), set()),
    "a replica: its own": (Kind.REPLICA, replica_of("gone", "other"), {"two"}),
    "a replica from another host": (Kind.REPLICA, replica_of("dev"), {"one", "two"}),
    "a CloneSource: its own": (Kind.SOURCE, document(manifests.source()), {"one"}),
    "a CloneBackend waits for nobody": (Kind.BACKEND, document(manifests.backend()), set()),
}


@pytest.mark.parametrize(("kind", "seen", "hosts"), NEEDS.values(), ids=NEEDS)
def test_a_pass_takes_a_place_at_the_hosts_it_may_turn_to(kind: Kind, seen: Document, hosts: set[str]) -> None:
    assert {host for host, _ in rooms_of(known(), kind, seen)} == {f"libvirt/{host}" for host in hosts}
