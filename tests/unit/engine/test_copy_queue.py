"""Copies are counted by the VM that they read from, however many names its host has; a turn is taken by one."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine
from typing import Any

import pytest
from tests.crash.lives import begin_clean
from tests.support import manifests
from tests.support.simulation import Simulation
from tests.support.stories import replica, vmclone

from vmclone_operator.engine.source import copy_queue
from vmclone_operator.engine.source.copy_queue import source_key
from vmclone_operator.kube.cluster import Key, Kind
from vmclone_operator.providers.fake import FaultSchedule

KNOWN = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBrwWh4ph63ffHIm34829InQtTHpY9Peqbi7JNeSfqGi"
TLS: dict[str, Any] = {
    "libvirt": {"transport": "tls", "host": "hv1.example"},
    "credentials": {"secretRef": {"name": "c"}},
}
OTHER_POOL = {**TLS, "libvirt": {**TLS["libvirt"], "pool": "fast", "port": 16515}}
SSH = {**TLS, "libvirt": {"transport": "ssh", "host": "HV1.example", "user": "vm", "knownHosts": [KNOWN]}}
OTHER_HOST = {**TLS, "libvirt": {"transport": "tls", "host": "hv2.example"}}
LOCAL = {"libvirt": {"transport": "local"}}
LOCAL_POOL = {"libvirt": {"transport": "local", "pool": "fast"}}
FAKE: dict[str, Any] = {"fake": {}}

SAME = {
    "another pool and port": (TLS, OTHER_POOL, True),
    "another transport": (TLS, SSH, True),
    "this machine twice": (LOCAL, LOCAL_POOL, True),
    "two hosts": (TLS, OTHER_HOST, False),
    "this machine and a host": (LOCAL, TLS, False),
    "two fakes are two worlds": (FAKE, FAKE, False),
}


def known(sim: Simulation, identity: str = "vm-1") -> None:
    """Let the operator know the VM, as its CloneSource's status says it."""
    sim.cluster.overwrite(Key(Kind.SOURCE, "", "golden-dev"), lambda d: d.update(status={"id": identity}))
    sim.restart()


def key(spec: dict[str, Any], backend: str, identity: str = "vm-1") -> str:
    """Return the name of the queue of a VM at a backend."""
    sim = Simulation()
    source = manifests.clean_source(backend={"name": backend})
    document = {"metadata": {"name": backend}, "spec": {**spec, "allowedNamespaces": {"from": "All"}}}
    sim.cluster.apply(Kind.BACKEND, document)
    sim.cluster.apply(Kind.SOURCE, source)
    known(sim, identity)
    return source_key(sim.engine, manifests.vmclone())


@pytest.mark.parametrize(("one", "other", "same"), SAME.values(), ids=SAME.keys())
def test_a_vm_has_one_queue_under_all_names_of_its_host(one: Any, other: Any, *, same: bool) -> None:
    first, second = key(one, "first"), key(other, "second")
    assert (first == second) is same
    assert re.fullmatch("[0-9a-f]{20}", first)


def test_two_vms_of_a_host_have_two_queues() -> None:
    assert key(TLS, "first", "vm-1") != key(TLS, "first", "vm-2")


def test_without_its_backend_nobody_can_tell_whose_queue_it_is() -> None:
    sim = Simulation()
    sim.cluster.apply(Kind.SOURCE, manifests.clean_source())
    known(sim)
    assert not source_key(sim.engine, manifests.vmclone())


class Line:
    """Two copies of one VM that may begin, where one at a time may."""

    def __init__(self) -> None:
        self.sim = begin_clean(FaultSchedule(), replicas=2)
        self.sim.run(5)
        self.engine = self.sim.engine
        self.source = source_key(self.engine, vmclone(self.sim))
        assert self.source

    def take(self, ordinal: int) -> Coroutine[Any, Any, bool]:
        return copy_queue.take_turn(self.engine, replica(self.sim, ordinal), self.source, limit=1)

    def place(self, ordinal: int) -> int:
        return asyncio.run(copy_queue.position(self.engine, replica(self.sim, ordinal), self.source, limit=1))

    def uid(self, ordinal: int) -> str:
        return str(replica(self.sim, ordinal)["metadata"]["uid"])


def test_of_two_that_take_the_last_turn_at_once_one_has_it() -> None:
    line = Line()

    async def both() -> list[bool]:
        return list(await asyncio.gather(line.take(1), line.take(2)))

    assert sorted(asyncio.run(both())) == [False, True]


def test_asking_for_the_place_takes_no_turn() -> None:
    line = Line()
    assert (line.place(1), line.place(2)) == (0, 0)
    assert not any(line.engine.copy_turns.values())


def test_a_turn_that_was_never_written_down_is_given_back() -> None:
    line = Line()
    assert asyncio.run(line.take(1))
    assert line.place(2) == 1
    copy_queue.drop_unused(line.engine, line.uid(2))
    assert line.place(2) == 1
    copy_queue.drop_unused(line.engine, line.uid(1))
    assert line.place(2) == 0


def test_two_that_hold_a_turn_where_by_now_one_may_copy_do_not_wait_for_each_other() -> None:
    """Neither was written down; the limit was lowered before they tried again."""
    line = Line()
    line.engine.copy_turns[line.source] = {line.uid(1), line.uid(2)}
    assert (line.place(1), line.place(2), line.place(1)) == (1, 0, 1)
