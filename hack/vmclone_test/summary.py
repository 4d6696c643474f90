"""Turns the events of a run into counts, and counts into the closing table. Pure.

A skip is accepted only when its reason says that the test does not apply; any other skip (lab not up, a tool
missing, expected to fail) hides a part that nobody proved, and counts as a failure.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ACCEPTED_SKIP = "not applicable: "
"""How the reason of an accepted skip begins, e.g. `not applicable: the fake has no storage pool`."""
NO_TESTS_COLLECTED = 5
"""pytest's exit status when it found no test."""
TESTS_FAILED = 1
"""pytest's exit status when tests failed; its events name them."""
WARM_MINUTES, COLD_MINUTES = 45, 75
"""What a whole run may take on two cores: with the lab's builds in its cache, and without."""
SLOW_FILES, SLOW_SECONDS = 8, 20
"""How many files of a part are named as slow, and from when on."""
_SEVERITY = {"passed": 0, "skipped": 1, "failed": 2}


@dataclass(frozen=True)
class PartResult:
    """What one part proved."""

    name: str
    passed: int = 0
    failed: tuple[str, ...] = ()
    """Names of failed tests, and sentences for what kept others from running."""
    skipped: Mapping[str, int] = field(default_factory=dict)
    """Accepted skips: how many per reason."""
    boots: int = 0
    seconds: float = 0.0
    slow: Mapping[str, float] = field(default_factory=dict)
    """The test files that took longest, slowest first, and their seconds: where a run that gets too long is cut."""
    note: str = ""


def summarize(name: str, events: Sequence[Mapping[str, Any]], *, exit_status: int, seconds: float) -> PartResult:
    """Return the result of one pytest run."""
    outcomes = _worst_outcomes(events)
    skips = {test: reason for test, (outcome, reason) in outcomes.items() if outcome == "skipped"}
    failed = [f"{test} {how}".rstrip() for test, (outcome, how) in outcomes.items() if outcome == "failed"]
    failed += [
        f"{test}: skipped, which hides it: {reason}"
        for test, reason in skips.items()
        if not reason.startswith(ACCEPTED_SKIP)
    ]
    if exit_status not in (0, TESTS_FAILED) or (exit_status and not failed):
        failed.append(_abnormal_end(events, exit_status))
    return PartResult(
        name=name,
        passed=sum(outcome == "passed" for outcome, _ in outcomes.values()),
        failed=tuple(failed),
        skipped=Counter(reason for reason in skips.values() if reason.startswith(ACCEPTED_SKIP)),
        boots=sum(event.get("boots", 0) for event in events),
        seconds=seconds,
        slow=_slow_files(events),
    )


def _slow_files(events: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    seconds: Counter[str] = Counter()
    for event in events:
        if "test" in event:
            seconds[event["test"].partition("::")[0]] += event.get("seconds", 0)
    return {file: taken for file, taken in seconds.most_common(SLOW_FILES) if taken >= SLOW_SECONDS}


def _worst_outcomes(events: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, str]]:
    """Return outcome and skip reason by test: the worst of its phases; a test that never ended is left out."""
    ended = {event["test"] for event in events if event.get("phase") in ("teardown", "collect")}
    worst: dict[str, tuple[str, str]] = {}
    for event in events:
        test = event.get("test")
        if test is None or (test not in ended and event["outcome"] == "passed"):
            continue
        if test not in worst or _SEVERITY[event["outcome"]] > _SEVERITY[worst[test][0]]:
            worst[test] = (event["outcome"], event["reason"])
    return worst


def _abnormal_end(events: Sequence[Mapping[str, Any]], exit_status: int) -> str:
    """Say in a sentence why a run ended without its tests' own verdict."""
    if exit_status == NO_TESTS_COLLECTED:
        return "no test was found"
    started = [event["started"] for event in events if "started" in event]
    during = f" during {started[-1]}" if started else " before the first test"
    return f"pytest ended with status {exit_status}{during}"


def table(results: Sequence[PartResult]) -> str:
    """Render one row per part, then every reason of a skip or failure."""
    lines = [f"{'part':<12}{'tests':>7}{'passed':>8}{'failed':>8}{'skipped':>9}{'boots':>7}{'minutes':>9}"]
    for result in results:
        skipped = sum(result.skipped.values())
        tests = result.passed + len(result.failed) + skipped
        lines.append(
            f"{result.name:<12}{tests:>7}{result.passed:>8}{len(result.failed):>8}{skipped:>9}"
            f"{result.boots:>7}{result.seconds / 60:>9.1f}" + (f"  {result.note}" if result.note else "")
        )
    minutes = sum(result.seconds for result in results) / 60
    lines.append(
        f"in all {minutes:.1f} minutes; a whole run is to take at most {WARM_MINUTES} warm, {COLD_MINUTES} cold"
    )
    for result in results:
        if result.slow:
            slow = ", ".join(f"{file.rpartition('/')[2]} {seconds:.0f} s" for file, seconds in result.slow.items())
            lines.append(f"slow in {result.name}: {slow}")
        lines += [f"skipped in {result.name}: {count} x {reason}" for reason, count in result.skipped.items()]
        lines += [f"FAILED in {result.name}: {sentence}" for sentence in result.failed]
    return "\n".join(lines)


def closing_line(results: Sequence[PartResult]) -> str:
    """Return the last line of a run, for people and for scripts."""
    passed = sum(result.passed for result in results)
    failed = sum(len(result.failed) for result in results)
    skipped = sum(sum(result.skipped.values()) for result in results)
    return f"{passed} passed, {failed} failed, {skipped} skipped"
