"""Packs a Helm chart so that its bytes depend on its files alone: sorted, with one time and no owner."""

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
            if left_out(name):
                continue
            content = path.read_bytes()
            entry = tarfile.TarInfo(f"{chart.name}/{name}")
            entry.size, entry.mtime, entry.mode = len(content), moment, _FILE_MODE
            tar.addfile(entry, io.BytesIO(content))
    return gzip.compress(packed.getvalue(), compresslevel=9, mtime=moment)
