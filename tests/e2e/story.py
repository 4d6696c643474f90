"""What the shared runs leave for the tests to look at."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.cluster import Document
from tests.e2e.load import Gaps
from tests.e2e.machines import ROOT, Identity


@dataclass(frozen=True, kw_only=True)
class BootCost:
    """One guest, from start to boot finished, on a machine that does nothing else."""

    wall_seconds: float
    cpu_seconds: float


@dataclass(frozen=True, kw_only=True)
class Demo:
    """One run of the demo."""

    output: str
    audit_mark: int
    gaps: Gaps
    vmclone: Document
    replicas: list[Document]
    fresh: list[Document]
    """The replicas of its VMClone in mode Clean."""
    wall_seconds: float
    source_before: Identity
    source_after: Identity
    clones: list[Identity]
    cpu_seconds: list[float]
    """What each clone had used when the demo ended."""


class StockBoot:
    """`hack/lab source --profile stock` in the background."""

    def __init__(self, name: str, file: Path) -> None:
        """Begin to boot."""
        self._file = file
        argv = [str(ROOT / "hack" / "lab"), "source", name, "--profile", "stock"]
        with file.open("wb") as sink:
            self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=sink)

    def facts(self) -> dict[str, Any]:
        """Wait for the boot and return what is known of the source."""
        assert self._process.wait(timeout=900) == 0, "the stock source did not boot"
        return dict(json.loads(self._file.read_text()))

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
        self._process.wait(timeout=60)
