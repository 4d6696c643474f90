"""Runs other programs: argument lists only, output kept for the error message."""

from __future__ import annotations

import shlex
import subprocess
from typing import TYPE_CHECKING

from vmclone_lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

SHOWN_ERROR_CHARACTERS = 3000


def attempt(
    argv: Sequence[str | Path],
    *,
    input_text: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout_seconds: float | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run `argv` and return its result, whatever the exit status."""
    text = [str(word) for word in argv]
    try:
        return subprocess.run(
            text,
            input=input_text,
            stdin=subprocess.DEVNULL if input_text is None else None,
            env=None if env is None else dict(env),
            cwd=cwd,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=timeout_seconds,
        )
    except FileNotFoundError as error:
        raise LabError(f"command not found: {text[0]}") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"no answer in {timeout_seconds} s: {shlex.join(text)}") from error


def run(
    argv: Sequence[str | Path],
    *,
    input_text: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout_seconds: float | None = None,
) -> str:
    """Run `argv`, return its standard output; a failure is a LabError with the end of stderr."""
    result = attempt(argv, input_text=input_text, env=env, cwd=cwd, timeout_seconds=timeout_seconds)
    if result.returncode != 0:
        shown = (result.stderr or result.stdout)[-SHOWN_ERROR_CHARACTERS:].strip()
        command = shlex.join([str(word) for word in argv])
        raise LabError(f"exit status {result.returncode} of: {command}\n{shown}")
    return result.stdout
