"""A reader of a copy's log hears of it in every phase, however long nothing changes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from vmclone_operator.homecopy.progress import PULSE_SECONDS, Progress

COUNTS = {"bytes": 1000, "files": 10}


@dataclass
class Log:
    """A clock and what was written by it."""

    now: float = 100.0
    lines: list[dict[str, Any]] = field(default_factory=list)

    def write(self, text: str) -> None:
        self.lines.append(json.loads(text))

    def progress(self) -> Progress:
        return Progress(self.write, clock=lambda: self.now)


def test_silence_repeats_the_last_line() -> None:
    log = Log()
    progress = log.progress()
    progress.tell({"phase": "Scanning"})
    progress.pulse()
    assert len(log.lines) == 1
    log.now += PULSE_SECONDS
    progress.pulse()
    assert log.lines == [{"phase": "Scanning"}] * 2


def test_nothing_is_repeated_before_anything_was_told() -> None:
    log = Log()
    log.progress().pulse()
    assert not log.lines


def test_time_left_follows_from_the_speed_so_far() -> None:
    log = Log()
    progress = log.progress()
    progress.copying({}, COUNTS)
    log.now += 30
    progress.copying({"doneBytes": 250, "sentFiles": 3}, COUNTS)
    first, second = log.lines
    assert "etaSeconds" not in first
    assert (second["percent"], second["etaSeconds"], second["doneBytes"]) == (25, 90, 250)
    assert (second["totalBytes"], second["files"], second["totalFiles"]) == (1000, 3, 10)


def test_percent_never_goes_back() -> None:
    log = Log()
    progress = log.progress()
    progress.copying({"doneBytes": 0, "checked": 6, "entries": 10}, COUNTS)
    progress.copying({"doneBytes": 100}, COUNTS)
    progress.copying({"doneBytes": 1000}, COUNTS)
    assert [line["percent"] for line in log.lines] == [60, 60, 99]


def test_an_empty_home_has_no_percent_to_divide_by() -> None:
    log = Log()
    log.progress().copying({}, {"bytes": 0, "files": 0})
    assert log.lines[0]["percent"] == 0


def test_pulling_is_half_of_a_staged_copy_and_no_byte_of_it_is_done() -> None:
    log = Log()
    progress = log.progress()
    progress.copying({"doneBytes": 1000, "leg": 0, "legs": 2}, COUNTS)
    progress.copying({"doneBytes": 500, "leg": 1, "legs": 2}, COUNTS)
    assert [(line["percent"], line["doneBytes"]) for line in log.lines] == [(50, 0), (75, 500)]
