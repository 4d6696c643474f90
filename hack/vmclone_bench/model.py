"""What a benchmark is, and what came of it. Pure, but for the contestants themselves."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

Sample = Mapping[str, float]
"""What one run of one contestant took, by the name of the figure; less is better for each of them."""


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """One way to do what is measured."""

    name: str
    run: Callable[[], Sample]


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """Some ways to do the same thing, side by side."""

    name: str
    title: str
    against: str
    """The contestant that the others are divided by."""
    judged: str
    """The figure whose ratio must not become worse."""
    stage: Callable[[], AbstractContextManager[Sequence[Contestant]]]
    """Makes what the contestants need, and removes it."""
    rounds: int = 3
    lab: str = ""
    """What `hack/lab up --only` must have brought up; empty: nothing."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """The same figure of several runs."""

    least: float
    median: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of at least one value."""
        return cls(least=min(values), median=statistics.median(values), most=max(values))


Figures = Mapping[str, Mapping[str, Spread]]
"""By contestant, by the name of the figure."""


def in_turns(contestants: Sequence[Contestant], rounds: int, tell: Callable[[str], None]) -> Figures:
    """Run everybody once a round, A B A B; return the spreads of what they took."""
    samples: dict[str, list[Sample]] = {contestant.name: [] for contestant in contestants}
    for turn in range(1, rounds + 1):
        for contestant in contestants:
            sample = contestant.run()
            samples[contestant.name].append(sample)
            told = ", ".join(f"{name} {value:.4g}" for name, value in sample.items())
            tell(f"round {turn} of {rounds}, {contestant.name}: {told}")
    return {name: _spreads(runs) for name, runs in samples.items()}


def _spreads(runs: Sequence[Sample]) -> dict[str, Spread]:
    return {figure: Spread.of([run[figure] for run in runs]) for figure in runs[0]}


def ratios(figures: Figures, against: str) -> dict[str, dict[str, float]]:
    """Return each contestant's medians divided by those of the one that it is measured against.

    Figures that this one does not have, or has as 0, have no ratio.
    """
    floor = figures[against]
    return {
        name: {
            figure: spread.median / floor[figure].median
            for figure, spread in mine.items()
            if figure in floor and floor[figure].median > 0
        }
        for name, mine in figures.items()
        if name != against
    }
