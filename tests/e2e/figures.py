"""What was measured, shown once at the end of the run; a figure is worth more beside the limit it kept."""

from __future__ import annotations

MEASURED: list[str] = []


def tell(figure: str) -> None:
    MEASURED.append(figure)
