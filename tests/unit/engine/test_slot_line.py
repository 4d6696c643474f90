"""Who may go is the same as by a walk over everybody who waits, whatever joined, left or was given room before."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from vmclone_operator.engine.objects.slot_line import Order, SlotLine
from vmclone_operator.kube.cluster import Key, Kind


class Walked:
    """The same line without any order kept: everybody is looked at."""

    def __init__(self) -> None:
        self.room: dict[str, int] = {}
        self.waiting: dict[Key, tuple[Order, str]] = {}

    def first(self, most: int) -> list[Key]:
        given, found = Counter[str](), list[Key]()
        for key, (_, vmclone) in sorted(self.waiting.items(), key=lambda item: item[1]):
            if len(found) < most and given[vmclone] < self.room.get(vmclone, 0):
                given[vmclone] += 1
                found.append(key)
        return found


@pytest.mark.parametrize("seed", range(50))
def test_those_who_may_go_are_those_that_a_walk_finds(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311  - a schedule, not a secret
    walked = Walked()
    line = SlotLine(lambda vmclone: walked.room.get(vmclone, 0))
    for number in range(120):
        step = chance.randrange(4)
        if step == 0 and walked.waiting:
            key = chance.choice(list(walked.waiting))
            order, vmclone = walked.waiting.pop(key)
            line.leave(vmclone, order, key)
        elif step == 1:
            vmclone = chance.choice("abcde")
            walked.room[vmclone] = chance.randint(0, 3)
            line.look_again(vmclone)
        else:
            vmclone, name = chance.choice("abcde"), f"r{number}"
            key, order = Key(Kind.REPLICA, "team-a", name), (str(chance.randrange(5)), name)
            walked.waiting[key] = (order, vmclone)
            line.join(vmclone, order, key)
        for most in (0, 1, 4, 200):
            assert list(line.first(most)) == walked.first(most)
