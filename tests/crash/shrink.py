"""Makes the smallest story of a seed that fails: `python -m tests.crash.shrink 4711`, from the root of the checkout.

Less is tried of everything, one thing at a time, for as long as the life still fails. What is left is printed as
Python: a regression test begins with it.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Any

from tests.crash.random_life import Life, trouble
from tests.crash.random_story import Story, story_of
from tests.support.parsed_once import parsed_once

Fails = Callable[[Story], str]
_FIELDS = (
    "stays",
    "neighbour",
    "lost_reads",
    "scale_down_orphan",
    "recreate",
    "full",
    "switches_source",
    "one_copy",
    "replicas",
    "at_once",
    "late_events",
    "end",
)
"""What may be as plain as it can be."""


def with_strikes(story: Story) -> Story:
    """Return the same story with the calls that go wrong written out."""
    life = Life(story)
    try:
        life.live()
    except AssertionError:
        struck = tuple((point.index, fault) for point, fault in life.schedule.struck)
        return replace(story, strikes=struck)
    return story


def alike(said: str) -> Fails:
    """Return what finds only trouble that begins with the same words: a smaller story may fail for another reason."""
    beginning = said.split()[:2]

    def fails(story: Story) -> str:
        found = trouble(story)
        return found if found.split()[:2] == beginning else ""

    return fails


def shrunk(story: Story, fails: Fails = trouble) -> Story:
    """Return a story of which nothing can be left out."""
    exact = with_strikes(story)
    story = exact if fails(exact) else story
    smaller: Story | None = story
    while smaller is not None:
        story = smaller
        smaller = next((less for less in _simpler(story) if fails(less)), None)
    return story


def _simpler(story: Story) -> Iterator[Story]:
    """Yield stories with one thing less."""
    plain = Story(seed=story.seed, replicas=1)
    for name in _FIELDS:
        if getattr(story, name) != getattr(plain, name):
            yield _with(story, name, getattr(plain, name))
    if story.strikes:
        half = len(story.strikes) // 2
        for part in (story.strikes[:half], story.strikes[half:]):
            if len(part) < len(story.strikes):
                yield replace(story, strikes=part)
    for name in ("stays", "happenings", "strikes"):
        entries = getattr(story, name) or ()
        for left_out in range(len(entries)):
            yield _with(story, name, entries[:left_out] + entries[left_out + 1 :])


def _with(story: Story, name: str, value: object) -> Story:
    """Return the story with another value in one field."""
    values: dict[str, Any] = {field.name: getattr(story, field.name) for field in fields(story)}
    return Story(**{**values, name: value})


def main() -> int:
    """Shrink the seed that is named."""
    logging.disable(logging.CRITICAL)
    with parsed_once():
        whole = story_of(int(sys.argv[1]))
        story = shrunk(whole, alike(trouble(whole)))
        said = trouble(story)
    sys.stdout.write(f"{story}\n{said or 'it does not fail'}\n")
    return bool(said)


if __name__ == "__main__":
    sys.exit(main())
