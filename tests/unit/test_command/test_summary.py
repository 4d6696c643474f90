"""`hack/test` never reports more than was proved."""

from __future__ import annotations

from typing import Any

import pytest

from vmclone_test.summary import PartResult, closing_line, summarize, table

Event = dict[str, Any]


def ran(test: str, outcome: str = "passed", *, phase: str = "call", reason: str = "") -> list[Event]:
    phases = {"setup": "passed", "call": "passed", "teardown": "passed", phase: outcome}
    if phases["setup"] != "passed":
        del phases["call"]
    return [
        {"started": test},
        *(
            {"test": test, "phase": at, "outcome": end, "reason": reason if at == phase else "", "seconds": 0.1}
            for at, end in phases.items()
        ),
    ]


def result(events: list[Event], exit_status: int = 0) -> PartResult:
    return summarize("unit", events, exit_status=exit_status, seconds=6.0)


@pytest.mark.parametrize(
    ("events", "exit_status", "line"),
    [
        pytest.param(ran("a") + ran("b"), 0, "2 passed, 0 failed, 0 skipped", id="all pass"),
        pytest.param(ran("a") + ran("b", "failed"), 1, "1 passed, 1 failed, 0 skipped", id="one fails"),
        pytest.param(
            ran("a", "failed", phase="setup"), 1, "0 passed, 1 failed, 0 skipped", id="a broken set-up is a failure"
        ),
        pytest.param(
            ran("a", "failed", phase="teardown"),
            1,
            "0 passed, 1 failed, 0 skipped",
            id="a broken teardown is a failure",
        ),
        pytest.param(
            ran("a", "skipped", phase="setup", reason="not applicable: the fake has no disks"),
            0,
            "0 passed, 0 failed, 1 skipped",
            id="a test that does not apply is a skip",
        ),
        pytest.param(
            ran("a", "skipped", phase="setup", reason="the lab is not up"),
            0,
            "0 passed, 1 failed, 0 skipped",
            id="a skip that hides a missing part is a failure",
        ),
        pytest.param(
            ran("a", "skipped", reason="expected to fail: some day"),
            0,
            "0 passed, 1 failed, 0 skipped",
            id="an expected failure is a failure",
        ),
        pytest.param([], 5, "0 passed, 1 failed, 0 skipped", id="no test at all is a failure"),
        pytest.param(
            [{"test": "m.py", "phase": "collect", "outcome": "failed", "reason": ""}],
            2,
            "0 passed, 2 failed, 0 skipped",
            id="a module that cannot be imported is a failure",
        ),
    ],
)
def test_the_closing_line_counts(events: list[Event], exit_status: int, line: str) -> None:
    assert closing_line([result(events, exit_status)]) == line


def test_a_killed_run_names_the_test_that_hung_and_keeps_what_passed() -> None:
    got = result([*ran("a"), *ran("hangs")[:2]], exit_status=124)
    assert got.passed == 1
    assert got.failed == ("pytest ended with status 124 during hangs",)


def test_a_failure_is_never_lost_when_no_event_tells_of_it() -> None:
    assert result(ran("a"), exit_status=1).failed == ("pytest ended with status 1 during a",)


def test_the_table_shows_boots_minutes_and_every_reason() -> None:
    events = [
        *ran("a"),
        {"boots": 2},
        {"boots": 1},
        *ran("b", "failed", reason="in its call: not within 60 s: it is gone"),
        *ran("c", "skipped", phase="setup", reason="not applicable: x"),
    ]
    assert table([result(events, 1)]).splitlines() == [
        "part          tests  passed  failed  skipped  boots  minutes",
        "unit              3       1       1        1      3      0.1",
        "in all 0.1 minutes; a whole run is to take at most 45 warm, 75 cold",
        "skipped in unit: 1 x not applicable: x",
        "FAILED in unit: b in its call: not within 60 s: it is gone",
    ]


def test_the_files_that_took_longest_are_named_slowest_first() -> None:
    events = [
        {"test": f"tests/unit/test_{n % 3}.py::test_{n}", "phase": "call", "seconds": 15.0 * (n % 3)} for n in range(6)
    ]
    for event in events:
        event.update(outcome="passed", reason="")
    assert result(events).slow == {"tests/unit/test_2.py": 60.0, "tests/unit/test_1.py": 30.0}
    assert "slow in unit: test_2.py 60 s, test_1.py 30 s" in table([result(events)])
