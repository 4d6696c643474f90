"""The lines at CloneSources: at any moment of any history they say what the pure decision says of the same snapshot."""

from __future__ import annotations

import random

import pytest

from vmclone_operator.domain.admission import Claimant, admitted
from vmclone_operator.engine.objects.admission import Admission
from vmclone_operator.kube.cluster import Key, Kind


def key(name: str) -> Key:
    return Key(Kind.VMCLONE, "team-a", name)


def claimant(name: str, held: int, wanted: int) -> Claimant:
    return Claimant(order=("t", name), held=held, wanted=wanted)


def line(limit: int, **claims: tuple[int, int]) -> Admission:
    admission = Admission()
    admission.set_limit("golden", limit)
    for name, (held, wanted) in claims.items():
        admission.put(key(name), "golden", claimant(name, held, wanted))
    admission.next_in_line()
    return admission


class Life:
    """A line, and the snapshot that it must agree with."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)  # noqa: S311  - a schedule, not a secret
        self.admission, self.claims, self.back = Admission(), dict[str, Claimant](), set[str]()
        self.limit = 0

    def happens(self) -> str:
        """Let something happen to one of them, or to the limit; return to whom: its own news wakes it anyway."""
        name, what = self.chance.choice("abcdefgh"), self.chance.random()
        if what < 0.1:
            self.limit = self.chance.randint(0, 12)
            self.admission.set_limit("golden", self.limit)
        elif what < 0.2:
            self.claims.pop(name, None)
            self.back.discard(name)
            self.admission.drop(key(name))
        elif what < 0.35 and name in self.claims:
            back = self.chance.random() < 0.5
            (self.back.add if back else self.back.discard)(name)
            self.admission.stand_back(key(name), back=back)
        else:
            self.claims[name] = claimant(name, self.chance.randint(0, 3), self.chance.randint(0, 4))
            self.admission.put(key(name), "golden", self.claims[name])
        return name

    def snapshot(self, but: str) -> dict[tuple[str, str], int]:
        """Return what the pure decision says if `but` does not stand back."""
        standing = [
            claimant(name, claim.held, claim.held) if name in self.back - {but} else claim
            for name, claim in self.claims.items()
        ]
        return admitted(standing, limit=self.limit)


@pytest.mark.parametrize("seed", range(60))
def test_the_line_agrees_with_the_decision_over_the_snapshot(seed: int) -> None:
    life = Life(seed)
    for _ in range(150):
        life.happens()
        for name, claim in life.claims.items():
            assert life.admission.ask(key(name))[0] == life.snapshot(name)[claim.order]
        assert life.admission.held("golden") == sum(claim.held for claim in life.claims.values())


@pytest.mark.parametrize("seed", range(60))
def test_whoever_was_told_to_wait_is_woken_when_it_need_not_wait_any_more(seed: int) -> None:
    life, told = Life(seed), set[str]()
    for _ in range(150):
        told -= {life.happens(), *(woken.name for woken in life.admission.next_in_line())}
        told &= life.claims.keys()
        for name in told - life.back:
            places = life.snapshot(name)[life.claims[name].order]
            assert places == 0 or places < life.claims[name].missing, name
        told |= {name for name in life.claims if life.admission.ask(key(name))[1]}


def test_a_place_is_held_while_the_replica_is_created_and_no_longer() -> None:
    admission = line(1, a=(0, 1), b=(0, 1))
    with admission.making(key("a")) as has_place:
        assert has_place
        admission.stand_back(key("a"), back=True)
        with admission.making(key("b")) as another:
            assert not another
    with admission.making(key("b")) as has_place:
        assert has_place


def test_one_that_stands_back_takes_nobodys_place_and_is_told_what_it_could_make() -> None:
    admission = line(1, a=(0, 1), b=(0, 1))
    assert admission.ask(key("b")) == (0, 1)
    admission.stand_back(key("a"), back=True)
    assert admission.next_in_line() == [key("b")]
    assert (admission.ask(key("a")), admission.ask(key("b"))) == ((1, 0), (1, 0))
