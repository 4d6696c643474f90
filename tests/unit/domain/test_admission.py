"""Who may make clones: as many as the limit allows, the oldest first, in whatever order they ask."""

from __future__ import annotations

import random

import pytest

from vmclone_operator.domain.admission import Claimant, admitted, refusal


def claimant(name: str, held: int = 0, wanted: int = 1) -> Claimant:
    return Claimant(order=("2026-01-01T00:00:00Z", name), held=held, wanted=wanted)


CASES = {
    "four of one replica at a limit of three: the first three": (3, ["a0/1", "b0/1", "c0/1", "d0/1"], [1, 1, 1, 0]),
    "whoever asks first, the oldest goes first": (1, ["b0/1", "a0/1"], [0, 1]),
    "clones that exist keep their places": (3, ["a0/2", "b2/2"], [1, 0]),
    "one that is too large gets a part, and what is behind it nothing": (2, ["a0/3", "b0/1"], [2, 0]),
    "what one does not want is left to the next": (3, ["a1/1", "b0/1", "c0/5"], [0, 1, 1]),
    "nothing is left": (2, ["a2/3", "b0/1"], [0, 0]),
    "more than the limit exist, as after it was lowered": (1, ["a2/3", "b0/1"], [0, 0]),
    "nobody may have any": (0, ["a0/1"], [0]),
}


@pytest.mark.parametrize(("limit", "told", "expected"), CASES.values(), ids=CASES.keys())
def test_places_go_to_the_oldest(limit: int, told: list[str], expected: list[int]) -> None:
    claimants = [claimant(text[0], *map(int, text[1:].split("/"))) for text in told]
    places = admitted(claimants, limit=limit)
    assert [places[one.order] for one in claimants] == expected


@pytest.mark.parametrize("seed", range(200))
def test_of_any_burst_in_any_order_exactly_as_many_are_made_as_the_limit_allows(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311  - a schedule, not a secret
    wanted = {name: chance.randint(0, 5) for name in map(str, range(chance.randint(1, 12)))}
    held, limit = dict.fromkeys(wanted, 0), chance.randint(0, 30)
    order = {name: claimant(name).order for name in wanted}
    for name in chance.choices(list(wanted), k=400):
        now = admitted([claimant(n, held[n], wanted[n]) for n in wanted], limit=limit)
        if now[order[name]] and chance.random() < 0.8:  # a pass may fail, and come again
            held[name] += 1
        assert sum(held.values()) <= limit
    assert sum(held.values()) == min(limit, sum(wanted.values()))


REFUSALS = {
    "all of them may be": (2, 0, None),
    "some find no place": (2, 1, "1 of 2 replicas wait for a place: CloneSource golden allows 3 clones"),
    "one VMClone wants too many": (9, 0, "spec.replicas is 9; CloneSource golden allows 4 in one VMClone"),
}


@pytest.mark.parametrize(("wanted", "waits", "sentence"), REFUSALS.values(), ids=REFUSALS.keys())
def test_who_waits_is_told_why_and_what_to_do(wanted: int, waits: int, sentence: str | None) -> None:
    told = refusal(source="golden", wanted=wanted, most_replicas=4, waits=waits, limit=3, held=3)
    assert (told is None) is (sentence is None)
    if told is not None and sentence is not None:
        assert sentence in told.message
        assert "ask the platform team" in told.message
