"""What happens inside a pytest run, as JSON lines that survive the run's death.

One line is appended per event, because a run that hangs is killed and must still tell how far it came.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

EVENTS_VARIABLE = "VMCLONE_TEST_EVENTS"
"""Path of the events file of this run; unset when pytest runs by itself."""
LOGS_VARIABLE = "VMCLONE_TEST_LOGS"
"""Folder for the logs of what the tests start."""


def record(event: dict[str, Any]) -> None:
    """Append one event; does nothing outside `hack/test`."""
    path = os.environ.get(EVENTS_VARIABLE)
    if not path:
        return
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(json.dumps(event) + "\n")


def record_boots(count: int) -> None:
    """Count guests that a test or fixture booted: boots are the budget of the slow parts."""
    record({"boots": count})


def read(path: Path) -> list[dict[str, Any]]:
    """Return the events of a run; a last line cut by a kill is left out."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    return [json.loads(line) for line in lines]
