"""Draws what `hack/bench` measured, a picture for each benchmark: `plot.py RESULTS.json FOLDER`.

It runs by itself, in an environment of its own (`plot.lock`): nothing else of ours needs matplotlib.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl  # type: ignore[import-not-found]

mpl.use("Agg")
from matplotlib import pyplot as plt

_MOST_IN_A_ROW = 4


def draw(result: dict[str, Any], path: Path) -> None:
    """Draw the medians of each figure, with the least and the most as a line."""
    names, against = list(result["figures"]), result["against"]
    figures = list(result["figures"][against])
    columns = min(_MOST_IN_A_ROW, len(figures))
    rows = -(-len(figures) // columns)
    picture, grid = plt.subplots(rows, columns, figsize=(3 * columns, 3 * rows), squeeze=False)
    for plot in grid.flat[len(figures) :]:
        plot.set_visible(False)
    for plot, figure in zip(grid.flat, figures, strict=False):
        spreads = [result["figures"][name][figure] for name in names]
        middles = [spread["median"] for spread in spreads]
        ends = [
            [spread["median"] - spread["least"] for spread in spreads],
            [spread["most"] - spread["median"] for spread in spreads],
        ]
        plot.bar(names, middles, yerr=ends, color=["0.75" if name == against else "tab:blue" for name in names])
        plot.set_ylim(bottom=0)
        plot.set_title(figure, fontsize=8)
        plot.tick_params(labelsize=7)
    picture.suptitle(f"{result['benchmark']}, {result['commit']}", fontsize=9)
    picture.tight_layout()
    picture.savefig(path, dpi=120, metadata={"Software": None})
    plt.close(picture)


def main() -> None:
    """Draw all results."""
    results, folder = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    for result in results:
        draw(result, folder / f"{result['benchmark']}.png")


if __name__ == "__main__":
    main()
