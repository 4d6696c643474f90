"""Turns at a source VM: one at a time, the oldest first, handed over and never lost."""

from __future__ import annotations

import pytest
from tests.support.sim_queue import SimQueue

from vmclone_operator.engine.work.freeze_turns import FreezeTurns
from vmclone_operator.kube.cluster import Key, Kind


def key(name: str) -> Key:
    return Key(Kind.VMCLONE, "team-a", name)


class Source:
    """A source VM, and the passes that want to freeze it."""

    def __init__(self) -> None:
        self.queue, self.turns = SimQueue(lambda: 0.0), FreezeTurns()

    def takes(self, name: str, copied_for: str = "") -> bool:
        """Begin a pass that wants its turn."""
        self.turns.begin(key(name))
        return self.turns.take("vm", key(name), ("t", name), copied_for=key(copied_for) if copied_for else None)

    def ends(self, name: str, *, copying: bool = False) -> list[str]:
        """End a pass; return who is woken."""
        self.turns.end(self.queue, key(name), copying=copying)
        woken = [found.name for found in self.queue.due]
        self.queue.due.clear()
        return woken


def crowded() -> Source:
    source = Source()
    assert [source.takes(name) for name in ("b", "c", "a")] == [True, False, False]
    return source


def test_the_oldest_that_waits_is_next() -> None:
    source = crowded()
    assert source.ends("b") == ["a"]
    assert not source.takes("b")
    assert source.takes("a")


def test_a_turn_lasts_while_the_copy_is_under_way() -> None:
    source = crowded()
    assert source.ends("b", copying=True) == []
    assert not source.takes("a")
    assert source.ends("b") == ["a"]


def test_one_that_was_given_its_turn_in_mid_pass_keeps_it_for_the_next() -> None:
    source = crowded()
    assert source.ends("b") == ["a"]
    assert source.ends("a") == []  # the pass that was told to wait
    assert source.takes("a")


def test_one_that_does_not_use_its_turn_hands_it_on() -> None:
    source = crowded()
    assert source.ends("b") == ["a"]
    source.turns.begin(key("a"))
    assert source.ends("a") == ["c"]


@pytest.mark.parametrize("gone", ["b", "a"])
def test_one_that_is_gone_hands_its_turn_on(gone: str) -> None:
    source = crowded()
    source.turns.forget(source.queue, key(gone))
    source.turns.forget(source.queue, key("b"))
    assert [found.name for found in source.queue.due] == [{"b": "a", "a": "c"}[gone]]


def test_a_copy_that_a_status_shows_has_the_turn_after_a_restart() -> None:
    source = Source()
    assert not source.takes("a", copied_for="b")
    assert source.ends("b") == ["a"]
