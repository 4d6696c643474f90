"""What `hack/check` runs: every check that needs no lab and no running program, two at a time, one line each."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PARALLEL = 2


@dataclass(frozen=True)
class Step:
    """One command, or a sentence why there is nothing to run yet."""

    name: str
    argv: tuple[str, ...] = ()
    nothing: str = ""


@dataclass(frozen=True)
class Outcome:
    """How a step ended."""

    step: Step
    passed: bool
    seconds: float
    output: str


def steps(root: Path) -> list[Step]:
    """Return what there is to check, the slowest first."""
    return [
        Step("types", ("mypy",)),
        Step("schemas", *_generator(root, "gen-crds")),
        Step("reference docs", *_generator(root, "gen-docs")),
        Step("layers", ("lint-imports",)),
        Step("lint", ("ruff", "check", "--output-format", "concise", ".")),
        Step("format", ("ruff", "format", "--check", "--output-format", "concise", ".")),
        _chart(root),
        _site(root),
        _workflows(root),
    ]


def _generator(root: Path, name: str) -> tuple[tuple[str, ...], str]:
    """Return the `--check` call of a generator; it may be missing only while there is nothing generated."""
    command = root / "hack" / name
    if not command.exists() and not any((root / "crds").glob("*.yaml")):
        return (), "no schemas yet"
    return (str(command), "--check"), ""


def _chart(root: Path) -> Step:
    """Return the chart's step: there is none yet, and a chart without its check is a failure."""
    if (root / "charts").exists():
        return Step("chart", (str(root / "hack" / "check-chart"),))
    return Step("chart", nothing="no chart yet")


def _site(root: Path) -> Step:
    """Return the documentation's step: `--strict` makes a dead link an error, which `--quiet` would hide from it."""
    if (root / "mkdocs.yml").exists():
        return Step("docs site", ("mkdocs", "build", "--strict"))
    return Step("docs site", nothing="no site yet")


def _workflows(root: Path) -> Step:
    """Return the step of the public workflows: a syntax error there shows only when it is too late."""
    if (root / ".github" / "workflows").exists():
        return Step("workflows", (str(root / "hack" / "check-workflows"),))
    return Step("workflows", nothing="no workflows yet")


def run(step: Step, root: Path) -> Outcome:
    """Run one step and keep its output for the case that it fails."""
    if step.nothing:
        return Outcome(step, passed=True, seconds=0.0, output="")
    started = time.monotonic()
    env = {**os.environ, "NO_COLOR": "1", "NO_MKDOCS_2_WARNING": "1"}
    try:
        done = subprocess.run(step.argv, cwd=root, env=env, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except OSError as error:
        return Outcome(step, passed=False, seconds=0.0, output=f"cannot run {step.argv[0]}: {error}\n")
    return Outcome(
        step, done.returncode == 0, time.monotonic() - started, (done.stdout + done.stderr).decode(errors="replace")
    )


def describe(outcome: Outcome) -> str:
    """Return one line, and the output of a failed step under it."""
    verdict = outcome.step.nothing or ("ok" if outcome.passed else "FAILED")
    line = f"{outcome.step.name:<16}{outcome.seconds:>6.1f} s  {verdict}"
    return line if outcome.passed else f"{line}\n{outcome.output.rstrip()}\n"


def main() -> int:
    """Run all steps and return 1 when any failed."""
    started = time.monotonic()
    with ThreadPoolExecutor(PARALLEL) as pool:
        outcomes = []
        for outcome in pool.map(lambda step: run(step, ROOT), steps(ROOT)):
            print(describe(outcome), flush=True)
            outcomes.append(outcome)
    failed = sum(not outcome.passed for outcome in outcomes)
    print(f"{len(outcomes)} steps, {failed} failed, {time.monotonic() - started:.1f} s")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
