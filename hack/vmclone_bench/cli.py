"""The command line of `hack/bench`: runs benchmarks in turn, prints their tables, writes JSON and plots, compares."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from vmclone_bench import record
from vmclone_bench.benchmarks import NAMES, find
from vmclone_bench.drawing import draw
from vmclone_bench.model import Benchmark, in_turns
from vmclone_bench.record import Record

ROOT = Path(__file__).resolve().parents[2]


def main(arguments: Sequence[str]) -> int:
    """Run what was asked for; 1 if a ratio is worse than in the file that it is compared with."""
    given = _parser().parse_args(arguments)
    names = list(NAMES) if given.all else [given.name]
    if names == [None]:
        _parser().error(f"name a benchmark ({', '.join(NAMES)}), or --all")
    before = [] if given.compare is None else json.loads(given.compare.read_text())
    results = [result for name in names for result in _results(name, given.rounds, apart=given.all)]
    if given.json is not None:
        given.json.write_text(json.dumps(results, indent=1) + "\n")
    if given.plot is not None:
        draw(results, given.plot)
    worse = record.regressions(before, results)
    for sentence in worse:
        _say(f"worse: {sentence}")
    return int(bool(worse))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="hack/bench", description="What vmclone costs, side by side.")
    parser.add_argument("name", nargs="?", choices=NAMES, help="one benchmark")
    parser.add_argument("--all", action="store_true", help="all of them, one after the other")
    parser.add_argument("--rounds", type=int, default=0, help="runs of each contestant; 0: as the benchmark says")
    parser.add_argument("--json", type=Path, help="write the results here")
    parser.add_argument("--plot", type=Path, help="write a picture of each benchmark into this folder")
    parser.add_argument("--compare", type=Path, help="fail if a ratio is 20 %% worse than in this file")
    return parser


def _results(name: str, rounds: int, *, apart: bool) -> list[Record]:
    """Return the results of one benchmark; in a process of its own where it needs the lab, or others run as well."""
    benchmark = find(name)
    if apart or (benchmark.lab and not _in_the_lab()):
        return _apart(benchmark, rounds)
    load, wanted = os.getloadavg()[0], rounds or benchmark.rounds
    _say(f"{benchmark.name}: {benchmark.title}")
    with benchmark.stage() as contestants:
        figures = in_turns(contestants, wanted, _say)
    result = record.record(benchmark, figures, rounds=wanted, load=load, root=ROOT)
    _print(result)
    return [result]


def _apart(benchmark: Benchmark, rounds: int) -> list[Record]:
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "result.json"
        command = [sys.executable, "-m", "vmclone_bench", benchmark.name, "--rounds", str(rounds), "--json", str(told)]
        if benchmark.lab and not _in_the_lab():
            subprocess.run([ROOT / "hack/lab", "up", "--only", benchmark.lab], cwd=ROOT, check=True)
            command = [str(ROOT / "hack/lab"), "exec", "--", *command]
        subprocess.run(command, cwd=ROOT, check=True)
        results: list[Record] = json.loads(told.read_text())
        return results


def _in_the_lab() -> bool:
    return bool(os.environ.get("KUBECONFIG"))


def _print(result: Record) -> None:
    rows = [("", "", "least - median - most", f"against {result['against']}"), *record.table(result)]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        _say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    if result["machine"]["busy"]:
        _say(f"others used this machine as well (load {result['machine']['loadBefore']}): compare ratios, not times")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
