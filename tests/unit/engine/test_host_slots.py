"""HostSlots at hosts: nobody takes those of others, and whoever found none is told when there is one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from typing import Any

import pytest
from tests.support import manifests
from tests.support.sim_queue import SimQueue
from tests.support.simulation import Simulation

from vmclone_operator.engine.objects.cache import Cache
from vmclone_operator.engine.slots_needed import slots_needed
from vmclone_operator.engine.work.host_slots import HostSlots, Slot, SlotClass
from vmclone_operator.engine.work.queue import NoSlot
from vmclone_operator.kube.cluster import Document, Key, Kind

WORKERS = 16
A: Slot = ("a", SlotClass.WISHES)
B: Slot = ("b", SlotClass.WISHES)
A_ACROSS: Slot = ("a", SlotClass.WISHES_ACROSS)
B_ACROSS: Slot = ("b", SlotClass.WISHES_ACROSS)
REPLICAS_OF_A: Slot = ("a", SlotClass.REPLICAS)
HOSTS = {"lab": "one", "lab-too": "ONE", "other": "two"}


class Crowd:
    """Passes that take a slot and stay."""

    def __init__(self, workers: int = WORKERS) -> None:
        self._queue = SimQueue(lambda: 0.0)
        self._slots = HostSlots(workers=workers)
        self._inside: dict[str, ExitStack] = {}

    def enter(self, *rooms: Slot, passes: int = 1) -> int:
        """Have so many passes ask for a slot; return how many got one."""
        return sum(self.enters(f"pass-{len(self._inside)}", *rooms) for _ in range(passes))

    def enters(self, name: str, *rooms: Slot) -> bool:
        """Have a pass ask for a slot; return whether it got one."""
        with ExitStack() as stack:
            try:
                stack.enter_context(self._slots.acquire(self._queue, wish_key(name), rooms))
            except NoSlot:
                return False
            self._inside[name] = stack.pop_all()
        return True

    def leaves(self, name: str) -> None:
        """End a pass."""
        self._inside.pop(name).close()

    def is_gone(self, name: str) -> None:
        """Have what a pass is about deleted."""
        self._slots.forget(self._queue, wish_key(name))

    def woken(self) -> list[str]:
        """Return who was woken since the last time."""
        names = [key.name for key in self._queue.due]
        self._queue.due.clear()
        return names


def wish_key(name: str) -> Key:
    return Key(Kind.VMCLONE, "team-a", name)


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
def test_there_is_a_slot_at(crowded: list[Slot], wanted: list[Slot]) -> None:
    crowd = Crowd()
    assert crowd.enter(*crowded, passes=99) < 99
    assert crowd.enter(*wanted)


def crowded() -> Crowd:
    """Return hosts with one slot each, at the first a pass, and two who wait for it."""
    crowd = Crowd(workers=4)
    assert [crowd.enters(name, A) for name in ("inside", "first", "second")] == [True, False, False]
    return crowd


def test_a_slot_that_is_given_back_wakes_one_that_waits() -> None:
    crowd = crowded()
    crowd.leaves("inside")
    assert crowd.woken() == ["first"]
    assert crowd.enters("first", A)
    assert crowd.woken() == []


def test_who_asks_again_keeps_the_turn() -> None:
    crowd = crowded()
    assert not crowd.enters("first", A)
    crowd.leaves("inside")
    assert crowd.woken() == ["first"]


def test_one_that_is_gone_is_not_woken() -> None:
    crowd = crowded()
    crowd.is_gone("first")
    assert crowd.woken() == []
    crowd.leaves("inside")
    assert crowd.woken() == ["second"]


def is_gone(crowd: Crowd) -> None:
    crowd.is_gone("first")


def needs_another_host_now(crowd: Crowd) -> None:
    assert crowd.enters("first", B)


def finds_no_slot_at_another_host_it_needs_now(crowd: Crowd) -> None:
    assert crowd.enters("elsewhere", B)
    assert not crowd.enters("first", A, A_ACROSS, B, B_ACROSS)


@pytest.mark.parametrize("ends", [is_gone, needs_another_host_now, finds_no_slot_at_another_host_it_needs_now])
def test_who_was_woken_and_has_no_use_for_the_slot_wakes_the_next(ends: Callable[[Crowd], None]) -> None:
    crowd = crowded()
    crowd.leaves("inside")
    assert crowd.woken() == ["first"]
    ends(crowd)
    assert crowd.woken() == ["second"]


def test_who_could_not_go_on_for_another_host_is_passed_over_and_woken_by_that_one() -> None:
    crowd = Crowd(workers=4)
    assert crowd.enters("inside", A)
    assert not crowd.enters("across", A, A_ACROSS, B, B_ACROSS)
    assert not crowd.enters("here", A)
    assert crowd.enters("elsewhere", B)
    crowd.leaves("inside")
    assert crowd.woken() == ["here"]
    crowd.leaves("elsewhere")
    assert crowd.woken() == []  # the slot at the first host is handed over already
    assert crowd.enters("here", A)
    crowd.leaves("here")
    assert crowd.woken() == ["across"]


def test_even_few_workers_serve_everybody() -> None:
    crowd, both = Crowd(workers=1), (A, A_ACROSS, B, B_ACROSS)
    waiting = {"one host": (A,), "both": both, "the other": (B,)}
    assert crowd.enters("first", *both)
    assert not any(crowd.enters(name, *rooms) for name, rooms in waiting.items())
    crowd.leaves("first")
    served = list[str]()
    while woken := crowd.woken():
        inside = [name for name in woken if crowd.enters(name, *waiting[name])]
        for name in inside:
            crowd.leaves(name)
        served += inside
    assert sorted(served) == sorted(waiting)


def test_the_wish_for_a_slot_goes_with_its_object() -> None:
    sim = Simulation()
    engine = sim.engine
    engine.host_slots = HostSlots(workers=4)
    gone, other = document(manifests.vmclone("gone")), wish_key("other")
    with engine.host_slots.acquire(engine.queue, wish_key("inside"), [A]):
        for key in (wish_key("gone"), other):
            with suppress(NoSlot), engine.host_slots.acquire(engine.queue, key, [A]):
                raise AssertionError
        engine.lost(Kind.VMCLONE, gone)
    assert sim.queue.pop()[0] == other


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
def test_a_pass_takes_a_slot_at_the_hosts_it_may_turn_to(kind: Kind, seen: Document, hosts: set[str]) -> None:
    assert {host for host, _ in slots_needed(known(), kind, seen)} == {f"libvirt/{host}" for host in hosts}
