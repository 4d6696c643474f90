"""A benchmark's result as JSON: the figures, and on what machine, of which versions and which commit they are.

Also what is made of it: the table for people, and the comparison with an older one.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vmclone_bench.model import Benchmark, Figures, ratios

Record = dict[str, Any]
WORSE = 1.2
"""A ratio that has grown by more than this is a regression."""
_BUSY_LOAD = 0.5
"""Runnable processes of others, for each core, from which on a machine is called busy."""
_PACKAGES = ("kopf", "kubernetes", "pydantic")


def machine(load: float) -> Record:
    """Return what the figures were measured on; `load` is how many processes wanted to run before."""
    cores = os.cpu_count() or 1
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": cores,
        "memoryGiB": round(memory / 2**30),
        "loadBefore": round(load, 2),
        "busy": load > _BUSY_LOAD * cores,
    }


def versions() -> dict[str, str]:
    """Return the versions of what takes part."""
    found = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {"python": platform.python_version(), "kernel": platform.release(), **found}


def commit(root: Path) -> str:
    """Return the commit that is checked out, with a mark if files differ from it."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def record(benchmark: Benchmark, figures: Figures, *, rounds: int, load: float, root: Path) -> Record:
    """Return the result of a benchmark as it is written."""
    return {
        "benchmark": benchmark.name,
        "title": benchmark.title,
        "against": benchmark.against,
        "judged": benchmark.judged,
        "rounds": rounds,
        "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "commit": commit(root),
        "machine": machine(load),
        "versions": versions(),
        "figures": {name: {figure: asdict(s) for figure, s in mine.items()} for name, mine in figures.items()},
        "ratios": ratios(figures, benchmark.against),
    }


def table(result: Record) -> Iterator[tuple[str, str, str, str]]:
    """Yield the rows of a result: contestant, figure, least - median - most, ratio."""
    for name, figures in result["figures"].items():
        for figure, spread in figures.items():
            ratio = result["ratios"].get(name, {}).get(figure)
            told = " - ".join(f"{spread[part]:.4g}" for part in ("least", "median", "most"))
            yield name, figure, told, "" if ratio is None else f"{ratio:.2f}"


def regressions(before: Sequence[Record], after: Sequence[Record]) -> list[str]:
    """Return a sentence for each ratio that is worse than in an older result; what only one of both has is left out.

    Only the figure that its benchmark is judged by counts: the others are there to explain it.
    """
    known: Mapping[str, Record] = {result["benchmark"]: result for result in before}
    found = []
    for result in after:
        old, figure = known.get(result["benchmark"]), result["judged"]
        for name, mine in result["ratios"].items():
            was = None if old is None else old["ratios"].get(name, {}).get(figure)
            if was and figure in mine and mine[figure] > WORSE * was:
                told = f"{was:.2f} before and {mine[figure]:.2f} now"
                found.append(f"{result['benchmark']}: {name} has a ratio of {told} in {figure}")
    return found
