"""The command line of `hack/test`: chooses parts, runs them in order, prints the table, decides the exit status."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from vmclone_test import parts, summary
from vmclone_test.runner import Run, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vmclone_test.summary import PartResult

ROOT = Path(__file__).resolve().parents[2]
LAB_DOWN_SECONDS = 5 * 60


def main(arguments: Sequence[str]) -> int:
    """Run the chosen parts; without a choice all of them, then without the lab what proves that nothing is left."""
    signal.signal(signal.SIGTERM, _interrupted)
    if arguments and arguments[0] in ("-h", "--help"):
        say(usage())
        return 0
    try:
        chosen, pytest_arguments = parts.choose(arguments)
    except parts.UnknownPartError as error:
        say(str(error))
        return 2
    homeless = parts.homeless_folders(ROOT)
    if homeless:
        say(f"no part of hack/test runs {', '.join(homeless)}: name them in hack/vmclone_test/parts.py")
        return 2
    run = Run(ROOT, pytest_arguments)
    results = [_part(run, part) for part in chosen]
    say("\n" + summary.table(results))
    return _verdict(results)


def usage() -> str:
    """Return the command's help: one line for each part."""
    lines = [
        "usage: hack/test [PART ...] [PATH ...] [pytest options]",
        "",
        "Without a part: all of the first list, in this order.",
    ]
    for title, named in (("In every run:", parts.NAMED), ("By hand only:", parts.BY_HAND)):
        lines += ["", title, *(f"  {part.name:<12} {part.does}" for part in named)]
    lines += ["  proxmox      A server that is not ours: see hack/test proxmox --help."]
    return "\n".join([*lines, "", "hack/test tests/unit/api -k word   runs what the path holds, in its part."])


def _part(run: Run, part: parts.Part) -> PartResult:
    """Run a part; what runs without the lab first sees to it that there is none."""
    if part is parts.LAB_DOWN:
        status = run.lab("down", deadline_seconds=LAB_DOWN_SECONDS)
        if status:
            return summary.PartResult(part.name, failed=(f"`hack/lab down` ended with status {status}",))
    return run.part(part)


def _verdict(results: Sequence[PartResult]) -> int:
    """Print the closing line; nothing failed and something passed is success."""
    line = summary.closing_line(results)
    say(f"\n{line}")
    return int(any(result.failed for result in results) or not any(result.passed for result in results))


def _interrupted(signal_number: int, _frame: object) -> NoReturn:
    """Leave through the `finally` blocks, so that what was started is ended."""
    sys.exit(128 + signal_number)
