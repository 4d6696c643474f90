"""Random stories: whatever happens and goes wrong, in whatever order, everything converges, stays, and goes.

A failing seed is printed with the command that lives it alone, and the one that makes a smaller story of it.
`VMCLONE_SEEDS=10000 hack/test crash tests/crash/test_random_faults.py` lives that many, `VMCLONE_SEED=N` that one.
"""

from __future__ import annotations

import os

import pytest
from tests.crash.random_life import trouble
from tests.crash.random_story import End, What, story_of

SEEDS = int(os.environ.get("VMCLONE_SEEDS", "300"))
TOGETHER = 25
"""Seeds in one test: few enough that two workers end at the same time."""
CHOSEN = os.environ.get("VMCLONE_SEED")
CHUNKS = (
    [range(int(CHOSEN), int(CHOSEN) + 1)]
    if CHOSEN
    else [range(first, min(first + TOGETHER, SEEDS)) for first in range(0, SEEDS, TOGETHER)]
)


@pytest.mark.parametrize("seeds", CHUNKS, ids=lambda seeds: f"{seeds.start}-{seeds.stop - 1}")
def test_every_random_story_converges_and_stays(seeds: range) -> None:
    """0 duplicates, 0 leaks, nothing foreign touched, no source frozen over 5 s, 0 writes once it is settled."""
    wrong = [
        f"seed {seed}: {said}\n  again: VMCLONE_SEED={seed} hack/test crash tests/crash/test_random_faults.py"
        f"\n  smaller: python -m tests.crash.shrink {seed}"
        for seed in seeds
        if (said := trouble(story_of(seed)))
    ]
    assert not wrong, "\n".join(wrong)


def test_the_stories_are_about_everything_that_is_promised() -> None:
    """What is never drawn is never tested."""
    stories = [story_of(seed) for seed in range(300)]
    assert {happening.what for story in stories for happening in story.happenings} == set(What)
    assert {story.end for story in stories} == set(End)
    for name in ("clean", "full", "source_on", "switches_source", "recreate", "scale_down_orphan", "neighbour"):
        assert {getattr(story, name) for story in stories} == {True, False}, name
    assert sum(bool(story.stays) for story in stories) > len(stories) / 4


def test_a_seed_is_the_same_story_every_time() -> None:
    assert [story_of(seed) for seed in range(50)] == [story_of(seed) for seed in range(50)]
