"""Slots for clones that are made: first come, first served, none left empty while somebody waits, nobody forgotten."""

from __future__ import annotations

import random

import pytest

from vmclone_operator.engine.objects.rollout_slots import Place, RolloutSlots
from vmclone_operator.kube.cluster import Key, Kind


def key(name: str) -> Key:
    return Key(Kind.REPLICA, "team-a", name)


def place(name: str) -> Place:
    """Return the place of a replica such as `a-1`, of VMClone `a`."""
    return Place(order=("t", name), backend="lab", vmclone=name[0])


def slots(backend: int = 2, **vmclones: int) -> RolloutSlots:
    made = RolloutSlots()
    made.set_limit("lab", backend)
    for name, limit in vmclones.items():
        made.set_limit(name, limit)
    return made


def take(made: RolloutSlots, *names: str) -> list[str]:
    """Have replicas ask for a slot; return those that got one."""
    return [name for name in names if made.take(key(name), place(name))]


def finish(made: RolloutSlots, name: str) -> list[str]:
    """Let a replica be ready; return who is woken."""
    made.shown(key(name), place(name), under_way=True)
    made.shown(key(name), place(name), under_way=False)
    return [woken.name for woken in made.next_in_line()]


def test_who_finds_no_slot_is_woken_in_turn() -> None:
    made = slots(1, a=5)
    assert take(made, "a-1", "a-3", "a-2") == ["a-1"]
    assert finish(made, "a-1") == ["a-2"]
    assert take(made, "a-3", "a-2") == ["a-2"]


def test_one_whose_vmclone_has_all_its_slots_taken_keeps_no_slot_of_the_backend_empty() -> None:
    made = slots(2, a=1, b=1)
    assert take(made, "a-1", "a-2", "b-1") == ["a-1", "b-1"]
    assert finish(made, "b-1") == []
    assert finish(made, "a-1") == ["a-2"]


def test_a_slot_that_was_not_written_down_goes_to_the_next_when_the_pass_ends() -> None:
    made = slots(1, a=5)
    assert take(made, "a-1", "a-2") == ["a-1"]
    made.end(key("a-1"))
    assert [woken.name for woken in made.next_in_line()] == ["a-2"]


def test_a_slot_that_a_status_shows_outlives_the_pass_and_a_restart() -> None:
    made = slots(1, a=5)
    made.shown(key("a-1"), place("a-1"), under_way=True)
    made.end(key("a-1"))
    assert take(made, "a-2", "a-1") == ["a-1"]


def test_one_that_is_gone_or_waits_no_more_makes_way() -> None:
    made = slots(1, a=5)
    assert take(made, "a-1", "a-2", "a-3") == ["a-1"]
    made.withdraw(key("a-2"))
    made.gone(key("a-1"))
    assert [woken.name for woken in made.next_in_line()] == ["a-3"]


def test_a_higher_limit_wakes_as_many_more() -> None:
    made = slots(1, a=5)
    take(made, "a-1", "a-2", "a-3", "a-4")
    made.set_limit("lab", 3)
    assert [woken.name for woken in made.next_in_line()] == ["a-2", "a-3"]


@pytest.mark.parametrize("seed", range(100))
def test_by_wake_ups_alone_everybody_gets_a_slot_and_never_too_many_at_a_time(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311  - a schedule, not a secret
    limits = {name: chance.randint(1, 3) for name in "abcd"}
    made, most = slots(1, **limits), chance.randint(1, 4)
    made.set_limit("lab", most)
    awake = [f"{name}-{n}" for name in limits for n in range(chance.randint(1, 6))]
    wanted, making, done = set(awake), set[str](), set[str]()
    while awake or making:
        if awake and (chance.random() < 0.6 or not making):
            name = awake.pop(chance.randrange(len(awake)))
            if name not in done | making and take(made, name):
                making.add(name)
        else:
            name = chance.choice(sorted(making))
            making.discard(name)
            done.add(name)
            awake += finish(made, name)
        assert len(making) <= most
        assert all(sum(n[0] == vmclone for n in making) <= limit for vmclone, limit in limits.items())
    assert done == wanted
