"""Keeps the lab's logs after a failed part, and shows the ends of those that usually hold the cause."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TELLING = ("operator", "libvirtd", "kubelet", "kube-apiserver")
"""How the names of the logs begin whose ends are printed."""
SHOWN_LINES = 30
LARGEST_KEPT_BYTES = 64 * 1024 * 1024


def keep(lab_logs: Path, folder: Path) -> None:
    """Copy the lab's logs, because `hack/lab down` removes them; giants are left where they are."""
    folder.mkdir(parents=True, exist_ok=True)
    for log in sorted(lab_logs.glob("*.log")):
        if log.stat().st_size <= LARGEST_KEPT_BYTES:
            shutil.copyfile(log, folder / log.name)


def tails(folder: Path, names: Sequence[str] = TELLING) -> str:
    """Return the last lines of the telling logs, each under its path."""
    shown = [log for log in sorted(folder.glob("*.log")) if log.name.startswith(tuple(names))]
    return "\n".join(f"--- {log}\n{_last_lines(log)}" for log in shown)


def _last_lines(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(f"  {line[:400]}" for line in lines[-SHOWN_LINES:])
