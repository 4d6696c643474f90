"""The commands that the documentation shows, so that tests can run them as a reader would type them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
_FENCE = re.compile(r"^ *```(?:console|sh|bash)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
_PROMPT = re.compile(r"^ *[#$] ")


def commands_of(page: Path) -> list[str]:
    """Return the commands of a page in its order; a line without a prompt goes on with the one before."""
    found: list[str] = []
    for block in _FENCE.findall(page.read_text(encoding="utf-8")):
        for line in block.splitlines():
            if _PROMPT.match(line):
                found.append(_PROMPT.sub("", line, count=1))
            elif line.strip():
                found[-1] += "\n" + line
    return found


def run_as_typed(command: str, *, folder: Path = ROOT, seconds: float = 300) -> str:
    """Run a command in a shell, as its reader does; what it says is in the failure."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}"
    return done.stdout
