"""Contestants run in turn, ratios are of medians, and a ratio that is 20 % worse is told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from vmclone_bench.benchmarks import NAMES
from vmclone_bench.cli import main
from vmclone_bench.model import Contestant, Sample, Spread, in_turns, ratios
from vmclone_bench.record import regressions, table
from vmclone_generate.figures import page


def contestant(name: str, seconds: Iterator[float], ran: list[str]) -> Contestant:
    def run() -> Sample:
        ran.append(name)
        return {"s": next(seconds)}

    return Contestant(name=name, run=run)


def test_everybody_has_a_turn_in_each_round() -> None:
    ran: list[str] = []
    told: list[str] = []
    both = [contestant("ours", iter([4.0, 1.0, 3.0]), ran), contestant("plain", iter([2.0, 2.0, 5.0]), ran)]
    figures = in_turns(both, 3, told.append)
    assert ran == ["ours", "plain"] * 3
    assert figures["ours"]["s"] == Spread(least=1, median=3, most=4)
    assert told[0] == "round 1 of 3, ours: s 4"
    assert ratios(figures, "plain") == {"ours": {"s": 1.5}}


def test_a_figure_that_the_other_has_not_or_has_as_nothing_has_no_ratio() -> None:
    one = Spread(least=1, median=1, most=1)
    none = Spread(least=0, median=0, most=0)
    figures = {"ours": {"writes": one, "files": one}, "plain": {"writes": none}}
    assert ratios(figures, "plain") == {"ours": {}}


def result(ratio: float, *, name: str = "linked", busy: bool = False) -> dict[str, Any]:
    spread = {"least": ratio, "median": ratio, "most": ratio}
    return {
        "benchmark": name,
        "title": "ten clones",
        "against": "plain",
        "judged": "s",
        "rounds": 3,
        "time": "2026-01-01T00:00:00Z",
        "commit": "0123456789ab",
        "machine": {"cores": 2, "memoryGiB": 24, "loadBefore": 3.5, "busy": busy},
        "versions": {"python": "3.11.7"},
        "figures": {"ours": {"s": spread, "n": spread}, "plain": {"s": spread | {"median": 1.0}}},
        "ratios": {"ours": {"s": ratio, "n": ratio}},
    }


COMPARED = {
    "20 % worse is not yet worse": (1.0, 1.2, 0),
    "more than 20 % is": (1.0, 1.21, 1),
    "better never is": (1.0, 0.1, 0),
}


@pytest.mark.parametrize(("before", "after", "found"), COMPARED.values(), ids=COMPARED.keys())
def test_a_ratio_that_is_worse_by_more_than_20_percent_is_told(before: float, after: float, found: int) -> None:
    assert len(regressions([result(before)], [result(after)])) == found


def test_a_regression_names_benchmark_contestant_figure_and_both_ratios() -> None:
    told = regressions([result(1.0)], [result(2.0)])
    assert told == ["linked: ours has a ratio of 1.00 before and 2.00 now in s"]


def test_what_only_one_of_both_has_is_no_regression() -> None:
    assert regressions([result(1.0, name="home")], [result(9.0)]) == []


def test_the_page_has_each_figure_and_says_when_others_used_the_machine() -> None:
    assert ("ours", "s", "1.5 - 1.5 - 1.5", "1.50") in list(table(result(1.5)))
    text = page([result(1.5, busy=True), result(1.5, name="home")])
    assert text.count("Others used this machine") == 1
    assert "| ours | s | 1.5 - 1.5 - 1.5 | **1.50** |" in text


def test_without_a_name_the_names_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([])
    told = capsys.readouterr().err
    assert all(name in told for name in NAMES)
