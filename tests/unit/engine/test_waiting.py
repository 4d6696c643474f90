"""Who waits for room is woken when some is given back: the first few in turn, and the next once one has enough."""

from __future__ import annotations

from tests.support.sim_queue import SimQueue

from vmclone_operator.engine.work.waiting import Waiting
from vmclone_operator.kube.cluster import Key, Kind


def key(name: str) -> Key:
    return Key(Kind.VMCLONE, "team-a", name)


def waiting(*names: str, place: str = "lab") -> tuple[Waiting, SimQueue]:
    made = Waiting()
    for name in names:
        made.wait(key(name), place)
    return made, SimQueue(lambda: 0.0)


def woken(queue: SimQueue) -> list[str]:
    return [found.name for found in queue.due]


def test_the_first_few_are_woken_and_not_those_who_wait_elsewhere() -> None:
    made, queue = waiting("a", "b", "c", "d")
    made.wait(key("elsewhere"), "other")
    made.freed(queue, "lab")
    assert woken(queue) == ["a", "b", "c"]


def test_who_looked_in_vain_keeps_its_place() -> None:
    made, queue = waiting("a", "b", "c", "d")
    made.wait(key("a"), "lab")
    made.freed(queue, "lab")
    assert woken(queue) == ["a", "b", "c"]


def test_who_has_enough_wakes_the_next_and_is_woken_no_more() -> None:
    made, queue = waiting("a", "b")
    made.end(queue, key("a"))
    assert woken(queue) == ["b"]


def test_who_never_waited_wakes_nobody() -> None:
    made, queue = waiting("a")
    made.end(queue, key("b"))
    made.freed(queue, "other")
    assert woken(queue) == []
