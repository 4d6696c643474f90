"""Files that are generated and still checked in: written by a command, compared by the same command in CI."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).parents[2]


def run(command: str, contents: Mapping[str, str], *, folder: str, suffix: str, arguments: Sequence[str]) -> int:
    """Write the files, or with --check say which differ; returns the exit status.

    `contents` maps paths below the repository to text. A file with this suffix in `folder` that is not
    among them is left over from an earlier name: it is removed, or reported.
    """
    parser = argparse.ArgumentParser(prog=command, description=f"Generates the {suffix} files in {folder}/.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file is not up to date")
    check = parser.parse_args(arguments).check
    stale = differences(contents, folder=folder, suffix=suffix)
    for path in () if check else stale:
        _write(ROOT / path, contents.get(path))
    for path in stale:
        print(f"{path}: not up to date; run {command}" if check else f"{path}: written")
    return 1 if check and stale else 0


def differences(contents: Mapping[str, str], *, folder: str, suffix: str) -> list[str]:
    """Return the paths whose checked-in text is not the generated one, left-over files included."""
    found = {str(path.relative_to(ROOT)) for path in (ROOT / folder).glob(f"*{suffix}")}
    changed = {path for path, text in contents.items() if not _holds(ROOT / path, text)}
    return sorted(changed | (found - contents.keys()))


def _holds(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text() == text


def _write(path: Path, text: str | None) -> None:
    if text is None:
        path.unlink()
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
