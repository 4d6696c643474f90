"""Packs a Helm chart or an image so that the bytes depend on the files alone: sorted, with one time and no owner."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

_FILE_MODE = 0o644


def chart_archive(chart: Path, *, moment: int, left_out: Callable[[str], bool] = lambda _: False) -> bytes:
    """Return the chart as Helm packs it, a gzipped tar below the chart's name; `moment` in Unix seconds.

    `left_out` is asked with each path below the chart, as .helmignore would be.
    """
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path in sorted(path for path in chart.rglob("*") if path.is_file()):
            name = path.relative_to(chart).as_posix()
            if not left_out(name):
                _add(tar, path, f"{chart.name}/{name}", moment)
    return gzip.compress(packed.getvalue(), compresslevel=9, mtime=moment)


def folder_archive(folder: Path, target: Path, *, moment: int) -> None:
    """Pack what is below a folder into a tar file, uncompressed: an image layout's blobs are compressed already."""
    with tarfile.open(target, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            _add(tar, path, path.relative_to(folder).as_posix(), moment)


def _add(tar: tarfile.TarFile, path: Path, name: str, moment: int) -> None:
    """Add a file by its content alone."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mtime, entry.mode = path.stat().st_size, moment, _FILE_MODE
    with path.open("rb") as content:
        tar.addfile(entry, content)
