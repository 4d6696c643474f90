"""A command that is too long for a guest's channel arrives in parts and does the same."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path

import pytest

from vmclone_operator.domain.backend import GuestCommand
from vmclone_operator.domain.guest_parts import LEAST, in_parts

NOISE = "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=40_000))  # noqa: S311 - a test's text
LONG = GuestCommand(name="long", script=f"# {NOISE}\nwc -c\nexit 3\n", stdin=f"{NOISE}\n'\"\\\n")


def run(command: GuestCommand, root: Path) -> subprocess.CompletedProcess[str]:
    """Run a command as a guest does, with a folder for its /run."""
    script = command.script.replace("/run/", f"{root}/")
    return subprocess.run(["dash", "-c", script], input=command.stdin, capture_output=True, text=True, check=False)


def test_a_command_that_fits_is_sent_as_it_is() -> None:
    short = GuestCommand(name="short", script="true\n", stdin="")
    assert in_parts(short, LEAST) == (short,)


@pytest.mark.parametrize("limit", [LEAST, 16 * 1024, 64 * 1024])
def test_no_part_is_longer_than_the_channel_takes(limit: int) -> None:
    parts = in_parts(LONG, limit)
    assert len(parts) > 1
    assert all(len(json.dumps({"command": part.script, "input-data": part.stdin})) <= limit for part in parts)


def test_the_last_part_answers_as_the_command_would(tmp_path: Path) -> None:
    *first, last = in_parts(LONG, 16 * 1024)
    for part in [*first, *first]:
        assert (run(part, tmp_path).returncode, run(part, tmp_path).stdout) == (0, "")
    for _ in range(2):
        answer = run(last, tmp_path)
        assert (answer.returncode, answer.stdout.strip()) == (3, str(len(LONG.stdin)))


def test_a_part_that_is_missing_runs_nothing(tmp_path: Path) -> None:
    *first, last = in_parts(LONG, 16 * 1024)
    for part in first[1:]:
        run(part, tmp_path)
    answer = run(last, tmp_path)
    assert (answer.returncode, answer.stdout, answer.stderr.splitlines()[-1]) == (
        64,
        "",
        "a part of the command did not arrive",
    )


def test_a_channel_that_takes_next_to_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="too narrow"):
        in_parts(LONG, 100)
